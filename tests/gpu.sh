#!/usr/bin/env bash
# gpu.sh [REPORT]: on a machine with NVIDIA GPUs, everything that could not be tried without one, in some minutes: builds, runs
# the tests of the back end and of NCCL on the real devices, trains with 1, 2, 4, 8 ranks in every precision, compares the
# parameters bit by bit, and measures. The report (gpu-report.txt) says what ran where, what passed and how fast; it ends with
# "N passed, N failed". DTRAIN=PROGRAM takes a program that is built already, TESTS=FOLDER its tests (else beside it); DATA=FOLDER
# and SAMPLES=N train on other data or less. Under tests/simdev/run the script itself is tried, with little work; the report says
# so, and nothing of it is about a GPU.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
report=$(realpath -m "${1:-gpu-report.txt}")
. "$root/launch/mpi-env.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0
say() { printf '%s\n' "$*" | tee -a "$report"; }
check() { # check NAME COMMAND...: the command succeeds; what it printed is in the report if not
    local name=$1
    shift
    if "$@" >"$scratch/said" 2>&1; then
        passed=$((passed + 1))
        say "ok      $name"
    else
        failed=$((failed + 1))
        say "FAILED  $name"
        tail -n 20 "$scratch/said" | sed 's/^/        /' | tee -a "$report"
    fi
}
skip() {
    skipped=$((skipped + 1))
    say "skipped $*"
}

: >"$report"
if [ -z "${DTRAIN:-}" ]; then
    "$root/launch/setup.sh" -y && "$root/launch/fetch-cuda.sh" || exit 1
    (cd "$root" && cmake --preset release -DDT_CUDA=ON && cmake --build --preset release --parallel "$(nproc)") || exit 1
    DTRAIN=$root/dtrain
    tests=$root/build/release/tests
else
    tests=${TESTS:-$(dirname "$DTRAIN")/tests}
fi
data=${DATA:-$root/data/mnist}
[ -e "$data/train-images-idx3-ubyte.gz" ] || [ -e "$data/train-images-idx3-ubyte" ] || "$root/launch/fetch-data.sh" || exit 1

say "$(date -u '+%Y-%m-%d %H:%M UTC'), $("$DTRAIN" --version | head -n 1)"
"$DTRAIN" devices >"$scratch/devices" || exit 1
tee -a "$report" <"$scratch/devices"
gpus=$(sed -n 's/.*the one of \([0-9]*\) that.*/\1/p' "$scratch/devices" | head -n 1)
if [ -z "$gpus" ]; then
    say "no GPU that dtrain can use: the line 'cuda' above has the reason"
    exit 5
fi
training=(--epochs 2 --batch 1024) benching=() most=8 simulated=
[ -z "${SAMPLES:-}" ] || training+=(--samples "$SAMPLES")
if grep -q 'simdev (CPU)' "$scratch/devices"; then
    simulated="SIMULATED DEVICE, no GPU: "
    say "${simulated}this run tries the script; nothing below is about a GPU"
    training=(--epochs 1 --samples 128 --batch 64 --micro-batch 16 --model "conv 8 3; relu; pool 2; fc 10")
    benching=(--micro-batch 4) most=2
fi
! command -v nvidia-smi >/dev/null || nvidia-smi | tee -a "$report"
cd "$scratch" || exit 1
export SRC=$root
ranks="1"
for n in 2 4 8; do
    [ "$n" -gt "$gpus" ] || [ "$n" -gt "$most" ] || ranks="$ranks $n"
done

# --- the tests that run on the simulated device elsewhere ---
for n in $ranks; do
    check "sums between GPUs, $n ranks" mpirun -np "$n" "$tests/cuda_sums"
done
for test in contract steps ops; do # the back end's own
    check "cuda_$test" "$tests/cuda_$test"
done
for precision in tf32 bf16; do
    "$tests/cuda_ops" $precision >"$scratch/said" 2>&1
    if grep -q 'needs compute capability' "$scratch/said"; then
        skip "cuda_ops $precision: this GPU does not compute in it"
    else
        check "cuda_ops $precision" "$tests/cuda_ops" $precision
    fi
done
if [ -n "$simulated" ]; then
    skip "planning by cuDNN for other GPUs: the double does not"
else
    check "planning by cuDNN for other GPUs" "$tests/cuda_planning"
fi

# --- training: one epoch; the same bits for every number of ranks, graphs or not ---
# train NAME RANKS OPTION...: events in NAME.events
train() {
    local name=$1 n=$2
    shift 2
    mpirun -np "$n" "$DTRAIN" --device cuda --data "$data" "${training[@]}" --out "$name" --json "$@" >"$name.events"
}
digest() { sed -n 's/.*"params_sha256": *"\([0-9a-f]*\)".*/\1/p' "$1.events" | tail -n 1; }
equal() { [ -n "$(digest "$1")" ] && [ "$(digest "$1")" = "$(digest "$2")" ]; }
figure() { sed -n "s/.*\"event\": *\"epoch\".*\"$2\": *\([0-9.e+-]*\).*/\1/p" "$1.events" | tail -n 1; }
for precision in f32 tf32 bf16; do
    code=0
    train "$precision.1" 1 --precision $precision 2>told || code=$?
    if [ "$code" -eq 2 ]; then # refused: this device does not compute in it
        skip "$precision: $(grep "^dtrain: " told | tail -n 1)"
        continue
    fi
    check "$precision, 1 rank trains: exit $code $(grep "^dtrain: " told | tail -n 1)" test "$code" -eq 0
    for n in $ranks; do
        name=$precision.$n
        [ "$n" = 1 ] || train "$name" "$n" --precision $precision
        check "$precision, $n ranks: the same bits" equal "$name" "$precision.1"
        say "        $(figure "$name" images_per_second) images/s, test accuracy $(figure "$name" test_accuracy) %," \
            "seconds of an epoch: $(figure "$name" seconds), computing $(figure "$name" compute_seconds)," \
            "sums not hidden $(figure "$name" reduce_seconds), waiting $(figure "$name" wait_seconds)"
    done
    train "$precision.plain" 1 --precision $precision --no-graph
    check "$precision: graph and plain launches, the same bits" equal "$precision.plain" "$precision.1"
    say "        plain: $(figure "$precision.plain" images_per_second) images/s"
done
shared() { # on one GPU, whose sums go through host memory; in f32, as f32.1
    CUDA_VISIBLE_DEVICES=0 SIMDEV_DEVICES=1 train shared 2 2>told
    grep -q 'share one GPU' told && equal shared f32.1
}
check "two ranks on one GPU: said in one line, and the same bits" shared
refused() {
    ! CUDA_VISIBLE_DEVICES=0 SIMDEV_DEVICES=1 train refused 2 --comm nccl 2>told && grep -q 'share one GPU' told
}
check "... and refused by name with --comm nccl" refused
loss() { sed -n 's/.*"event": *"epoch".*"train_loss": *\([0-9.e-]*\).*/\1/p' "$1.events" | tail -n 1; }
near_cpu() {
    "$DTRAIN" --device cpu --data "$data" "${training[@]}" --micro-batch 16 --out cpu --json >cpu.events
    awk -v a="$(loss f32.1)" -v b="$(loss cpu)" 'BEGIN { d = (a - b) / b; exit !(a > 0 && d * d < 4e-4) }'
}
check "f32: the loss is within 2 % of the CPU's" near_cpu

# --- figures ---
for n in $ranks; do
    say "" && say "dtrain bench, $n ranks"
    mpirun -np "$n" "$DTRAIN" bench --device cuda "${benching[@]}" 2>&1 | tee -a "$report"
done
say "$simulated$passed passed, $failed failed, $skipped skipped"
say "The report is $report"
[ "$failed" -eq 0 ]
