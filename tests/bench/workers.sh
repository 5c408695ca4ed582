#!/usr/bin/env bash
# workers.sh: images/s of two workers against one: two threads of one rank, and two ranks of one thread. The bits are the
# same. What two cores can do at most is seen in the multiply-add peak of two threads against one, printed for comparison:
# cores that share a clock or a core's units do not reach 2.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
run=(--samples 15360 --epochs 1)

for ((i = 0; i < ${ROUNDS:-7}; i++)); do
    throughput one 1 --threads 1 "${run[@]}"
    throughput threads 1 --threads 2 "${run[@]}"
    throughput ranks 2 --threads 1 "${run[@]}"
done
bench
one=$(median one)
# pair KIND
pair() {
    local two ratio
    two=$(median "$1") ratio=$(calc "$(median "$1") / $one")
    row "two workers against one: 2 $1" "$(show '**%.2f x**: %.0f against %.0f images/s' "$ratio" "$two" "$one")" ">= 1.9 x" \
        "$(judge "$ratio >= 1.9")"
}
pair threads
pair ranks
threads=$(peak threads)
show '    (%d threads against one in dtrain bench, multiply-adds only: %.2f x)\n' "$threads" \
    "$(calc "$(peak f32.all_threads_gflops) / $(peak f32.one_thread_gflops)")"
