#!/usr/bin/env bash
# timeout: 200
# sanitizers: yes
# dtrain predict and features: pictures of every kind and IDX files, one line each, in their order; what cannot be read is told, and the
# others are answered all the same. JSON holds all probabilities.
set -euo pipefail
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
fails() { # fails CODE WORDS ARGS...: predict ends with CODE and says WORDS
    local want=$1 words=$2 code=0
    shift 2
    "$DTRAIN" predict "$@" >out 2>said || code=$?
    [ "$code" -eq "$want" ] && { [ -z "$words" ] || grep -qF -- "$words" said; }
}

# pictures in the plainest format: a bar on a ground, GREY WIDTH HEIGHT of the ground, INK of the bar
bar() {
    python3 - "$@" <<'PY'
import sys
ground, width, height, ink = map(int, sys.argv[1:])
inside = lambda x, y: 5 * width // 12 <= x < 7 * width // 12 and height // 5 <= y < 4 * height // 5
sys.stdout.buffer.write(b"P5 %d %d 255\n" % (width, height) + bytes(
    ink if inside(x, y) else ground for y in range(height) for x in range(width)))
PY
}
python3 "$SRC/tests/make_data.py" data --train 1600 --test 100
"$DTRAIN" --data data --model 'conv 4 3; relu; pool 2; fc 10' --epochs 2 --batch 32 --micro-batch 8 --threads 1 --out run --quiet
bar 255 60 90 0 >dark.pgm
bar 10 200 300 200 >light.pgm
bar 90 50 50 90 >blank.pgm
head -c 500 light.pgm >cut.pgm

# --- IDX files: the pictures as they are, so the counts are those of eval ---
"$DTRAIN" eval run --data data --json >eval.json
"$DTRAIN" predict run data/t10k-images-idx3-ubyte --json >idx.jsonl
same_as_eval() {
    python3 - <<'PY'
import json
confusion = json.load(open("eval.json"))["confusion"]
answers = [json.loads(line) for line in open("idx.jsonl")]
assert [a["index"] for a in answers] == list(range(100))
got = [[0] * 10 for _ in range(10)]
for i, a in enumerate(answers):
    p = a["probabilities"]
    assert len(p) == 10 and abs(sum(p) - 1) < 1e-9 and p.index(max(p)) == a["nearest"]
    assert a["digit"] in (None, a["nearest"]) and (a["digit"] is None) == ("why" in a)
    got[i % 10][a["nearest"]] += 1
assert got == confusion, (got, confusion)
PY
}
check "an IDX file's answers are those of eval" same_as_eval
gzip -k data/t10k-images-idx3-ubyte
"$DTRAIN" predict run data/t10k-images-idx3-ubyte.gz >said
check "every picture has a line, and the file a count" test "$(wc -l <said)" -eq 101
check "the count is of all" grep -qE '^data/t10k-images-idx3-ubyte.gz: 100 pictures: 0 x [0-9]+, .*9 x [0-9]+, no digit x [0-9]+$' said
check "a gzipped IDX file gives the same as a plain one" \
    cmp <("$DTRAIN" predict run data/t10k-images-idx3-ubyte.gz --json | sed 's/\.gz//') idx.jsonl

# --- pictures ---
"$DTRAIN" predict run dark.pgm light.pgm blank.pgm --json >said
forms() {
    python3 - <<'PY'
import json
dark, light, blank = [json.loads(line) for line in open("said")]
assert max(abs(a - b) for a, b in zip(dark["probabilities"], light["probabilities"])) < 0.2, (dark, light)
assert dark["contrast"] == 255 and light["contrast"] == 190 and dark["pieces"] == light["pieces"] == 1
assert dark["box"] == [25, 18, 10, 54] and light["box"] == [83, 60, 33, 180], (dark, light)
assert blank["digit"] is None and blank["why"].startswith("no ink: contrast 0 "), blank
PY
}
check "the same shape, dark or light, of any size" forms
"$DTRAIN" predict run dark.pgm blank.pgm >said
check "one line a picture" test "$(wc -l <said)" -eq 2
check "... a blank one is told as such" grep -q "^blank.pgm  no digit: no ink" said
check "a picture that is cut: exit code 3" fails 3 "cut.pgm: cut short" run dark.pgm cut.pgm blank.pgm none.png
check "... and one that is not there" grep -q 'none.png' said
check "... and how many" grep -q '2 of 4 files could not be read' said
check "... and the others are answered" test "$(cut -d' ' -f1 out | paste -sd' ')" = "dark.pgm blank.pgm"
# --- features: a sheet for each layer, the filters, the saliency ---
"$DTRAIN" features run dark.pgm -o sheets/f >said
check "all sheets are told" test "$(sed 's/^sheets.f.//' said | paste -sd' ')" = "saliency.png filters.png 01-conv1.png 02-relu1.png 03-pool1.png 04-fc1.png"
sheets() { # each a PNG of some size
    python3 - <<'PY'
import glob, struct
names = glob.glob("sheets/f/*")
assert len(names) == 6, names
for name in names:
    head = open(name, "rb").read(24)
    width, height = struct.unpack(">II", head[16:])
    assert head.startswith(b"\x89PNG\r\n") and 200 < width < 2000 and 100 < height < 2000, (name, width, height)
PY
}
check "... and are pictures" sheets
features() { code=0 && "$DTRAIN" features "$@" >said 2>&1 || code=$?; }
features run cut.pgm -o sheets/g
check "features of a picture that is cut: exit code 3, and no folder" test "$code" = 3 -a ! -e sheets/g
features run dark.pgm light.pgm -o sheets/g
check "... of two pictures" test "$code" = 2
features run dark.pgm -o dark.pgm
check "... where a file is" test "$code" = 4

check "a text is no picture" fails 3 "no picture that is read here" run "$0"
check "labels are no pictures" fails 3 "1 dimensions; pictures have 3" run data/t10k-labels-idx1-ubyte
check "no picture at all" fails 2 "predict needs arguments: dtrain predict CHECKPOINT IMAGE..." run
check "no checkpoint" fails 4 "cannot open" nowhere.h5 dark.pgm
several() { ! "$MPIRUN" -np 2 "$DTRAIN" predict run dark.pgm >out 2>said && grep -q "predict is for one process" said; }
check "several ranks" several
python3 "$SRC/tests/make_data.py" wide --train 160 --test 20 --size 32
"$DTRAIN" --data wide --model 'fc 10' --epochs 1 --batch 32 --micro-batch 8 --threads 1 --out wide/run --quiet
check "a network of 32 x 32 takes IDX files" fails 0 "" wide/run wide/t10k-images-idx3-ubyte
check "... of its size" fails 3 "pictures of 28 x 28; the network takes 1 x 32 x 32" wide/run data/t10k-images-idx3-ubyte
check "... and no pictures" fails 2 "only for 1 x 28 x 28" wide/run dark.pgm
finish
