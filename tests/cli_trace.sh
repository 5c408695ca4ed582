#!/usr/bin/env bash
# timeout: 60
# --trace: a time line that a viewer can draw: every rank has its phases, in order, none within another, for some steps.
set -euo pipefail
python3 "$SRC/tests/make_data.py" data --train 1600 --test 100
"$MPIRUN" -np 2 "$DTRAIN" --data data --model 'conv 4 3; relu; pool 2; fc 10' --batch 32 --micro-batch 8 --threads 1 \
    --epochs 1 --out run --trace here/trace.json --quiet 2>said && rc=0 || rc=$?
if [ "$rc" -ne 4 ] || ! grep -qF "cannot write here/trace.json.tmp: No such file" said; then
    echo "FAILED: a folder that is not there: exit code $rc" >&2
    cat said >&2
    exit 1
fi
"$MPIRUN" -np 2 "$DTRAIN" --data data --model 'conv 4 3; relu; pool 2; fc 10' --batch 32 --micro-batch 8 --threads 1 \
    --epochs 1 --out run2 --trace trace.json --quiet
[ ! -e trace.json.tmp ]
cat >check.py <<'PY'
import json

events = json.load(open("trace.json"))["traceEvents"]
names = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
assert set(names) == {0, 1} and names[1].startswith("rank 1 ("), names
for rank in (0, 1):
    spans = [e for e in events if e["ph"] == "X" and e["pid"] == rank]
    steps = [e["name"] for e in spans if "args" in e]
    assert steps == ["input", "compute", "all-reduce and wait", "update"] * 32, steps
    assert [e["args"]["step"] for e in spans if "args" in e] == [i // 4 + 1 for i in range(4 * 32)]
    assert {"evaluation", "checkpoint"} <= {e["name"] for e in spans}
    spans = sorted((e for e in spans if "args" in e), key=lambda e: e["ts"])
    assert all(e["dur"] >= 0 for e in spans)
    for a, b in zip(spans, spans[1:]):
        assert a["ts"] + a["dur"] <= b["ts"] + 0.01, (a, b)
print("4 passed, 0 failed")
PY
python3 check.py
