#!/usr/bin/env bash
# tests/distort.py makes what the benchmark of --recipe robust needs: a test set that eval takes, with the labels of its source,
# other pictures, and the same ones each time. And the benchmark's own arithmetic, on runs that take a second.
set -euo pipefail
python3 -c 'import numpy' 2>/dev/null || {
    echo "numpy is not installed"
    exit 77
}
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" data --train 640 --test 100
python3 "$SRC/tests/distort.py" data one
python3 "$SRC/tests/distort.py" data two
python3 "$SRC/tests/distort.py" data other --seed 2
images=t10k-images-idx3-ubyte labels=t10k-labels-idx1-ubyte
check "the same pictures each time" cmp one/$images two/$images
check "labels stay" cmp data/$labels one/$labels
check "pictures do not" test "$(cmp -l data/$images one/$images | wc -l)" -gt 20000
check "another seed, other pictures" test "$(cmp -l one/$images other/$images | wc -l)" -gt 20000
python3 "$SRC/tests/distort.py" data few --n 10
check "the first ten" cmp -n 7840 -i 16 few/$images one/$images
check "and no more" test "$(stat -c %s few/$images)" -eq $((16 + 7840))

DTRAIN_EPOCHS=1 VALIDATION=100 DATA=data FASHION=none SEEDS=1 "$SRC/tests/bench/robust.sh" >said 2>&1 || echo "exit code $?" >>said
check "a row for each recipe" test "$(grep -c 'recipe .*, mnist: test accuracy' said)" -eq 2
check "with both accuracies" test "$(grep -cE '\*\*[0-9.]+ %\*\* \(.*\), distorted \*\*[0-9.]+ %\*\*' said)" -eq 2
check "and a verdict" grep -qE 'target >= 99.6 %.*: (pass|miss)' said

finish
