#!/usr/bin/env bash
# robust.sh: the default run against --recipe robust, on MNIST and Fashion-MNIST, over three seeds: accuracy on the test set and
# on a distorted one (tests/distort.py). Of a run it is the checkpoint that VALIDATION (5000) held out samples chose, never the test set.
# Most of an hour on two idle cores, so all.sh runs it by name only. FASHION is the second data set (data/fashion-mnist, left
# out if it is not there), SEEDS which seeds (1 2 3). Needs numpy.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# measure SET FOLDER RECIPE: keeps clean.SET.RECIPE, distorted.SET.RECIPE and minutes.SET.RECIPE, a figure a seed
measure() {
    local set=$1 recipe=$3 seed begin kind
    for seed in ${SEEDS:-1 2 3}; do
        begin=$(now)
        data=$2 train 1 --recipe "$recipe" --seed "$seed" --validation "${VALIDATION:-5000}"
        keep "minutes.$set.$recipe" "$(calc "($(now) - $begin) / 60")"
        for kind in clean distorted; do
            quietly "$dtrain" eval "$scratch/run" --data "$([ $kind = clean ] && echo "$2" || echo "$scratch/$set")" --json
            keep "$kind.$set.$recipe" "$(said accuracy)"
        done
    done
}
spread() { show '**%.2f %%** (%.2f to %.2f)' "$(mean "$1")" "$(least "$1")" "$(most "$1")"; }

for set in mnist fashion; do
    folder=$data
    [ $set = mnist ] || folder=${FASHION:-$root/data/fashion-mnist}
    [ -d "$folder" ] || continue
    python3 "$root/tests/distort.py" "$folder" "$scratch/$set"
    for recipe in plain robust; do
        measure $set "$folder" $recipe
        target="-" verdict="-"
        if [ $set.$recipe = mnist.robust ]; then
            target=">= 99.6 %, and 5 points above plain on distorted images"
            verdict=$(judge "$(mean clean.mnist.robust) >= 99.6 && \
                $(mean distorted.mnist.robust) >= $(mean distorted.mnist.plain) + 5")
        fi
        row "recipe $recipe, $set: test accuracy, and on distorted images" \
            "$(spread "clean.$set.$recipe"), distorted $(spread "distorted.$set.$recipe"); $(show '%.1f' \
                "$(median "minutes.$set.$recipe")") minutes a run" "$target" "$verdict"
    done
done
