#!/usr/bin/env bash
# startup.sh: from the start of the process to the first training step, one rank, all cores; by the times in log.jsonl. It
# holds reading the data, making the network and evaluating it once untrained (epoch 0), whose part is told apart.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

for ((i = 0; i < ${ROUNDS:-11} + 1; i++)); do
    begin=$(now)
    train 1 --samples 256 --epochs 1
    [ "$i" -gt 0 ] || continue # the first one may read the program and the data from a disk
    mapfile -t times < <(said started "$scratch/run/log.jsonl")
    keep ready "$(calc "${times[0]} - $begin")"
    keep first "$(calc "${times[1]} - $begin")"
done
first=$(median first) ready=$(median ready)
row "start-up: process start to first step, 1 rank" "$(show '**%.2f s**: ready after %.2f s, then %.2f s to test %s' "$first" \
    "$ready" "$(calc "$first - $ready")" "the untrained network")" "<= 0.3 s" "$(judge "$first <= 0.3")"
