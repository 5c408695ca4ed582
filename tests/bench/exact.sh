#!/usr/bin/env bash
# exact.sh: what exact sums cost: the time of a step with fixed-point sums (int64) against the ordinary float all-reduce, two
# ranks of one thread, batch 256.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
run=(2 --threads 1 --batch 256 --samples 15360 --epochs 2)

for ((i = 0; i < ${ROUNDS:-7}; i++)); do
    throughput exact "${run[@]}" --reduce exact
    throughput float "${run[@]}" --reduce float
done
exact=$(calc "1000 * 256 / $(median exact)") float=$(calc "1000 * 256 / $(median float)")
percent=$(calc "100 * ($exact / $float - 1)")
row "exact against float sums, 2 ranks, batch 256" "$(show '**%+.1f %%**: %.2f against %.2f ms a step' "$percent" "$exact" \
    "$float")" "<= 5 %" "$(judge "$percent <= 5")"
