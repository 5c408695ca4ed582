#!/usr/bin/env bash
# Training on the simulated device: one params_sha256 for every number of ranks, schedule, graph or plain launches, NCCL or host
# memory, stopped and resumed; near what the CPU finds; and failures of single calls end with 5, or 6 for a peer.
# timeout: 400
set -euo pipefail
if [ -z "${SIMDEV_DIR:-}" ] || [ ! -e "$SIMDEV_DIR/libsimdev_kernels.so" ] ||
    [ ! -e "$(dirname "$DTRAIN")/libdtrain_cuda.so" ]; then
    echo "no CUDA plugin or no simulated device in this build"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" --train 200 --test 64 data >/dev/null
options=(--data data --epochs 2 --batch 64 --micro-batch 16 --model "conv 8 3; relu; pool 2; conv 8 3; relu; pool 2; fc 16; relu; fc 10")
n_run=0
# train RANKS OPTION...: prints the digest of the parameters; the events are in events.
train() {
    local n=$1 command=("$SRC/tests/simdev/run")
    shift
    [ "$n" -eq 1 ] || command+=("$MPIRUN" -np "$n")
    n_run=$((n_run + 1))
    "${command[@]}" "$DTRAIN" --device cuda "${options[@]}" --out "$(mktemp -u "run.$n_run.XXXX")" --json "$@" >events 2>told &&
        digest events
}
lacks() { ! grep -q "$1" "$2"; }
digest() { sed -n 's/.*"params_sha256": *"\([0-9a-f]*\)".*/\1/p' "$1" | tail -n 1; }
same() { # same WHAT DIGEST
    check "$1: ${2:-no digest}" test "$2" = "$truth" -a -n "$2"
    [ "$2" = "$truth" ] || cat told >&2
}

truth=$(train 1) || { cat told >&2 && exit 1; }
check "the device says that it is simulated" grep -q '"device": *"simdev (CPU)' events
check "memory used is told" grep -Eq '"gpu_memory_bytes": *[1-9]' events
for n in 2 3 4; do
    same "$n ranks" "$(train $n)"
done
for schedule in lazy random; do
    same "schedule $schedule" "$(SIMDEV_SCHED=$schedule train 2)"
done
same "plain launches" "$(train 2 --no-graph)"
same "a time line" "$(train 2 --trace trace.json)"
cat >check.py <<'PY'
import json
spans = [e for e in json.load(open("trace.json"))["traceEvents"] if "step" in e.get("args", {})]
for rank in 0, 1:
    mine = [e for e in spans if e["pid"] == rank]
    assert [e["name"] for e in mine] == ["input", "compute", "all-reduce and wait", "update"] * 8, mine
    assert all(a["ts"] + a["dur"] <= b["ts"] + 0.01 for a, b in zip(mine, mine[1:])), mine
    assert all(e["dur"] > 0 for e in mine if e["name"] != "input"), mine
total = sum(e["dur"] for e in spans) / 2e6
epochs = [e for e in map(json.loads, open("events")) if e["event"] == "epoch"]
for e in epochs:
    parts = [e[name + "_seconds"] for name in ("compute", "reduce", "wait")]
    # the seconds are rank 0's, and under load another rank may have begun a moment before it
    assert all(p >= 0 for p in parts) and parts[0] > 0 and sum(parts) <= 1.1 * e["seconds"], e
assert total <= 1.1 * sum(e["seconds"] for e in epochs)
PY
check "... has every rank's steps, and the phases add up" python3 check.py
same "plain launches, one rank" "$(train 1 --no-graph)"
for precision in tf32 bf16; do # bits of their own, and the same for every number of ranks
    export SIMDEV_CAPABILITY=80
    rounded=$(train 1 --precision $precision)
    check "$precision, two ranks, plain launches" test "$(train 2 --precision $precision --no-graph)" = "$rounded" -a -n "$rounded"
    check "$precision, not the bits of f32" test "$rounded" != "$truth"
    unset SIMDEV_CAPABILITY
done
code=0
train 1 --precision bf16 >/dev/null || code=$?
check "bf16 needs 8.0" test "$code" = 2 -a "$(grep -c 'needs compute capability 8.0' told)" = 1
same "host memory" "$(train 2 --comm mpi)"
same "host memory, plain" "$(train 2 --comm mpi --no-graph)"
same "two ranks on one device" "$(SIMDEV_DEVICES=1 train 2)"
check "... which is said in one line" test "$(grep -c 'share one GPU' told)" = 1
same "two parts of one device, each with a UUID" "$(SIMDEV_SAME_DEVICE=2 train 2)"
check "... which NCCL takes for one too" test "$(grep -c 'share one GPU' told)" = 1
code=0
SIMDEV_DEVICES=1 train 2 --comm nccl >/dev/null || code=$?
check "... and refused with --comm nccl" test "$code" = 5 -a "$(grep -c 'share one GPU' told)" -ge 1

# Stopped on two ranks, gone on with on three.
code=0
"$SRC/tests/simdev/run" "$MPIRUN" -np 2 "$DTRAIN" --device cuda "${options[@]}" --out half --quiet --time-limit 0.001 || code=$?
check "stopped: exit 75, not $code" test "$code" = 75
"$SRC/tests/simdev/run" "$MPIRUN" -np 3 "$DTRAIN" --device cuda "${options[@]}" --out half --resume --json >events 2>told || true
same "stopped and resumed" "$(digest events)"

# The CPU rounds otherwise: close, not equal.
loss() { sed -n 's/.*"train_loss": *\([0-9.e-]*\).*/\1/p' "$1" | tail -n 1; }
gpu_loss=$(loss events)
"$DTRAIN" --device cpu "${options[@]}" --out cpu --json >cpu.events
check "near the CPU's loss" awk -v a="$gpu_loss" -v b="$(loss cpu.events)" 'BEGIN { d = a - b; exit !(a > 0 && d * d < 1e-8) }'
check "eval" "$SRC/tests/simdev/run" "$DTRAIN" eval half --data data --device cuda --quiet

# Each rank tells of its own device, also where only eval opens it.
SIMDEV_CAPABILITY=75,80 "$SRC/tests/simdev/run" "$MPIRUN" -np 2 "$DTRAIN" eval half --data data --device cuda --quiet 2>told || true
check "eval on two kinds of devices says so" grep -q 'rank 1 .*simdev (CPU) (8.0).*(7.5)' told

# Libraries that are too old; and a device that does not tell its clock's rate, which is no error of a later launch.
for old in SIMDEV_CUDNN=91000 SIMDEV_NCCL=22100 SIMDEV_DRIVER=12080 SIMDEV_CAPABILITY=70 SIMDEV_DEVICES=0; do
    code=0
    env "$old" "$SRC/tests/simdev/run" "$DTRAIN" --device cuda "${options[@]}" --out old --quiet 2>told || code=$?
    check "$old: exit 5, not $code" test "$code" = 5
    case $old in
    *CUDNN*) words='cuDNN 9.10 is loaded, this program needs' ;;
    *NCCL*) words='NCCL 2.21 is loaded, this program needs' ;;
    *DRIVER*) words='the driver is for CUDA 12.8 and earlier' ;;
    *CAPABILITY*) words='has compute capability 7.0' ;;
    *) words='shows no device' ;;
    esac
    check "... with the reason" grep -q "$words" told
done
same "a GPU that is too old beside one that is not" "$(SIMDEV_CAPABILITY=70,80 SIMDEV_DEVICES=2 train 1)"
same "polls that leave an error behind" "$(SIMDEV_NOT_READY=1 train 2)"
code=0
SIMDEV_CAPABILITY=80,90 train 2 >/dev/null || code=$?
check "another kind of GPU without the chosen engine: exit 5, not $code" test "$code" = 5
check "... with both names" grep -Eq "rank 1 .*simdev \(CPU\) \(9\.0\).*rank 0's.*simdev \(CPU\) \(8\.0\)" told
same "no clock rate" "$(SIMDEV_FAIL=cudaDeviceGetAttribute:1 train 1)"

# A call that fails has its sentence and its exit code, and nobody hangs.
# Two sums a step; the fourth is amid the capture of the graph.
options[${#options[@]} - 1]="conv 8 3; relu; pool 2; fc 64; relu; fc 10"
for call in cudaMalloc:1 ncclGetUniqueId:1@0 ncclCommInitRank:1@1 ncclAllReduce:4 ncclAllReduce:1@1 cudnnBackendExecute:5@1 \
    cublasSgemm:2 cudaGraphLaunch:2@1 cudaGetDeviceCount:1@1 cudaEventQuery:2@1 cudaGraphGetNodes:1@1 \
    ncclCommGetAsyncError:1@1 ncclCommGetAsyncError:9@0 cudnnBackendGetAttribute:1@0 cudnnSetStream:1@1; do
    code=0
    SIMDEV_FAIL=$call timeout 60 "$SRC/tests/simdev/run" "$MPIRUN" -np 2 "$DTRAIN" --device cuda "${options[@]}" --out "fail.$call" \
        --quiet >said 2>told || code=$?
    check "$call fails: exit 5 or 6, not $code" test "$code" = 5 -o "$code" = 6
    check "... with a sentence" grep -q '^dtrain: ' told
    check "... and nothing else goes wrong" lacks VIOLATION told
done
# All is done, but NCCL hangs in its end.
code=0
SIMDEV_FAIL=ncclCommFinalize:1@1,ncclCommAbort:1@1 timeout 60 "$SRC/tests/simdev/run" "$MPIRUN" -np 2 "$DTRAIN" --device cuda \
    "${options[@]}" --out hangs --quiet 2>told || code=$?
check "NCCL does not let go: exit 6, not $code" test "$code" = 6
check "... with a sentence" grep -q 'rank 1.*NCCL does not let go' told
code=0
SIMDEV_FAIL=ncclCommDestroy:1@1 timeout 60 "$SRC/tests/simdev/run" "$MPIRUN" -np 2 "$DTRAIN" --device cuda \
    "${options[@]}" --out hangs2 --quiet 2>told || code=$?
check "NCCL hangs in its very end: exit 6, not $code" test "$code" = 6
check "... with that sentence" grep -q 'rank 1.*NCCL does not let go' told
finish
