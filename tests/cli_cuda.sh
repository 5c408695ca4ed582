#!/usr/bin/env bash
# GPUs where there are none: --device cuda ends with 5 and the reason, --device auto computes on the CPU, devices tells the
# libraries' versions; and the plugin as it must be: one exported name, no path, no driver, every symbol in the real libraries.
# timeout: 120
set -euo pipefail
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
fails() { # fails CODE WORDS COMMAND...: ends with CODE, and stderr has WORDS
    local code=0 want=$1 words=$2
    shift 2
    "$@" >said 2>told || code=$?
    if [ "$code" != "$want" ] || ! grep -q -- "$words" told; then
        echo "exit $code: $(cat told)" >&2
        return 1
    fi
}
if ldconfig -p | grep -q 'libcuda\.so\.1'; then
    echo "there is a driver here: tests/gpu.sh is the test"
    exit 77
fi
python3 "$SRC/tests/make_data.py" --train 256 --test 64 data >/dev/null
run=("$DTRAIN" --data data --epochs 1 --batch 64 --quiet)

# A copy without the plugin, as a build without CUDA leaves it.
mkdir bare && cp "$DTRAIN" bare/dtrain
check "no plugin: exit 5" fails 5 'there is no libdtrain_cuda.so beside this program' bare/dtrain --device cuda --data data
check "no plugin: the CPU is used" bare/dtrain --data data --epochs 1 --out bare/run --quiet
check "no plugin: bench too" fails 5 'libdtrain_cuda.so' bare/dtrain bench --device cuda
check "--comm nccl needs GPUs" fails 2 'NCCL sums between GPUs only' "${run[@]}" --device cpu --comm nccl --out nccl
check "several ranks say it once" fails 5 'there is no libdtrain_cuda.so' "$MPIRUN" -np 2 bare/dtrain --device cuda
check "... in one line" test "$(grep -c 'libdtrain_cuda' told)" = 1

printf 'not a library' >bare/libdtrain_cuda.so
check "a broken plugin: exit 5" fails 5 'cannot load libdtrain_cuda.so' bare/dtrain --device cuda --data data

plugin=$(dirname "$DTRAIN")/libdtrain_cuda.so
if [ ! -e "$plugin" ]; then
    finish
    exit
fi
cp "$plugin" bare/
sed -i 's/libcudart\.so\.13/libcudart.so.99/' bare/libdtrain_cuda.so # the same length, and nowhere
check "a library is missing: named" fails 5 'libcudart.so.99' bare/dtrain --device cuda --data data

# Loading binds every symbol, so this is also the test that the real libraries have them all.
check "no device: exit 5" fails 5 "no usable GPU: NVIDIA's driver (libcuda.so.1) is not loaded" "${run[@]}" --device cuda
check "devices works all the same" "$DTRAIN" devices >sight
check "devices: why" grep -q "cuda: not available (no usable GPU: NVIDIA's driver" sight
check "devices: versions" grep -Eq 'CUDA 1[0-9]+\.[0-9]+.*cuDNN 9\..*cuBLAS 1[0-9].*driver none, NCCL 2\.' sight
check "devices --json" python3 -c 'import json, subprocess, sys
d = json.loads(subprocess.run([sys.argv[1], "devices", "--json"], capture_output=True).stdout)
c = d["ranks"][0]["cuda"]; assert not c["available"] and c["reason"] and "cuDNN" in c["libraries"]' "$DTRAIN"
check "auto: the CPU" "$DTRAIN" --data data --epochs 1 --out auto >banner
check "... and why" grep -q 'no GPU.*libcuda.so.1' banner

check "one exported name" test "$(nm -D --defined-only "$plugin" | awk '$2 != "A" { print $3 }')" = dtrain_cuda_plugin
readelf -d "$plugin" >dynamic
lacks() { ! grep -qE "$1" "$2"; }
check "no search path" lacks 'R(UN)?PATH' dynamic
check "no driver linked" lacks 'libcuda\.so' dynamic
readelf -d "$DTRAIN" >dynamic
check "the program links none of it" lacks 'libcu|libnccl' dynamic
finish
