#!/usr/bin/env bash
# timeout: 240
# dtrain predict on real handwriting: every digit of tests/digits is named right, and pictures made of MNIST's test images
# (200 x 200, anywhere, in any colours, as PNG and JPEG) almost as often as the images themselves; what is no digit is told.
# cli_pictures_all.sh runs it with all 10,000.
set -euo pipefail
n=${1:-1000} most=${2:-1.0} # a thousand pictures tell an accuracy up to half a point
mnist=$SRC/data/mnist
if [ ! -e "$mnist" ] && ! "$SRC/launch/fetch-data.sh" mnist "$SRC/build/mnist"; then
    echo "skipped: needs MNIST, which could not be fetched"
    exit 77
fi
[ -e "$mnist" ] || mnist=$SRC/build/mnist
if ! "$SRC/launch/fetch-python.sh" "$SRC/build/python"; then
    echo "skipped: the Python packages numpy and Pillow could not be fetched"
    exit 77
fi
export PYTHONPATH=$SRC/build/python
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"

"$DTRAIN" --data "$mnist" --model fast --epochs 1 --out run --quiet
python3 "$SRC/tests/make_pictures.py" "$mnist/t10k-images-idx3-ubyte" pictures --n "$n"
"$DTRAIN" predict run "$SRC"/tests/digits/*.png >said
wrong() { awk '{ n = split($1, part, "/"); if (substr(part[n], 1, 1) != $2) { print; bad = 1 } } END { exit !bad }' said; }
check "the digits of tests/digits are there" test "$(wc -l <said)" -ge 20
check "each is named right" eval '! wrong'
check "they are small" test "$(cat "$SRC"/tests/digits/*.png | wc -c)" -lt 100000

"$DTRAIN" predict run "$mnist/t10k-images-idx3-ubyte" --json >whole.jsonl
find pictures -type f | sort | xargs -n 1000 "$DTRAIN" predict run --json >pictures.jsonl
close() {
    python3 - "$mnist/t10k-labels-idx1-ubyte" "$most" >said 2>&1 <<'PY'
import json
import sys
labels = open(sys.argv[1], "rb").read()[8:]
read = lambda name: [json.loads(line) for line in open(name)]
whole, pictures = read("whole.jsonl"), {int(a["image"][9:14]): a for a in read("pictures.jsonl")}
share = lambda answers: 100 * sum(a["digit"] == labels[i] for i, a in answers) / len(answers)
images, made = share([(i, whole[i]) for i in sorted(pictures)]), share(sorted(pictures.items()))
refused = 100 * sum(a["digit"] is None for a in whole) / len(whole)
print("%d images: %.2f %% right; the pictures of them: %.2f %%; called no digit: %.2f %% of all images" %
      (len(pictures), images, made, refused))
assert len(pictures) >= 1000 and images > 97.5 and made > images - float(sys.argv[2])
assert refused <= 0.4
PY
}
check "pictures are named right almost as often as what they were made of" close
cat said

# --- no digits: noise, blank paper, light from one side, words, a wide row of digits ---
python3 - <<'PY'
import os
import numpy as np
from PIL import Image, ImageDraw
os.mkdir("nothing")
rng = np.random.default_rng(3)
save = lambda name, a: Image.fromarray(np.clip(a, 0, 255).astype(np.uint8)).save("nothing/%s.png" % name)
y, x = np.mgrid[0:120, 0:160] / 120
for i in range(5):
    save("noise%d" % i, rng.integers(0, 256, (40 + 30 * i, 70)))
    save("paper%d" % i, 220 + rng.normal(0, 2 + 6 * i, (120, 160)))
    save("light%d" % i, 128 + 15 * (i + 1) * (np.cos(i) * x + np.sin(i) * y - .5) + rng.normal(0, 2, x.shape))
    text = Image.new("L", (150, 40), 255)
    ImageDraw.Draw(text).text((10, 12), ["seven or nine", "no digit here", "one hundred and two", "abcdefghi", "What is it?"][i], fill=0)
    text.save("nothing/words%d.png" % i)
save("square", np.pad(np.zeros((60, 60)), 40, constant_values=255))
PY
"$DTRAIN" predict run nothing/*.png >said
check "what is no digit is told, with a figure" test "$(grep -c 'no digit: .*[0-9]' said)" -eq 21
check "... also why" eval 'grep -q "noise0.*no ink" said && grep -q "words0.*pieces of ink" said && grep -q "square.*of its box" said'
finish
