#!/usr/bin/env bash
# accuracy.sh: test accuracy of the default run, `dtrain`, over five seeds: the last epoch's, never the best one's.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

for seed in 1 2 3 4 5; do
    begin=$(now)
    train 1 --seed "$seed"
    keep seconds "$(calc "$(now) - $begin")"
    keep accuracy "$(said accuracy)"
done
accuracy=$(mean accuracy)
row "test accuracy of the default run (3 epochs)" "$(show '**%.2f %%** (mean of 5 seeds; %.2f to %.2f), %.1f s a run' \
    "$accuracy" "$(least accuracy)" "$(most accuracy)" "$(median seconds)")" ">= 99.2 %" "$(judge "$accuracy >= 99.2")"
