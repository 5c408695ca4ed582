#!/usr/bin/env bash
# timeout: 120
# Readers do not disturb a run, and a run does not disturb readers: with h5py one holds run.h5 and a checkpoint open from the
# first epoch to the end, and one opens them again and again. The writer is never refused, every file that is opened is whole.
set -euo pipefail
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import h5py' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "skipped: needs h5py for python3 (python3-h5py)"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" data --train 400 --test 100
"$MPIRUN" -np 2 "$DTRAIN" --data data --model "conv 8 3; relu; pool 2; fc 10" --epochs 60 --batch 32 --micro-batch 16 \
    --threads 1 --checkpoint-every 5 --out run >said 2>&1 &
job=$!
# Without HDF5_USE_FILE_LOCKING, as a user would: h5py then locks what it opens.
env -u HDF5_USE_FILE_LOCKING "$python" - <<'PY' >followed 2>&1 || true
import json, os, sys, time, h5py

def wait_for(path):
    for _ in range(2000):
        if os.path.exists(path):
            return
        time.sleep(0.01)
    sys.exit(f"no {path}")

# HDF5 opens a name twice and compares: it may meet two files where one replaced the other between. Then: again.
def read(path):
    for _ in range(100):
        try:
            return h5py.File(path, "r")
        except OSError as error:
            if "st_ino" not in str(error):
                raise
    sys.exit(f"{path} is replaced again and again")

wait_for("run/run.h5")
wait_for("run/latest.h5")
held, checkpoint = read("run/run.h5"), read("run/latest.h5")
rows, step = held["epochs/epoch"][()].tolist(), int(checkpoint.attrs["step"])
weights = checkpoint["parameters/fc1/weight"][()].copy()

opened, seen = 0, []
while not seen or seen[-1] < 60:
    with read("run/run.h5") as f:
        epochs = f["epochs/epoch"][()].tolist()
        assert epochs == list(range(1, len(epochs) + 1)), epochs
        assert f["confusion"].shape[0] == len(epochs)
        if epochs and (not seen or epochs[-1] > seen[-1]):
            seen.append(epochs[-1])
    with read("run/latest.h5") as f:
        assert f["parameters/fc1/weight"].shape == weights.shape
    opened += 1
    time.sleep(0.002)
assert opened > 10 and len(seen) > 5, (opened, seen) # it was open while it grew
# What is held is as it was, though its name leads elsewhere by now.
assert held["epochs/epoch"][()].tolist() == rows
assert int(checkpoint.attrs["step"]) == step and (checkpoint["parameters/fc1/weight"][()] == weights).all()
with read("run/latest.h5") as f:
    assert int(f.attrs["step"]) > step
print(f"opened {opened} times, saw {len(seen)} states, held epochs {rows}")
PY
rc=0
wait "$job" || rc=$?
check "the run ends with 0, not $rc" [ "$rc" -eq 0 ]
check "nothing was refused" [ -z "$(grep '^dtrain: ' said)" ]
check "the reader is content" grep -q '^opened' followed
tail -n 1 followed

finish
