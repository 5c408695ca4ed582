#!/usr/bin/env bash
# timeout: 180
# A run that was ended in any way goes on with other numbers of ranks and threads, and ends with the bits of a run that was
# never ended. What cannot be written does not stop a run. Shown on data made here.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
said() { grep -qE -- "$1" said; }
rc=0
train() { # train RANKS ARGUMENTS...: exit code in rc, output in said
    local ranks=$1
    shift
    rc=0
    if [ "$ranks" -eq 1 ]; then
        "$DTRAIN" "${common[@]}" "$@" >said 2>&1 || rc=$?
    else
        "$MPIRUN" -np "$ranks" "$DTRAIN" "${common[@]}" "$@" >said 2>&1 || rc=$?
    fi
}
digest() { sed -n 's/.*params_sha256[": ]*\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1; }
wait_for() { # wait_for PATH: up to 20 s
    for _ in $(seq 2000); do
        [ ! -e "$1" ] || return 0
        sleep 0.01
    done
    return 1
}

python3 "$SRC/tests/make_data.py" data
# 50 steps: 2 epochs of 25
common=(--data data --model cnn --epochs 2 --batch 64 --micro-batch 16 --seed 7 --threads 1 --progress none)
train 1 --out whole
check "a whole run" [ "$rc" -eq 0 ]
want=$(digest)
check "it tells its digest" [ ${#want} -eq 64 ]

# --- SIGKILL amid an epoch, another number of ranks goes on ---
killed() { # killed DIR ARGUMENTS...: starts two ranks, kills both once checkpoint-20.h5 is there
    local dir=$1 launcher ranks
    shift
    for _ in 1 2 3 4 5; do # again if the run was over before the signal came
        rm -rf "$dir"
        "$MPIRUN" -np 2 "$DTRAIN" "${common[@]}" --checkpoint-every 10 --out "$dir" "$@" >said 2>&1 &
        launcher=$!
        wait_for "$dir/checkpoint-20.h5"
        read -ra ranks <"/proc/$launcher/task/$launcher/children" || true
        kill -KILL "${ranks[@]}" 2>/dev/null || true
        rc=0
        wait "$launcher" 2>/dev/null || rc=$?
        [ "$(readlink "$dir/latest.h5")" = checkpoint-50.h5 ] || return 0
    done
}
killed kill
check "a killed rank ends the job with a code of its own" [ "$rc" -eq 137 ]
check "run.h5 is there from the start" [ -s kill/run.h5 ]
train 3 --resume --out kill
check "killed with 2 ranks, goes on with 3" [ "$rc" -eq 0 ]
check "the bits of the whole run" [ "$(digest)" = "$want" ]
check "it says where it goes on" said 'resumed at step (20|30|40)'
train 2 --resume --out kill
check "a finished run is finished" [ "$rc" -eq 0 ]
check "and the same" [ "$(digest)" = "$want" ]

# --- a damaged newest checkpoint: the one before it is taken ---
cp -r kill damaged
newest=$(readlink damaged/latest.h5)
truncate -s 5000 "damaged/$newest"
train 1 --resume --out damaged --threads 2
check "goes on before the damage" [ "$rc" -eq 0 ]
check "the damaged file is named" said "$newest"
check "to the same bits" [ "$(digest)" = "$want" ]

# --- a signal: everything is saved, 75 ---
"$MPIRUN" -np 2 "$DTRAIN" "${common[@]}" --checkpoint-every 5 --out signal >said 2>&1 &
launcher=$!
wait_for signal/checkpoint-5.h5
kill -USR1 "$launcher"
rc=0
wait "$launcher" || rc=$?
check "SIGUSR1 ends with 75" [ "$rc" -eq 75 ]
check "latest.h5 is there" [ -e signal/latest.h5 ]
train 1 --resume --out signal --threads 2
check "and goes on" [ "$rc" -eq 0 ]
check "to the same bits after a signal" [ "$(digest)" = "$want" ]

# --- time limits, again and again, wherever they fall ---
turns=0
mkdir limit
rc=75
while [ "$rc" -eq 75 ] && [ "$turns" -lt 40 ]; do
    turns=$((turns + 1))
    limit=$((150 + 4 * turns * turns)) # longer and longer: a busy machine may take this to start
    train $((turns % 3 + 1)) --resume --out limit --time-limit "$((limit / 1000)).$(printf %03d $((limit % 1000)))s"
done
check "a time limit ends with 75 until the run is done" [ "$rc" -eq 0 ]
check "in more than one turn ($turns)" [ "$turns" -gt 1 ]
check "to the same bits after $turns turns" [ "$(digest)" = "$want" ]

# --- what must not change, and what may not be overwritten ---
train 1 --out whole
check "a used directory is refused" [ "$rc" -eq 2 ]
check "with the way out" said -- '--resume'
train 2 --resume --out signal --lr 0.123
check "another learning rate is refused" [ "$rc" -eq 2 ]
check "both values are shown" said 'lr.*0\.123'
python3 "$SRC/tests/make_data.py" other --seed 2
train 1 --resume --out signal --data other
check "other data are refused" [ "$rc" -eq 3 ]
check "the file is named" said 'other/train-images'
train 1 --resume --out fresh --epochs 1
check "--resume without a checkpoint starts afresh" [ "$rc" -eq 0 ]
train 1 --epochs 1
check "a directory by default" [ "$rc" -eq 0 ]
check "runs/latest links to it" [ -s runs/latest/run.h5 ]
train 1 --epochs 1 --resume
check "and is what --resume takes by default" said 'runs/[0-9]{8}-[0-9]{6}'

# --- a file system that is full, or turns read-only ---
unshare_as_root=(unshare --mount)
[ "$(id -u)" -eq 0 ] || unshare_as_root=(unshare --mount --map-root-user)
mkdir small
if ! "${unshare_as_root[@]}" mount -t tmpfs -o size=64k none small 2>/dev/null; then
    echo "not tried: full and read-only file systems (mounting is not allowed here)"
else
    cat >on_tmpfs.sh <<'SH'
# on_tmpfs.sh SIZE TURNS_READ_ONLY COMMAND...
mount -t tmpfs -o "size=$1" none small
turns=$2
shift 2
"$@" &
if [ "$turns" = yes ]; then
    for i in $(seq 400); do [ ! -e small/run/checkpoint-5.h5 ] || break; sleep 0.05; done
    for i in $(seq 100); do ! mount -o remount,ro small 2>remount || break; sleep 0.01; done
fi
rc=0
wait $! || rc=$?
ls small/run >listed
exit $rc
SH
    rc=0
    "${unshare_as_root[@]}" bash on_tmpfs.sh 1m no "$MPIRUN" -np 2 "$DTRAIN" "${common[@]}" --progress lines \
        --out small/run >said 2>&1 || rc=$?
    check "a full disk: exit code 4" [ "$rc" -eq 4 ]
    check "the reason is given" said 'No space left'
    check "training goes on to the end" said 'epoch +2/2'
    check "no half file stays" [ -z "$(grep -E 'tmp|checkpoint' listed)" ]
    rc=0
    "${unshare_as_root[@]}" bash on_tmpfs.sh 1m no "$MPIRUN" -np 2 "$DTRAIN" "${common[@]}" --checkpoint-every 1 --lr 1e9 \
        --out small/run >said 2>&1 || rc=$?
    check "a loss that explodes on a full disk: exit code 7" [ "$rc" -eq 7 ]
    check "no checkpoint is promised that was not written" said 'there is no checkpoint yet'
    rc=0
    "${unshare_as_root[@]}" bash on_tmpfs.sh 100m yes "$DTRAIN" "${common[@]}" --checkpoint-every 5 --progress lines \
        --out small/run >said 2>&1 || rc=$?
    check "a disk that turns read-only: exit code 4" [ "$rc" -eq 4 ]
    check "with the reason" said 'Read-only file system'
    check "and training goes on" said 'epoch +2/2'
    check "what was written stays" grep -q 'checkpoint-5.h5' listed
fi

finish
