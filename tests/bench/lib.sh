# shellcheck shell=bash
# Sourced by the benchmarks of this folder: running dtrain, keeping figures, judging them, printing rows of the table.
#
# What is compared is run in turn, several times over, and the medians are compared: a machine that gets slower or faster
# meanwhile does so for both. A benchmark ends with 0 if it could measure, whether or not the target was met.
# Environment: DTRAIN the program (./dtrain), DATA the data set (data/mnist), ROUNDS how often each thing is run,
# BENCH_ROWS a file that gets a row of Markdown for each target (all.sh sets it).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/launch/mpi-env.sh"
dtrain=${DTRAIN:-$root/dtrain} data=${DATA:-$root/data/mnist}
export NO_COLOR=1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/dtrain-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}
[ -x "$dtrain" ] || fail "there is no $dtrain: cmake --preset release && cmake --build --preset release"
[ -d "$data" ] || fail "there is no $data: launch/fetch-data.sh"

# --- running ---
# quietly COMMAND...: stdout goes to $scratch/said; what it says is shown if it fails, which ends the benchmark
quietly() {
    local rc=0
    "$@" >"$scratch/said" 2>"$scratch/errors" </dev/null || rc=$?
    [ "$rc" -ne 0 ] || return 0
    tail -n 20 "$scratch/said" "$scratch/errors" >&2
    fail "exit code $rc from: $*"
}
# train RANKS OPTION...: one run; JSON lines in $scratch/said, the run directory in $scratch/run
train() {
    local ranks=$1 launcher=()
    shift
    [ "$ranks" -eq 1 ] || launcher=(mpirun -np "$ranks")
    rm -rf "$scratch/run"
    quietly "${launcher[@]}" "$dtrain" train --data "$data" --out "$scratch/run" --json "$@"
}
# throughput NAME RANKS OPTION...: one run; images/s of the training steps of each of its epochs are kept under NAME
throughput() {
    local name=$1
    shift
    train "$@"
    said rates >>"$scratch/$name"
}
# bench: measures the machine; then peak KEY gives one of its figures
bench() {
    quietly "$dtrain" bench --json
    mv "$scratch/said" "$scratch/peaks"
}
peak() { said "$1" "$scratch/peaks"; }
has_bf16() { [ "$(peak bf16.instructions)" != null ]; }

# --- figures ---
# said WHAT [FILE]: see figures.py
said() { python3 "$here/figures.py" "$1" "${2:-$scratch/said}"; }
# keep NAME FIGURE; then median, mean, least and most of all that was kept under NAME
keep() { printf '%s\n' "$2" >>"$scratch/$1"; }
median() { sort -g "$scratch/$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
mean() { awk '{ s += $1 } END { print s / NR }' "$scratch/$1"; }
least() { sort -g "$scratch/$1" | head -n 1; }
most() { sort -g "$scratch/$1" | tail -n 1; }
# calc EXPRESSION: awk's arithmetic
calc() { awk "BEGIN { printf \"%.9g\", $1 }"; }
# show FORMAT FIGURE...: printf with thousands apart
show() {
    # shellcheck disable=SC2059  # the format is the point
    printf "$@" | sed -E ':a; s/(^|[^0-9.])([0-9]+)([0-9]{3})($|[^0-9])/\1\2,\3\4/; ta'
}
count() { show '%.0f' "$1"; }
# judge CONDITION: pass or miss
judge() { awk "BEGIN { print ($1) ? \"pass\" : \"miss\" }"; }
now() { printf '%s' "${EPOCHREALTIME/,/.}"; }

# --- output ---
# row WHAT FIGURES TARGET VERDICT: for people, and for the table
row() {
    printf '%s\n    %s\n    target %s: %s\n' "$@"
    [ -z "${BENCH_ROWS:-}" ] || printf '| %s | %s | %s | %s |\n' "$@" >>"$BENCH_ROWS"
}
