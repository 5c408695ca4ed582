#!/usr/bin/env bash
# timeout: 120
# Augmented runs keep the promise: the same bits for every number of ranks and threads, and from a checkpoint amid an epoch.
# A short last step, so that some micro-batches lack samples.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" data --train 700 --test 100
common=(--data data --batch 160 --micro-batch 16 --epochs 2 --seed 7 --progress none
    --model "conv 8 3; relu; pool 2; dropout 0.2; fc 10")
train() { # train RANKS ARGUMENTS...: exit code in rc
    local ranks=$1
    shift
    local launcher=("$MPIRUN" -np "$ranks")
    [ "$ranks" -gt 1 ] || launcher=()
    rc=0
    "${launcher[@]}" "$DTRAIN" "${common[@]}" "$@" >said 2>&1 || rc=$?
}
digest() { sed -n 's/.*params_sha256[": ]*\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1; }

train 1 --threads 1 --out none
none=$(digest)
for kind in affine elastic; do
    train 1 --threads 1 --augment $kind --checkpoint-every 3 --keep 9 --out $kind
    want=$(digest)
    check "$kind: a run" [ "$rc" -eq 0 -a ${#want} -eq 64 ]
    check "$kind: bits of its own" [ "$want" != "$none" ]
    none=$want
done
check "the banner says it" grep -q 'augment elastic' said
for ranks in 1 2 3; do
    for threads in 1 2; do
        [ "$ranks$threads" != 11 ] || continue
        train $ranks --threads $threads --augment elastic --out elastic-$ranks-$threads
        check "$ranks ranks x $threads threads: the same bits" [ "$rc$(digest)" = "0$want" ]
    done
done

# 5 steps an epoch: step 3 and step 6 are amid one.
for step in 3 6; do
    mkdir resumed-$step
    cp elastic/checkpoint-$step.h5 resumed-$step/
    train 2 --threads 2 --augment elastic --resume --out resumed-$step
    check "from step $step: goes on there" grep -q "resumed at step $step" said
    check "from step $step: the same bits" [ "$rc$(digest)" = "0$want" ]
done
mkdir refused
cp elastic/checkpoint-3.h5 refused/
train 1 --augment affine --resume --out refused
check "resumed with another --augment: refused" [ "$rc" -eq 2 ]
check "with both values" grep -q -- '--augment elastic (now affine)' said

# Evaluation sees pictures as they are.
rc=0
"$DTRAIN" eval elastic --data data --last --json >said 2>&1 || rc=$?
check "eval" [ "$rc" -eq 0 ]

# The simulated device: the queue, graphs and plain launches, two ranks.
if [ -e "${SIMDEV_DIR:-}/libsimdev_kernels.so" ]; then
    simulated() { # simulated RANKS ARGUMENTS...
        local ranks=$1
        shift
        rc=0
        "$SRC/tests/simdev/run" "$MPIRUN" -np "$ranks" "$DTRAIN" "${common[@]}" --device cuda --samples 200 "$@" >said 2>&1 || rc=$?
    }
    simulated 1 --out sim-none
    none=$(digest)
    simulated 1 --augment elastic --out sim-1
    want=$(digest)
    check "simulated: bits of its own" [ "$rc" -eq 0 -a ${#want} -eq 64 -a "$want" != "$none" ]
    simulated 2 --augment elastic --no-graph --out sim-2
    check "simulated, 2 ranks, plain launches: the same bits" [ "$rc$(digest)" = "0$want" ]
fi

finish
