#!/usr/bin/env bash
# timeout: 200
# dtrain report: a sweep becomes a page with figures and tables that need nothing else; a browser shows it without an error
# and without a line that is wider than the window; what cannot be reported is refused in one sentence.
set -euo pipefail
if ! command -v gnuplot >/dev/null; then
    echo "skipped: needs gnuplot"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
fails() { # fails CODE WORDS ARGS...: report ends with CODE and says WORDS
    local want=$1 words=$2 code=0
    shift 2
    "$DTRAIN" report "$@" >said 2>&1 || code=$?
    [ "$code" -eq "$want" ] && grep -qF -- "$words" said
}

python3 "$SRC/tests/make_data.py" data --train 960 --test 100
small=(--data data --model 'conv 4 3; relu; pool 2; fc 10' --batch 32 --micro-batch 8 --threads 1 --epochs 2 --seeds 2)
"$MPIRUN" -np 2 "$DTRAIN" sweep "${small[@]}" --lr 0.0005 --samples 120,240,480,960 --out "a 'sweep'" >said 2>&1

# --- the page ---
check "a sweep's directory is reported" "$DTRAIN" report "a 'sweep'" -o page >said
whole() { # every figure has its two pictures and its script
    local name
    for name in size-time size-accuracy epoch-loss time-accuracy epoch-accuracy power-law speed-up efficiency breakdown model; do
        [ -s "page/$name.svg" ] && [ -s "page/$name.png" ] && [ -s "page/$name.gp" ] || return 1
        xmllint --noout "page/$name.svg" 2>/dev/null || ! command -v xmllint >/dev/null || return 1
    done
    [ -s page/index.html ] && ! compgen -G 'page/*.log' && ! compgen -G 'page/*.tmp'
}
check "all figures are there, nothing is left over" whole
check "the terminal tells the same" grep -q 'Power law: err(n) = e0 + b n^-c' said
check "the page asks for nothing from elsewhere" bash -c \
    '! grep -oE "(src|href)=\"[^\"#]+" page/index.html | grep -vE "=\"(data:,|[a-z-]+\.(csv|svg|png))$"'
check "the page has no script" bash -c '! grep -qi "<script" page/index.html'
csv() { # the tables have a heading and a row for each size, in the same number of fields
    [ "$(wc -l <page/sizes.csv)" -eq 5 ] && [ "$(awk -F, '{ print NF }' page/sizes.csv | sort -u | wc -l)" -eq 1 ] &&
        head -n 1 page/sizes.csv | grep -q '^samples,seeds,accuracy %,' && grep -q '^960,2,' page/sizes.csv
}
check "the tables are CSV" csv
check "accuracies are those of the file" python3 - <<'PY'
import csv
import glob
import sys
try:
    import h5py
except ImportError:
    sys.exit(0)
cells = h5py.File(glob.glob("a 'sweep'/sweep.h5")[0])["cells"]
for row in csv.DictReader(open("page/sizes.csv")):
    of_size = [a for a, s, k, b in zip(cells["test_accuracy"], cells["samples"], cells["kind"], cells["budget"])
               if s == int(row["samples"]) and k == 0 and b == 0]
    assert len(of_size) == int(row["seeds"]), row
    assert abs(sum(of_size) / len(of_size) - float(row["accuracy %"])) < 0.006, (row, of_size)
PY
check "a figure can be drawn again by hand" bash -c 'rm page/model.svg && cd page && gnuplot model.gp && [ -s model.svg ]'
# shellcheck disable=SC2016 # expanded by the inner shell
check "without -o the page is beside the file" bash -c '"$1" report "a '"'sweep'"'/sweep.h5" --quiet && [ -s "a '"'sweep'"'/report/index.html" ]' - "$DTRAIN"

cp "a 'sweep'/sweep.h5" any.h5
check "a file is what it says that it is, not what it is called" "$DTRAIN" report any.h5 -o any --quiet

# --- runs ---
for seed in 1 2; do
    "$MPIRUN" -np 2 "$DTRAIN" "${small[@]:0:12}" --seed $seed --lr 0.0005 --quiet --out run$seed >said 2>&1
done
check "runs are laid over each other" "$DTRAIN" report run1 run2/run.h5 -o runs >said
runs() {
    local name
    for name in loss accuracy time step-loss learning-rate gradient-norm phases-1 phases-2 confusion-1 confusion-2; do
        [ -s "runs/$name.svg" ] && [ -s "runs/$name.png" ] || return 1
    done
    [ -s runs/index.html ] && [ "$(grep -c . runs/classes-1.csv)" -eq 11 ]
}
check "with curves, phases and confusion" runs
check "and the options that differ" bash -c 'grep -q "^seed,1,2" runs/differences.csv && ! grep -q "^batch," runs/differences.csv'
digits() { # as many pictures as mistakes in the table, the page carries them, and asks for nothing else
    local n
    n=$(grep -o '<img [^>]*src="data:image/png;base64,[A-Za-z0-9+/=]*">' runs/index.html | wc -l)
    [ "$n" -ge 2 ] && [ "$n" -eq $(($(cat runs/mistakes-*.csv | wc -l) - $(find runs -name 'mistakes-*.csv' | wc -l))) ] &&
        ! grep -oE '(src|href)="[^"#]+' runs/index.html | grep -vE '="(data:|[a-z0-9-]+\.(csv|svg|png)$)'
}
check "and the most confident mistakes as digits" digits
# shellcheck disable=SC2016
check "and both digests of the parameters" bash -c '[ "$(grep ^params_sha256 runs/origin.csv | grep -oE "[0-9a-f]{64}" | sort -u | wc -l)" -eq 2 ]'

together() { # sweeps and a run on one page: parts of their own, files that do not overwrite each other
    local name
    "$DTRAIN" report run1 "a 'sweep'" any.h5 -o together >said || return 1
    for name in sweep-1-speed-up sweep-2-speed-up sweep-1-size-accuracy sweep-2-model runs-accuracy runs-loss; do
        [ -s "together/$name.svg" ] && [ -s "together/$name.png" ] && [ -s "together/$name.gp" ] || return 1
    done
    [ -s together/sweep-2-origin.csv ] && [ -s together/runs-origin.csv ] && cmp -s together/sweep-1-sizes.csv page/sizes.csv &&
        grep -qF 'id="sweep-2-scaling">any.h5: What more ranks buy' together/index.html &&
        [ -z "$(grep -oE '<h2 id="[^"]*"' together/index.html | sort | uniq -d)" ]
}
check "sweeps and runs on one page" together

long=$PWD/$(printf 'ä%.0s' {1..60})/1 other=$PWD/b/$(printf 'ä%.0s' {1..60})/1
mkdir -p "$long" "$other" && cp run1/run.h5 "$long" && cp run2/run.h5 "$other"
cat >labels.py <<'PY'
text = open("labels/loss.svg", encoding="utf-8").read()
name = "…" + 27 * "ä" + "/1"
assert text.count("1: " + name + " training") == 1 and text.count("2: " + name + " test") == 1, text
PY
labels() { # long names are cut between characters, and told from each other
    "$DTRAIN" report "$long" "$other" -o labels >said && python3 labels.py
}
check "long names" labels

# --- what cannot be ---
check "a file that is not there" fails 4 "nowhere.h5" nowhere.h5
check "no file at all" fails 2 "report needs an argument"
check "an unknown option" fails 2 "unknown option --outt" "a 'sweep'" --outt x
cp -r "a 'sweep'" bad && printf x | dd of=bad/sweep.h5 bs=1 seek=5000 conv=notrunc status=none
check "a damaged file" fails 4 "bad/sweep.h5" bad
mkdir empty
check "a directory without either" fails 4 "empty/run.h5" empty
touch file
check "a page that cannot be written" fails 4 "cannot make the directory file" "a 'sweep'" -o file/page
# shellcheck disable=SC2016
check "no gnuplot" bash -c 'mkdir none && ! PATH=$PWD/none "$1" report "a '"'sweep'"'" -o other >said 2>&1 && grep -q "install gnuplot-nox" said && [ ! -e other ]' - "$DTRAIN"

# --- in a browser ---
browser=$(command -v chromium || command -v chromium-browser || true)
# The page in a window so wide, with a script added that tells what does not fit.
probe() { # probe PAGE WIDTH OPTION
    local page=$1 width=$2
    sed 's#</body>#<script>addEventListener("load", () => { const w = document.documentElement.clientWidth, wide = [];\
for (const e of document.querySelectorAll("body *")) if (!e.closest(".scroll") \&\& !e.closest("svg") \&\& e.getBoundingClientRect().right > w + 1) wide.push(e.tagName);\
for (const s of document.querySelectorAll("figure svg")) { const b = s.viewBox.baseVal;\
for (const t of s.querySelectorAll("text")) { const r = t.getBoundingClientRect(), o = s.getBoundingClientRect();\
if (r.right > o.right + 1 || r.left < o.left - 1) wide.push(t.textContent); } }\
document.title = "fits:" + wide.length + ":" + w + ":" + wide.join(";"); });</script></body>#' "$page/index.html" >"$page/probe.html"
    # a frame of the width asked for: windows have a least width of their own
    printf '<!DOCTYPE html><title>none</title><iframe src="probe.html" style="border:0;width:%spx;height:900px" onload="setTimeout(() => { document.title = this.contentDocument.title }, 300)"></iframe>' \
        "$width" >"$page/frame.html"
    timeout 60 "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files --enable-logging=stderr \
        --user-data-dir="$PWD/profile" --virtual-time-budget=5000 --window-size=1400,1000 ${3:+"$3"} \
        --dump-dom "file://$PWD/$page/frame.html" >dom 2>said || return 1
    grep -o '<title>fits:[^<]*' dom >>said || true
    grep -q "<title>fits:0:$width:</title>" dom && ! grep -q 'CONSOLE' said
}
if [ -n "$browser" ]; then
    check "it fits a phone" probe page 390
    check "it fits a desktop" probe page 1280
    check "a page of runs too" probe runs 390
    check "a page of sweeps and a run too" probe together 390
    check "the same in the dark" probe page 390 --blink-settings=preferredColorScheme=0
else
    echo "no chromium: the page is not looked at in a browser"
fi
finish
