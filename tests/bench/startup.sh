#!/usr/bin/env bash
# startup.sh: from the start of the process to the first training step, one rank, all cores, by the time of log.jsonl's first
# line. It holds reading the data and making the network.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

for ((i = 0; i < ${ROUNDS:-11} + 1; i++)); do
    begin=$(now)
    train 1 --samples 256 --epochs 1
    [ "$i" -gt 0 ] || continue # the first one may read the program and the data from a disk
    keep first "$(calc "$(said started "$scratch/run/log.jsonl") - $begin")"
done
first=$(median first)
row "start-up: process start to first step, 1 rank" "$(show '**%.2f s**' "$first")" "<= 0.3 s" "$(judge "$first <= 0.3")"
