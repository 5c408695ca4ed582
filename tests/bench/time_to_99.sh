#!/usr/bin/env bash
# time_to_99.sh: how long it takes from the start of the process to its end to train a network that is right on 99 % of the
# test set: one epoch of preset fast on two cores. The mean accuracy of five seeds must be there, not the best one's.
# Everything counts: reading the data, making primitives, two evaluations, writing the files.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# runs PRECISION
runs() {
    local seed begin
    for seed in 1 2 3 4 5; do
        begin=$(now)
        train 1 --model fast --epochs 1 --threads 2 --precision "$1" --seed "$seed"
        keep "seconds-$1" "$(calc "$(now) - $begin")"
        keep "accuracy-$1" "$(said accuracy)"
    done
}
# judge_runs PRECISION
judge_runs() {
    local seconds accuracy
    seconds=$(median "seconds-$1") accuracy=$(mean "accuracy-$1")
    row "time to 99 %, one epoch of preset fast, 2 threads, $1" "$(show \
        '**%.2f s** (median; %.2f to %.2f), test accuracy %.2f %% (mean of 5 seeds; %.2f to %.2f)' "$seconds" \
        "$(least "seconds-$1")" "$(most "seconds-$1")" "$accuracy" "$(least "accuracy-$1")" "$(most "accuracy-$1")")" \
        "<= 3 s at >= 99.0 %" "$(judge "$seconds <= 3 && $accuracy >= 99")"
}
bench
runs f32
judge_runs f32
if has_bf16; then
    runs bf16
    judge_runs bf16
fi
