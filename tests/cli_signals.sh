#!/usr/bin/env bash
# timeout: 300
# SIGTERM, SIGINT and SIGUSR1, amid training and amid an evaluation, to a process alone, to one rank of several, and to the
# launcher: everything is saved, the exit code says so, and the run goes on to the bits of a run that was never stopped.
# Commands that have nothing to save end at once.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
said() { grep -qE -- "$1" said; }
digest() { sed -n 's/.*params_sha256[": ]*\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1; }
wait_for() { # wait_for COMMAND...: up to 20 s
    for _ in $(seq 2000); do
        if "$@"; then return 0; fi
        sleep 0.01
    done
    return 1
}
# start COMMAND...: in the background, its id in job. A shell has its background jobs ignore SIGINT, so Python starts them.
start() {
    python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' "$@" >said 2>&1 &
    job=$!
}
finished() { # the job's exit code in rc
    rc=0
    wait "$job" || rc=$?
}
rank_of() { pgrep -P "$1" -n -x dtrain; } # LAUNCHER: the process of its youngest rank

# An epoch is 50 short steps between two long evaluations.
python3 "$SRC/tests/make_data.py" data --train 1600 --test 40000
common=(--data data --model "conv 8 5; relu; pool 2; fc 10" --batch 32 --micro-batch 16 --epochs 2 --seed 3 --threads 1
    --progress none)
"$DTRAIN" "${common[@]}" --samples 32 --epochs 1 --out base >said 2>&1 # --init is evaluated before the first step
common+=(--init base)
start "$DTRAIN" "${common[@]}" --out whole
finished
check "a run that nobody stops" [ "$rc" -eq 0 ]
want=$(digest)

# No handler runs on the stack of a thread that computes: oneDNN's generated code does not survive that. Of each thread's
# signals, TERM (bit 14), INT (1) and USR1 (9) are not caught, and blocked but in the one that waits for them.
start "$DTRAIN" "${common[@]}" --out blocked
wait_for test -s blocked/log.jsonl
python3 - "$job" >handled <<'PY'
import glob, sys
waiting = 0
for name in glob.glob(f"/proc/{sys.argv[1]}/task/*/status"):
    masks = dict(line.split(":\t") for line in open(name) if line.startswith("Sig"))
    waiting += int(masks["SigBlk"], 16) & 0x4202 != 0x4202
    if int(masks["SigCgt"], 16) & 0x4202 or waiting > 1:
        print(name)
if waiting != 1:
    print(waiting, "threads take signals")
PY
kill "$job"
finished
check "no thread handles a signal by itself" [ ! -s handled ]

n_amid=0 # runs stopped amid the first evaluation
amid_evaluation() { [ -s "$1/log.jsonl" ]; }       # of what --init gave: the log begins before it
amid_training() { [ -e "$1/checkpoint-10.h5" ]; } # of epoch 1
# stopped DIR NAME WHEN: what every stopped run leaves
stopped() {
    check "$1: exit code $rc is 75" [ "$rc" -eq 75 ]
    check "$1: says by what" said "stopped by ($2|a signal to another rank)"
    check "$1: and how to go on" said "--resume --out $1"
    case $3 in
    # on some machine a signal now and then comes after it, so they are counted
    amid_evaluation) [ "$(readlink "$1/latest.h5")" != checkpoint-0.h5 ] || n_amid=$((n_amid + 1)) ;;
    *) check "$1: was amid training" [ "$(readlink "$1/latest.h5")" != checkpoint-0.h5 ] ;;
    esac
    check "$1: nothing temporary stays" [ -z "$(find "$1" -name '*.tmp*')" ]
}
goes_on() { # goes_on DIR RANKS
    if [ "$2" -eq 1 ]; then start "$DTRAIN" "${common[@]}" --resume --out "$1"; else
        start "$MPIRUN" -np "$2" "$DTRAIN" "${common[@]}" --resume --out "$1"
    fi
    finished
    check "$1: goes on with $2 ranks" [ "$rc" -eq 0 ]
    check "$1: to the same bits" [ "$(digest)" = "$want" ]
}

for when in amid_evaluation amid_training; do
    for name in TERM INT USR1; do
        dir=alone-$when-$name
        start "$DTRAIN" "${common[@]}" --checkpoint-every 10 --out "$dir"
        wait_for $when "$dir"
        kill -"$name" "$job"
        finished
        stopped "$dir" "SIG$name" $when
        dir=rank-$when-$name
        start "$MPIRUN" -np 2 "$DTRAIN" "${common[@]}" --checkpoint-every 10 --out "$dir"
        wait_for $when "$dir"
        kill -"$name" "$(rank_of "$job")"
        finished
        stopped "$dir" "SIG$name" $when
    done
    goes_on "alone-$when-INT" 2
    goes_on "rank-$when-TERM" 1
done

# To the launcher: mpirun passes SIGUSR1 on; of SIGTERM and SIGINT it makes SIGTERM and its own exit code, 1.
for name in USR1 TERM; do
    dir=launcher-$name
    start "$MPIRUN" -np 2 "$DTRAIN" "${common[@]}" --checkpoint-every 10 --out "$dir"
    wait_for amid_training "$dir"
    kill -"$name" "$job"
    finished
    if [ "$name" = USR1 ]; then stopped "$dir" SIGUSR1 amid_training; else
        check "$dir: not 0" [ "$rc" -ne 0 ]
    fi
    goes_on "$dir" 2
done

# The time limit is one more way.
start "$MPIRUN" -np 2 "$DTRAIN" "${common[@]}" --out limit --time-limit 0.05s
finished
check "limit: exit code 75" [ "$rc" -eq 75 ]
check "limit: says so" said "stopped by time limit"
goes_on limit 2

# A second signal of the same kind is not a wish any more: here the first would be heard after a second or more.
start "$DTRAIN" train --data data --model cnn --batch 1600 --micro-batch 1600 --threads 1 --out twice
wait_for amid_evaluation twice
kill -TERM "$job"
sleep 0.1
kill -TERM "$job"
finished
check "a second signal ends at once ($rc)" [ "$rc" -eq 143 ]

# SIGUSR1 may come twice, from Slurm and by way of mpirun.
start "$DTRAIN" train --data data --model cnn --batch 1600 --micro-batch 1600 --threads 1 --out often
wait_for amid_evaluation often
for _ in 1 2 3; do
    kill -USR1 "$job"
    sleep 0.1
done
finished
check "SIGUSR1 again is the same wish ($rc)" [ "$rc" -eq 75 ]

# Nothing to save: the usual effect of a signal, at once.
start "$DTRAIN" bench --threads 1
wait_for grep -q 'dtrain bench' said
kill -INT "$job"
finished
check "bench ends by SIGINT ($rc)" [ "$rc" -eq 130 ]
start "$DTRAIN" eval whole --data data --threads 1
wait_for grep -qs dtrain "/proc/$job/comm"
kill -TERM "$job"
finished
check "eval ends by SIGTERM ($rc)" [ "$rc" -eq 143 ]

check "signals came amid the first evaluation" [ "$n_amid" -ge 3 ]
finish
