#!/usr/bin/env bash
# timeout: 200
# A sweep on the simulated device: cells on one rank and two end with the same bits, those of a training on GPUs; times, phases and
# the all-reduce between devices are measured; a report comes of it; two ranks on one device do too.
set -euo pipefail
if [ -z "${SIMDEV_DIR:-}" ] || [ ! -e "$SIMDEV_DIR/libsimdev_kernels.so" ] ||
    [ ! -e "$(dirname "$DTRAIN")/libdtrain_cuda.so" ]; then
    echo "no CUDA plugin or no simulated device in this build"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" --train 200 --test 64 data >/dev/null
options=(--data data --epochs 2 --batch 32 --micro-batch 16 --device cuda --model "conv 4 3; relu; pool 2; fc 10")
sim() { "$SRC/tests/simdev/run" "$@"; }
sweep() { SIMDEV_NOT_READY=1 sim "$MPIRUN" -np 2 "$DTRAIN" sweep "${options[@]}" --seeds 2 --repeats 1 --json "$@" >cells 2>said; }
check "a sweep" sweep --samples 60,160 --scaling strong --out s
sim "$DTRAIN" "${options[@]}" --samples 160 --out run --json >run.json 2>said || true
cat >facts.py <<'PY'
import json
cells = [json.loads(line) for line in open("cells") if line.startswith("{")]
run = [json.loads(line) for line in open("run.json") if line.startswith("{")][-1]
assert cells and all(c["status"] == 0 for c in cells), cells
times = [c for c in cells if c["kind"] == "time"]
assert {c["ranks"] for c in times} == {1, 2} and all(c["step_seconds"] > 0 for c in times), times
for kind in {(c["batch"], c["steps"]) for c in times}:
    assert len({c["params_sha256"] for c in times if (c["batch"], c["steps"]) == kind}) == 1, kind
assert {c["ranks"] for c in times if c["epochs"] == 1 and c["steps"] == 5} == {1, 2}, times  # whole epochs: 160 by 32
full = [c for c in cells if c["kind"] == "accuracy" and c["samples"] == 160 and c["seed"] == 1 and c["budget"] == "epochs"]
assert [c["params_sha256"] for c in full] == [run["params_sha256"]], (full, run)
small = [c for c in cells if c["samples"] == 60 and c["budget"] == "steps"]
assert small and all(c["steps"] == 10 for c in small), small  # more epochs than --epochs: 2 steps each
PY
check "the bits of one rank, two, and a training" python3 facts.py
check "devices are the simulated ones" grep -aq 'simdev (CPU)' s/sweep.h5
check "two ranks on one device" env SIMDEV_DEVICES=1 bash -c '"$@" >cells 2>said' - "$SRC/tests/simdev/run" "$MPIRUN" -np 2 "$DTRAIN" sweep \
    "${options[@]}" --seeds 1 --repeats 1 --samples 160 --budget none --quiet --out one
check "... which is said once" [ "$(grep -c 'share one GPU' said)" = 1 ]
if command -v gnuplot >/dev/null; then
    check "a report" "$DTRAIN" report s -o page
    check "the all-reduce between devices" grep -q '^2,32,[0-9.]*,' page/all-reduce.csv
fi
finish
