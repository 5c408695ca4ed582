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
if "$DTRAIN" --data data --out run --model 'conv 4 3; relu; pool 2; fc 4' --epochs 2 --batch 32 --micro-batch 16 \
    --device cpu --threads 1 --seed 5 --quiet; then passed; else failed "the run"; fi
check run/run.h5 run/latest.h5 run/best.h5 run/checkpoint-*.h5
cat >facts.py <<'PY'
import h5py, numpy as np
with h5py.File("run/run.h5") as f:
    assert list(f["epochs/epoch"]) == [0, 1, 2], list(f["epochs/epoch"])
    assert list(f["steps/step"]) == [1, 2, 3, 4, 5, 6], list(f["steps/step"])
    assert f["ranks/images"].shape == (2, 1) and np.all(f["ranks/images"][()] == 96), f["ranks/images"][()]
    c = f["confusion"][()]
    assert np.all(c.sum(axis=(1, 2)) == 32) and np.all(c.sum(axis=2) == 8), c
    accuracy = 100 * np.trace(c, axis1=1, axis2=2) / 32
    assert np.allclose(f["epochs/test_accuracy"][()], accuracy), (f["epochs/test_accuracy"][()], accuracy)
    assert np.all(np.isnan(f["epochs/validation_loss"][()]))
    assert np.all(f["epochs/seconds"][1:] > 0)
with h5py.File("run/latest.h5") as f:
    assert f.attrs["step"] == 6 and f.attrs["epoch"] == 2 and f.attrs["samples_seen"] == 192
    assert f["parameters/conv1/weight"].shape == (4, 1, 3, 3) and f["parameters/fc1/weight"].shape == (4, 144)
PY
if "$python" facts.py; then passed; else failed "what the run wrote"; fi
echo "$n_passed passed, $n_failed failed"
[ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
