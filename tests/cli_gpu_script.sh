#!/usr/bin/env bash
# tests/gpu.sh from end to end on the simulated device: it passes, says on every line that counts that no GPU was there, and
# fails when something is wrong.
# timeout: 900
# tier: all
set -euo pipefail
if [ -z "${SIMDEV_DIR:-}" ] || [ ! -x "${CUDA_TESTS:-}/cuda_ops" ]; then
    echo "no simulated device in this build"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" --train 200 --test 64 data >/dev/null
script() { # script REPORT
    SIMDEV_CAPABILITY=80 TESTS=$CUDA_TESTS DATA=$PWD/data "$SRC/tests/simdev/run" "$SRC/tests/gpu.sh" "$1" >/dev/null 2>said
}
check "it passes" script report
check "it says what it is" grep -q '^SIMULATED DEVICE, no GPU: this run tries the script' report
check "... at its end too" grep -Eq '^SIMULATED DEVICE, no GPU: [0-9]+ passed, 0 failed' report
for line in 'sums between GPUs, 2 ranks' 'cuda_contract' 'cuda_ops bf16' 'tf32, 2 ranks: the same bits' \
    'bf16: graph and plain launches' 'two ranks on one GPU' 'refused by name' "the CPU's"; do
    check "ok: $line" grep -q "^ok .*$line" report
done
check "a bench" grep -q 'launches a step: 2 graphs, of [1-9]' report
check "... and shares of what tensor cores do" grep -Eq '^  tf32 .* [0-9.]+ %$' report
[ "$n_failed" -eq 0 ] || cat report said >&2
export SIMDEV_FAIL=cudaGraphLaunch:1
check "a failure is one" eval '! script broken'
check "... and is told" grep -q '^FAILED  f32, 1 rank trains: exit 5' broken
finish
