#!/usr/bin/env bash
# gpu.sh [REPORT]: on a machine with NVIDIA GPUs, everything that could not be tried without one, in some minutes: builds, runs
# the tests of the back end and of NCCL on the real devices, trains with 1, 2, 4, 8 ranks in every precision, compares the
# parameters bit by bit, and measures. The report (gpu-report.txt) says what ran where, what passed and how fast; it ends with
# "N passed, N failed". DTRAIN=PROGRAM takes a program that is built already, with its tests beside it.
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
    tests=$(dirname "$DTRAIN")/tests
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
! command -v nvidia-smi >/dev/null || nvidia-smi | tee -a "$report"
cd "$scratch" || exit 1
export SRC=$root
ranks="1"
for n in 2 4 8; do
    [ "$n" -gt "$gpus" ] || ranks="$ranks $n"
done

# --- the tests that run on the simulated device elsewhere ---
for n in $ranks; do
    check "sums between GPUs, $n ranks" mpirun -np "$n" "$tests/cuda_sums"
done
for test in "$tests"/cuda_*; do # the back end's own
    [ "$(basename "$test")" = cuda_sums ] || check "$(basename "$test")" "$test"
done

# --- training: one epoch; the same bits for every number of ranks, graphs or not ---
# train NAME RANKS OPTION...: events in NAME.events
train() {
    local name=$1 n=$2
    shift 2
    mpirun -np "$n" "$DTRAIN" --device cuda --data "$data" --epochs 2 --batch 1024 --out "$name" --json "$@" >"$name.events"
}
digest() { sed -n 's/.*"params_sha256": *"\([0-9a-f]*\)".*/\1/p' "$1.events" | tail -n 1; }
equal() { [ -n "$(digest "$1")" ] && [ "$(digest "$1")" = "$(digest "$2")" ]; }
figure() { sed -n "s/.*\"event\": *\"epoch\".*\"$2\": *\([0-9.e+-]*\).*/\1/p" "$1.events" | tail -n 1; }
for precision in f32 tf32 bf16; do
    if ! train "$precision.1" 1 --precision $precision ${SAMPLES:+--samples "$SAMPLES"} 2>told; then
        skip "$precision: $(grep "^dtrain: " told | tail -n 1)"
        continue
    fi
    for n in $ranks; do
        name=$precision.$n
        [ "$n" = 1 ] || train "$name" "$n" --precision $precision ${SAMPLES:+--samples "$SAMPLES"}
        check "$precision, $n ranks: the same bits" equal "$name" "$precision.1"
        say "        $(figure "$name" images_per_second) images/s, test accuracy $(figure "$name" test_accuracy) %"
    done
    train "$precision.plain" 1 --precision $precision --no-graph ${SAMPLES:+--samples "$SAMPLES"}
    check "$precision: graph and plain launches, the same bits" equal "$precision.plain" "$precision.1"
    say "        plain: $(figure "$precision.plain" images_per_second) images/s"
done
check "two ranks on one GPU" env CUDA_VISIBLE_DEVICES=0 mpirun -np 2 "$DTRAIN" --device cuda --data "$data" --samples 2048 \
    --epochs 1 --batch 1024 --out shared --quiet

# --- figures ---
for n in $ranks; do
    say "" && say "dtrain bench, $n ranks"
    mpirun -np "$n" "$DTRAIN" bench --device cuda 2>&1 | tee -a "$report"
done
say "$passed passed, $failed failed, $skipped skipped"
say "The report is $report"
[ "$failed" -eq 0 ]
