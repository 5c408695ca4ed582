#!/usr/bin/env bash
# timeout: 120
# --tensorboard: TensorBoard's own reader finds the curves, and their values are those of log.jsonl.
set -euo pipefail
export PYTHONPATH=$SRC/build/tensorboard${PYTHONPATH:+:$PYTHONPATH} # launch/setup.sh --tests puts it there
if ! python3 -c 'import tensorboard' 2>/dev/null; then
    echo "skipped: needs Python's tensorboard"
    exit 77
fi
python3 "$SRC/tests/make_data.py" data --train 1600 --test 100
"$MPIRUN" -np 2 "$DTRAIN" --data data --model 'conv 4 3; relu; pool 2; fc 10' --batch 32 --micro-batch 8 --threads 1 \
    --epochs 2 --out run --tensorboard board --quiet
cat >check.py <<'PY'
import json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

board = EventAccumulator("board")
board.Reload()
log = [json.loads(line) for line in open("run/log.jsonl")]
epochs = [e for e in log if e["event"] == "epoch"]
assert len(epochs) == 2
scalars = lambda tag: [(s.step, s.value) for s in board.Scalars(tag)]
for name in ("test_loss", "test_accuracy"):
    got = scalars("epoch/" + name)
    assert [s for s, _ in got] == [50, 100], got
    assert all(abs(v - e[name]) <= 1e-6 * abs(e[name]) for (_, v), e in zip(got, epochs)), (got, epochs)
assert [s for s, _ in scalars("step/loss")] == list(range(1, 101))
rates = [scalars(f"images_per_second/rank_{r}") for r in (0, 1)]
total = scalars("images_per_second/all")
assert all(abs(a[1] + b[1] - t[1]) < 1e-3 * t[1] for a, b, t in zip(*rates, total)), (rates, total)
print("5 passed, 0 failed")
PY
python3 check.py
