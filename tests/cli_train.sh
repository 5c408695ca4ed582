#!/usr/bin/env bash
# timeout: 120
# sanitizers: yes
# What `dtrain train` and `dtrain eval` make of bad input: one sentence that names the file, option or step, the documented
# exit code, and nothing lost. And what they leave behind when all is well. On data made here.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
said() { grep -qE -- "$1" said; }
run() { # run RANKS COMMAND ARGUMENTS...: exit code in rc, output in said
    local ranks=$1
    shift
    rc=0
    if [ "$ranks" -eq 1 ]; then
        "$DTRAIN" "$@" >said 2>&1 || rc=$?
    else
        "$MPIRUN" -np "$ranks" "$DTRAIN" "$@" >said 2>&1 || rc=$?
    fi
}
common=(--model "fc 10" --batch 32 --micro-batch 8 --epochs 2 --lr 0.01 --threads 1 --progress none --data data)
digest() { sed -n 's/.*params_sha256[": ]*\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1; }
train() { # train RANKS ARGUMENTS...
    local ranks=$1
    shift
    run "$ranks" train "${common[@]}" "$@"
}
# refused RANKS CODE WORDS ARGUMENTS...: exit code CODE, WORDS in the sentence, no run directory, one sentence for all ranks
refused() {
    local ranks=$1 code=$2 words=$3
    shift 3
    rm -rf refused
    train "$ranks" --out refused "$@"
    check "$* with $ranks ranks: exit code $rc, not $code" [ "$rc" -eq "$code" ]
    check "$*: says '$words'" said "$words"
    check "$*: says it once" [ "$(grep -c '^dtrain: ' said)" -eq 1 ]
    check "$*: leaves no run behind" [ ! -e refused/run.h5 ]
}

python3 "$SRC/tests/make_data.py" data --train 256 --test 50

# --- a run in order ---
train 2 --out good --validation 32 --keep 1 --checkpoint-every 3
check "exit code 0" [ "$rc" -eq 0 ]
check "nothing on stderr" [ -z "$(grep '^dtrain: ' said)" ]
check "latest.h5" [ "$(readlink good/latest.h5)" = checkpoint-14.h5 ]
check "best.h5 is of the end of an epoch" grep -qE '^checkpoint-(7|14).h5$' <<<"$(readlink good/best.h5)"
check "all but the newest and the best are gone" [ "$(find good -name 'checkpoint-*' | wc -l)" -le 2 ]
check "nothing temporary" [ -z "$(find good -name '*.tmp')" ]
check "the log is one JSON object a line" python3 -c '
import json, sys
events = [json.loads(line) for line in open("good/log.jsonl")]
names = [e["event"] for e in events]
assert names == ["start", "epoch", "epoch", "end"], names
assert [e["epoch"] for e in events[1:3]] == [1, 2]
assert "validation_accuracy" in events[1] and "train_loss" in events[1]
assert events[-1]["exit_code"] == 0 and events[-1]["step"] == 14
'
run 2 train "${common[@]}" --out json --json --target-accuracy 1
check "a reached target is a finished run" [ "$rc" -eq 0 ]
check "which stops there" python3 -c '
import json
events = [json.loads(line) for line in open("said")]
assert [e["epoch"] for e in events if e["event"] == "epoch"] == [1], events
assert events[-1]["event"] == "end" and events[-1]["exit_code"] == 0
'
train 1 --out single
want=$(digest)
train 3 --out overlap --overlap on
check "3 ranks with overlap: the bits of one" [ "$(digest)" = "$want" ]
train 1 --out json --resume --target-accuracy 1
check "and stays finished" [ "$rc" -eq 0 ]

# --- eval ---
run 1 eval good --data data --json --last
cp said one
run 3 eval good/checkpoint-14.h5 --data data --json
check "eval counts every sample once" python3 -c '
import json
one, three = json.load(open("one")), json.load(open("said"))
assert one["samples"] == 50 == sum(map(sum, one["confusion"]))
assert one["correct"] == sum(one["confusion"][c][c] for c in range(10)) == round(one["accuracy"] / 2)
for key in ("loss", "accuracy", "confusion", "classes", "samples"):
    assert one[key] == three[key], key
last = [json.loads(line) for line in open("good/log.jsonl")][-2]
assert one["loss"] == last["test_loss"] and one["accuracy"] == last["test_accuracy"]
'
run 1 eval good --data data
check "eval for people" said '^loss 0\.[0-9]+  accuracy [0-9.]+%'
run 1 eval nowhere --data data
check "eval of nothing" [ "$rc" -eq 4 ]
check "names it" said nowhere
python3 "$SRC/tests/make_data.py" small --size 20 --train 40 --test 20
run 2 eval good --data small
check "eval on images of another size" [ "$rc" -eq 3 ]
check "names both sizes" said '1 x 20 x 20.*1 x 28 x 28'
python3 "$SRC/tests/make_data.py" many --classes 12 --train 48 --test 24
run 1 eval good --data many
check "eval on more classes" [ "$rc" -eq 3 ]

# --- refusals ---
refused 2 3 'nodata' --data nodata
refused 2 3 'many/.*label (10|11)' --data many
refused 1 2 '257.*256' --samples 257
refused 2 2 '--validation 256' --validation 256
refused 2 2 'smaller than.*micro-batch' --batch 4
refused 2 2 'conv 32 99' --model 'conv 32 99 pad 0; fc 10'
refused 2 2 '[Tt][Ff]32' --precision tf32
refused 1 4 'nowhere' --init nowhere
(mkdir -p elsewhere && cd elsewhere && { "$DTRAIN" train --data ../data --init nowhere >/dev/null 2>&1 || true; })
check "a refused run does not move runs/latest" [ ! -e elsewhere/runs ]
refused 2 4 'another network' --init good --model 'fc 16; relu; fc 10'
run 1 train --data data --batch 4 --out refused
check "a batch below the back end's own micro-batch" [ "$rc" -eq 2 ]
check "both numbers" said '4 is smaller than the micro-batch of 16'
cp -r data cut
truncate -s 1000 cut/train-images-idx3-ubyte
refused 2 3 'cut/train-images' --data cut
mkdir -p file && touch file/out
train 2 --out file/out
check "a run directory that is a file: exit code 4" [ "$rc" -eq 4 ]
check "names it" said file/out

# --- init, and what it starts from ---
train 1 --out init --init good --epochs 1
check "--init starts from a checkpoint" [ "$rc" -eq 0 ]
check "and is as good as that before any training" python3 -c '
import json
last = [json.loads(line) for line in open("good/log.jsonl")]
best = [e for e in last if e.get("is_best")][-1]
first = json.loads(open("init/log.jsonl").readlines()[1])
assert first["epoch"] == 0 and first["test_loss"] == best["test_loss"], (first, best)
'

# --- a loss that explodes ---
train 2 --out good --resume --lr 1e9
check "not by --resume with another rate" [ "$rc" -eq 2 ]
train 2 --out wild --lr 1e9 --model 'fc 32; relu; fc 32; relu; fc 10'
check "an exploding loss: exit code 7" [ "$rc" -eq 7 ]
check "names step and rate" said 'diverged at step [0-9]+ .*1e\+09'
check "once" [ "$(grep -c '^dtrain: ' said)" -eq 1 ]
rc=0
"$DTRAIN" train "${common[@]}" --out wilder --lr 1e9 --model 'fc 32; relu; fc 32; relu; fc 10' --json >said 2>/dev/null || rc=$?
check "with --json too" [ "$rc" -eq 7 ]
check "the last event tells of it" python3 -c '
import json
end = [json.loads(line) for line in open("said")][-1]
assert end["event"] == "end" and end["exit_code"] == 7 and "diverged at step" in end["reason"], end
'

finish
