#!/usr/bin/env bash
# timeout: 120
# Files of this program, read by h5py and h5dump alone: those of version 1 in the tree, and those of a run made now.
set -euo pipefail
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import h5py, numpy' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ] || ! command -v h5dump >/dev/null; then
    echo "skipped: needs h5py for python3, and h5dump (python3-h5py, hdf5-tools)"
    exit 77
fi
n_passed=0 n_failed=0
passed() { n_passed=$((n_passed + 1)); }
failed() {
    n_failed=$((n_failed + 1))
    echo "FAILED: $*" >&2
}

# check FILE...: read_h5.py must be content
check() {
    if "$python" "$SRC/tests/read_h5.py" "$@" >said 2>&1; then passed; else
        failed "read_h5.py $*"
        cat said >&2
    fi
}

check "$SRC/tests/golden/checkpoint-v1.h5" "$SRC/tests/golden/run-v1.h5"

# It sees a changed parameter: the digest line and params_sha256 both.
"$python" - "$SRC/tests/golden/checkpoint-v1.h5" <<'PY'
import shutil, sys, h5py
shutil.copy(sys.argv[1], "changed.h5")
with h5py.File("changed.h5", "r+") as f:
    f["parameters/conv2/bias"][0] += 1
PY
if "$python" "$SRC/tests/read_h5.py" changed.h5 >said 2>&1; then failed "a changed parameter is not seen"; else passed; fi
if grep -q 'FAILED: params_sha256' said && grep -q 'FAILED: changed.h5: SHA-256' said; then passed; else
    failed "a changed parameter: $(cat said)"
fi

# 96 training and 32 test images of noise, four classes.
mkdir data
"$python" - <<'PY'
import numpy as np
rng = np.random.default_rng(1)
for part, n in (("train", 96), ("t10k", 32)):
    images = rng.integers(0, 256, (n, 12, 12), dtype=np.uint8)
    with open(f"data/{part}-images-idx3-ubyte", "wb") as f:
        f.write(np.array([0x803, n, 12, 12], ">u4").tobytes() + images.tobytes())
    with open(f"data/{part}-labels-idx1-ubyte", "wb") as f:
        f.write(np.array([0x801, n], ">u4").tobytes() + (np.arange(n) % 4).astype(np.uint8).tobytes())
PY
# train OUT RANKS ARGUMENTS...: six steps, three an epoch; a word with a blank and a quote in it
train() {
    local out=$1 ranks=$2
    shift 2
    local words=(--data data --out "$out" --model 'conv 4 3; relu; pool 2; fc 4' --epochs 2 --batch 32 --micro-batch 16
        --device cpu --threads 1 --seed 5 --quiet "$@")
    if [ "$ranks" -eq 1 ]; then "$DTRAIN" "${words[@]}"; else "$MPIRUN" -np "$ranks" "$DTRAIN" "${words[@]}"; fi
}
if train "one's run" 1 && train two 2 --validation 32; then passed; else failed "the runs"; fi
check "one's run"/*.h5 two/*.h5
cat >facts.py <<'PY'
import hashlib
import json
import shlex

import h5py
import numpy as np

# Attributes of the root: every name of the design, with its type and shape.
STR, INT, UINT, REAL = "str", "<i8", "<u8", "<f8"
COMMON = {
    "format": STR, "format_version": INT, "dtrain_version": STR, "created": STR, "model": STR, "input_shape": (INT, 3),
    "classes": INT, "mean": REAL, "std": REAL, "epoch": INT, "step": INT, "samples_seen": INT, "epoch_sums": (INT, 4),
    "best_value": REAL, "best_step": INT, "best_kind": STR, "config": STR, "fingerprint": STR, "data": STR,
    "data_files": (STR, 4), "data_sha256": (STR, 4), "params_sha256": STR}
CHECKPOINT = {**COMMON, "seed": UINT}
RUN = {
    **COMMON, "seed": INT, "command_line": STR, "hosts": STR, "devices": STR, "ranks": INT, "threads": INT, "workers": INT,
    "comm_library": STR, "build": STR, "start_time": STR, "end_time": STR, "exit_status": INT, "parameters": INT, "steps_per_epoch": INT,
    "train_samples": INT, "validation_samples": INT, "test_samples": INT,
    "slowest_host": STR}


def check_attributes(f, table):
    assert set(f.attrs) == set(table), set(f.attrs) ^ set(table)
    for name, want in table.items():
        kind, shape = want if isinstance(want, tuple) else (want, None)
        a = f.attrs[name]
        assert (a.shape == (shape,)) if shape else np.ndim(a) == 0, (name, a)
        if kind == STR:
            assert all(isinstance(x, str) and x for x in (a if shape else [a])), (name, a)
        else:
            assert a.dtype == kind, (name, a.dtype)


for out, n, validation in (("one's run", 1, 0), ("two", 2, 32)):
    train = 96 - validation
    steps = train // 32
    with h5py.File(f"{out}/run.h5") as f, h5py.File(f"{out}/latest.h5") as c:
        check_attributes(f, RUN)
        check_attributes(c, CHECKPOINT)
        for name in COMMON:
            if name not in ("format", "created"):
                assert np.array_equal(f.attrs[name], c.attrs[name]), name
        a = f.attrs
        assert shlex.split(a["command_line"])[3:5] == ["--out", out], a["command_line"]
        assert json.loads(a["config"])["model"] == "conv 4 3; relu; pool 2; fc 4" and json.loads(a["config"])["out"] == out
        assert (a["step"], a["epoch"], a["samples_seen"]) == (2 * steps, 2, 2 * train)
        assert (a["ranks"], a["threads"], a["workers"], a["exit_status"]) == (n, 1, n, 0)
        assert a["parameters"] == 4 * 9 + 4 + 4 * 144 + 4 and a["steps_per_epoch"] == steps
        assert (a["train_samples"], a["validation_samples"], a["test_samples"]) == (train, validation, 32)
        assert a["best_kind"] == ("validation" if validation else "test") and list(a["input_shape"]) == [1, 12, 12]
        assert a["hosts"].endswith("(2)") == (n == 2) and a["start_time"] <= a["end_time"]
        for name, digest in zip(a["data_files"], a["data_sha256"]):
            ending = "idx3-ubyte" if "images" in name else "idx1-ubyte"
            assert digest == hashlib.sha256(open(f"data/{name}-{ending}", "rb").read()).hexdigest(), name
        assert list(f["epochs/epoch"]) == [1, 2], list(f["epochs/epoch"])
        assert list(f["steps/step"]) == list(range(1, 2 * steps + 1)), list(f["steps/step"])
        assert f["ranks/images"].shape == (2, n) and np.all(f["ranks/images"][()].sum(axis=1) == train), f["ranks/images"][()]
        m = f["confusion"][()]
        assert m.shape[0] == 2 and np.all(m.sum(axis=(1, 2)) == 32) and np.all(m.sum(axis=2) == 8), m
        accuracy = 100 * np.trace(m, axis1=1, axis2=2) / 32
        assert np.allclose(f["epochs/test_accuracy"][()], accuracy), (f["epochs/test_accuracy"][()], accuracy)
        images = np.fromfile("data/t10k-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 12, 12)
        wrong = {k: f["mistakes/" + k][()] for k in ("sample", "label", "predicted", "probability", "image")}
        assert len(wrong["sample"]) == min(24, 32 - np.trace(m[-1])) > 0, wrong
        assert np.array_equal(wrong["image"], images[wrong["sample"]]) and np.all(wrong["label"] == wrong["sample"] % 4)
        assert np.all(np.diff(wrong["probability"]) <= 0) and np.all((wrong["probability"] > 0.25) & (wrong["probability"] <= 1))
        counted = np.zeros_like(m[-1])
        np.add.at(counted, (wrong["label"], wrong["predicted"]), 1)
        assert np.all(counted <= m[-1]) and np.trace(counted) == 0, (counted, m[-1])
        assert np.all(np.isnan(f["epochs/validation_loss"][()]) == (validation == 0))
        assert np.all(f["epochs/seconds"][()] > 0)
        chosen = f["epochs/validation_accuracy" if validation else "epochs/test_accuracy"][()]
        assert a["best_value"] == chosen.max() and a["best_step"] == (1 + chosen.argmax()) * steps, (a["best_value"], chosen)
        assert c["parameters/conv1/weight"].shape == (4, 1, 3, 3) and c["parameters/fc1/weight"].shape == (4, 144)
PY
if "$python" facts.py; then passed; else failed "what the runs wrote"; fi
if h5ls -r two/run.h5 >said && grep -q '^/ranks/wait_seconds *Dataset {2, 2}' said; then passed; else failed "h5ls: $(cat said)"; fi
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
