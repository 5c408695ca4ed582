#!/usr/bin/env bash
# timeout: 240
# 24 ranks on few cores finish an epoch of 3,000 samples; and 8 restarts in a row, each after a kill, leave no process,
# shared-memory segment or temporary file behind.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
mkdir segments tmp
export OMPI_MCA_btl_vader_backing_directory=$PWD/segments OMPI_MCA_orte_tmpdir_base=$PWD/tmp TMPDIR=$PWD/tmp NO_COLOR=1
python3 "$SRC/tests/make_data.py" data --train 3000 --test 300
options=(--data data --model 'conv 8 5; relu; pool 2; fc 10' --threads 1 --progress none)

rc=0
timeout -k 5 200 "$MPIRUN" -np 24 "$DTRAIN" "${options[@]}" --micro-batch 8 --epochs 1 --out many >said 2>&1 || rc=$?
check "24 ranks end well ($rc)" [ "$rc" -eq 0 ]
check "their epoch is saved" [ -e many/best.h5 ]

for i in $(seq 8); do # killed a little later each time
    "$MPIRUN" -np 2 "$DTRAIN" "${options[@]}" --epochs 4000 --checkpoint-every 10 --keep 1 --out again --resume >said 2>&1 &
    launcher=$!
    for _ in $(seq 500); do
        ranks=$(pgrep -P $launcher -x dtrain || true)
        [ "$(wc -w <<<"$ranks")" -lt 2 ] || break
        sleep 0.02
    done
    sleep "0.$i"
    # shellcheck disable=SC2086 # ranks of this launcher alone
    set -- $ranks
    [ $# -eq 0 ] || kill -KILL "$1" 2>/dev/null || true
    rc=0
    wait $launcher || rc=$?
    check "restart $i was killed ($rc)" [ "$rc" -ne 0 ]
done
left=$(for p in /proc/[0-9]*; do
    if [ "$(readlink "$p/cwd" 2>/dev/null || true)" = "$PWD" ] && [ "$(cat "$p/comm" 2>/dev/null || true)" = dtrain ]; then echo "${p#/proc/}"; fi
done)
check "no process stays: $left" [ -z "$left" ]
check "no segment stays: $(ls segments)" [ -z "$(ls segments)" ]
check "nothing temporary stays: $(find tmp -type f)" [ -z "$(find tmp -type f)" ]
"$MPIRUN" -np 2 "$DTRAIN" "${options[@]}" --epochs 4000 --checkpoint-every 10 --keep 1 --out again --resume --time-limit 0.5 >said 2>&1 || rc=$?
check "no temporary file of a run stays" [ -z "$(find again -name '*.tmp*')" ]
finish
