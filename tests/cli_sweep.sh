#!/usr/bin/env bash
# timeout: 240
# dtrain sweep: killed and started again it does nothing twice; what cannot be is refused before the first cell; cells that
# fail are recorded and the others go on; a cell is the same training, to the last bit, as dtrain train.
set -euo pipefail
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
small=(--data data --model 'conv 4 3; relu; pool 2; fc 10' --batch 32 --micro-batch 8 --threads 1)
sweep() { # sweep RANKS OPTIONS...: its exit code in $code, what it says in said
    local n=$1
    shift
    code=0
    timeout 150 "$MPIRUN" -np "$n" "$DTRAIN" sweep "${small[@]}" "$@" >said 2>&1 || code=$?
}
refused() { # refused CODE WORDS OPTIONS...: on 2 ranks
    local want=$1 words=$2
    shift 2
    sweep 2 "$@"
    [ "$code" -eq "$want" ] && grep -qF -- "$words" said
}
cells() { grep -c '"event":"cell"' "$1/log.jsonl"; }
python3 "$SRC/tests/make_data.py" data --train 1200 --test 100

# --- killed in the middle, twice; then to its end
plan=(--samples '300,600,1200' --epochs 2 --seeds 2 --repeats 1 --out out/s)
total=20 # 10 time cells, 2 of them whole epochs; 3 sizes by epochs and 2 by steps, 2 seeds each
killed() { # killed CELLS: kill -9 the launcher and the ranks once so many cells are done
    "$MPIRUN" -np 2 bash -c 'echo $$ >>pids; exec "$@"' - "$DTRAIN" sweep "${small[@]}" "${plan[@]}" >said 2>&1 &
    local launcher=$! i
    for ((i = 0; i < 600; i++)); do
        if [ -e out/s/log.jsonl ] && [ "$(cells out/s)" -ge "$1" ]; then
            break
        fi
        sleep 0.1
    done
    # shellcheck disable=SC2046
    kill -9 "$launcher" $(cat pids) 2>/dev/null || true
    wait "$launcher" 2>/dev/null || true
    rm -f pids
    [ "$(cells out/s)" -ge "$1" ] && [ "$(cells out/s)" -lt "$total" ]
}
check "killed after 2 cells" killed 2
check "killed after 6 cells" killed 6
before=$(cells out/s)
sweep 2 "${plan[@]}"
check "goes on to its end" [ "$code" -eq 0 ]
check "says what was there" grep -qF "cells are there already" said
check "all cells done" grep -qF "$total cells done, 0 of them failed" said
check "the same bits" grep -qF "10 time cells of 5 kinds (batch and updates): within a kind all ended with the same parameters" said
# A cell is written before its line: the one between the two when it was killed has no line.
lost=$((total - $(cells out/s)))
check "nothing done twice" [ "$lost" -ge 0 ] && check "but for the kills nothing lost" [ "$lost" -le 2 ]
names() { # names FILE: what each cell is, a line each; accuracy cells run on whatever ranks are free
    local column columns=()
    for column in kind scaling budget samples batch epochs seed repeat ranks; do
        h5dump -d "/cells/$column" -y -w 1 "$1" | awk '/DATA \{/ { n++; next } n == 1 && /\}/ { n++ } n == 1' | grep -oE '[0-9]+' >"$column.txt"
        columns+=("$column.txt")
    done
    paste "${columns[@]}" | awk '$1 == 0 { $NF = 0 } { print }'
}
no_repeats() { # no_repeats FILE: each of the cells is there, and once
    [ "$(names "$1" | wc -l)" -eq "$total" ] && [ -z "$(names "$1" | tr '\t' ' ' | sort | uniq -d)" ]
}
check "no cell twice in the file" no_repeats out/s/sweep.h5
check "only what was left" [ "$(grep -c '^\[' said)" -le $((total - before)) ]
sweep 2 "${plan[@]}"
check "a sweep that is done does nothing" [ "$code" -eq 0 ] && check "no cell again" [ "$(grep -c '^\[' said)" -eq 0 ]

# --- refused before the first cell
check "unsorted" refused 2 "300 follows 600" --samples 600,300
check "no number" refused 2 "'x' is no whole number" --samples 300,x
check "more than there are" refused 2 "--samples: 5000 is out of range; give numbers from 1 to 1200" --samples 300,5000
check "more ranks than there are" refused 2 "--ranks: 4 is out of range; give numbers from 1 to 2" --ranks 1,4
check "another configuration" refused 2 "--seeds 2 (now 3)" --samples 300,600,1200 --epochs 2 --seeds 3 --repeats 1 --out out/s
check "another model" refused 2 "--model conv 4 3; relu; pool 2; fc 10 (now fc 10)" "${plan[@]}" --model 'fc 10'
check "nothing to do" refused 2 "nothing to do" --scaling none --budget none
cp -r data other
python3 "$SRC/tests/make_data.py" other --train 1200 --test 100 --seed 9
check "other data" refused 2 "was made with other data" "${plan[@]}" --data other

# --- a file that cannot be read now may be whole: it is left where it is
cat >stale.c <<'C'
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if ((flags & O_ACCMODE) == O_RDONLY && strcmp(path, "out/s/sweep.h5") == 0) {
        errno = ESTALE;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
C
"${CC:-cc}" -shared -fPIC -O1 -std=c11 -D_GNU_SOURCE -o stale.so stale.c
sum=$(sha256sum <out/s/sweep.h5)
export LD_PRELOAD=$PWD/stale.so
sweep 2 "${plan[@]}"
unset LD_PRELOAD
check "a file that cannot be read" [ "$code" -eq 4 ] && check "says why" grep -qF "cannot open out/s/sweep.h5: Stale file handle" said
check "it is left where it is" [ "$(sha256sum <out/s/sweep.h5)" = "$sum" ] && check "and not called damaged" [ ! -e out/s/sweep.h5.damaged ]

# --- a damaged file: its cells but the last, which is done again
printf '\x55' | dd of=out/s/sweep.h5 bs=1 seek=5000 conv=notrunc 2>/dev/null
sweep 2 "${plan[@]}"
check "goes on from a damaged file" [ "$code" -eq 0 ]
check "names it" grep -qF "sweep.h5.damaged" said
check "all cells again" grep -qF "$total cells done, 0 of them failed" said

# --- a damaged file that cannot be put aside: the whole one before it is left alone
printf '\x55' | dd of=out/s/sweep.h5 bs=1 seek=5000 conv=notrunc 2>/dev/null
mv out/s/sweep.h5.damaged was && mkdir out/s/sweep.h5.damaged
sum=$(sha256sum <out/s/sweep.h5.before)
check "cannot be put aside" refused 4 "it cannot be put aside as out/s/sweep.h5.damaged" "${plan[@]}"
check "the version before is as it was" [ "$(sha256sum <out/s/sweep.h5.before)" = "$sum" ]
rmdir out/s/sweep.h5.damaged

# --- a job of other ranks: times would mix
sweep 2 --samples 300 --epochs 1 --seeds 1 --repeats 1 --budget none --ranks 1 --out out/one
sweep 1 --samples 300 --epochs 1 --seeds 1 --repeats 1 --budget none --ranks 1 --out out/one
check "another job" [ "$code" -eq 2 ] && check "its ranks are named" grep -qF "made by a job of 2 ranks, this one has 1" said

# --- cells that fail are tried again
again=(--scaling none --samples 300 --seeds 2 --epochs 1 --budget epochs --out out/again --init checkpoint.h5)
sweep 2 "${again[@]}"
check "no checkpoint to begin with" [ "$code" -eq 4 ] && check "both cells fail" grep -qF "2 cells done, 2 of them failed" said
"$DTRAIN" "${small[@]}" --samples 300 --epochs 1 --quiet --out made && cp made/latest.h5 checkpoint.h5
sweep 2 "${again[@]}"
check "tried again" [ "$code" -eq 0 ] && check "and said" grep -qF "2 of them failed before, and are tried again" said
check "their rows are replaced" grep -qF "2 cells done, 0 of them failed" said

# --- cells that diverge are not
sweep 2 --scaling none --samples 300,600 --seeds 2 --epochs 1 --budget epochs --lr 1e30 --out out/bad
check "a failure is told" [ "$code" -eq 7 ]
check "the others went on" grep -qF "4 of 4 cells failed, the first with: diverged" said
check "each is recorded" [ "$(grep -c '"status":7' out/bad/log.jsonl)" -eq 4 ]
sweep 2 --scaling none --samples 300,600 --seeds 2 --epochs 1 --budget epochs --lr 1e30 --out out/bad
check "and not tried again" [ "$(grep -c '"status":7' out/bad/log.jsonl)" -eq 4 ]

# --- stopped, and gone on in the newest directory by itself
few=(--scaling none --samples '300,600' --seeds 1 --epochs 1 --budget epochs)
sweep 2 "${few[@]}" --time-limit 0.001
check "out of time" [ "$code" -eq 75 ]
check "says how to go on" grep -qF "start it again" said
first=$(readlink sweeps/latest)
printf '\x55' | dd of=sweeps/latest/sweep.h5 bs=1 seek=3000 conv=notrunc 2>/dev/null
sweep 2 "${few[@]}"
check "goes on in sweeps/latest" [ "$code" -eq 0 ] && check "the same directory" [ "$(readlink sweeps/latest)" = "$first" ]
check "its damaged file is named, not skipped" grep -qF "sweep.h5.damaged" said
sweep 1 "${few[@]}" --ranks 1 --json --trace trace.json
check "a new one in another directory" [ "$(readlink sweeps/latest)" != "$first" ]
cat >bits.py <<'PY'
import json, sys
cells = [json.loads(line) for line in open("said") if line.startswith("{")]
run = [json.loads(line) for line in open("run.json") if line.startswith("{")]
cell = [c for c in cells if c["samples"] == 600][0]
assert cell["params_sha256"] and cell["params_sha256"] == run[-1]["params_sha256"], (cell, run[-1])
events = json.load(open("trace.json"))["traceEvents"]
assert {"input", "compute", "update", "evaluation", "cell"} <= {e["name"] for e in events}
assert all(e["dur"] >= 0 for e in events if e["ph"] == "X")
PY
"$DTRAIN" "${small[@]}" --samples 600 --epochs 1 --json --out run >run.json
check "the bits of dtrain train, and a trace" python3 bits.py
mkdir empty
PATH=$PWD/empty "$DTRAIN" sweep "${small[@]}" "${few[@]}" --ranks 1 --out out/g >said 2>&1 || true
check "no gnuplot is told" grep -qF "there is no gnuplot" said
finish
