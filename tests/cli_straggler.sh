#!/usr/bin/env bash
# timeout: 120
# A rank that is slow (stopped for three quarters of the time) is named in the epoch's line, in log.jsonl and in run.h5.
set -euo pipefail

python3 "$SRC/tests/make_data.py" data --train 1024 --test 100
"$MPIRUN" -np 2 "$DTRAIN" --data data --model 'conv 16 5; relu; pool 2; conv 32 3; relu; fc 10' --batch 256 --micro-batch 16 --epochs 8 --threads 1 \
    --progress lines --out run >said 2>&1 &
launcher=$!
slow=
for _ in $(seq 1000); do
    for rank in $(pgrep -P $launcher -x dtrain); do # of this launcher
        ! tr '\0' '\n' <"/proc/$rank/environ" | grep -qx OMPI_COMM_WORLD_RANK=1 || slow=$rank
    done
    [ -z "$slow" ] || break
    sleep 0.01
done
python3 - "$slow" <<'PY'
import os, signal, sys, time
try:
    while True:
        os.kill(int(sys.argv[1]), signal.SIGSTOP)
        time.sleep(0.075)
        os.kill(int(sys.argv[1]), signal.SIGCONT)
        time.sleep(0.025)
except ProcessLookupError:
    pass
PY
rc=0
wait $launcher || rc=$?
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
host=$(hostname)
check "it ends" [ "$rc" -eq 0 ]
named() { grep -cE "^epoch .*  rank $1 \($host\) costs [0-9]+%" said || true; }
check "lines of epochs name it" [ "$(named 1)" -ge 2 ]
check "and rarely the other one" [ "$(named 1)" -gt "$(named 0)" ]
check "log.jsonl does" python3 - "$host" <<'PY'
import json, sys
epochs = [e for e in map(json.loads, open("run/log.jsonl")) if e["event"] == "epoch" and e["epoch"] > 0]
slow = [e for e in epochs if e.get("slowest_rank") == 1 and e["slowest_host"] == sys.argv[1]]
sys.exit(not (len(epochs) == 8 and any(0.1 * e["seconds"] < e["slowest_seconds"] < e["seconds"] for e in slow)))
PY
check "run.h5 does" bash -c 'h5dump -d /epochs/slowest_rank -y -w 200 run/run.h5 | sed -n "/DATA {/,/}/p" | grep -qw 1'
# shellcheck disable=SC2016 # the inner shell expands it
check "its host is there" bash -c 'h5dump -a /slowest_host run/run.h5 | grep -q "\"$1\""' - "$host"
finish
