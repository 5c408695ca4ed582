#!/usr/bin/env bash
# timeout: 200
# dtrain export: what onnxruntime makes of an exported network is what dtrain makes of it, for every preset and for layers
# that presets do not have; the safetensors library reads the checkpoint's tensors to the last bit.
set -euo pipefail
python_packages=$SRC/build/python
if ! "$SRC/launch/fetch-python.sh" "$python_packages"; then
    echo "skipped: the Python packages onnxruntime and safetensors could not be fetched"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
fails() { # fails CODE WORDS ARGS...: export ends with CODE and says WORDS
    local want=$1 words=$2 code=0
    shift 2
    "$DTRAIN" export "$@" >said 2>&1 || code=$?
    [ "$code" -eq "$want" ] && grep -qF -- "$words" said
}
same() { # same MODEL IMAGES: both files of a few steps' training of MODEL, read by others
    rm -rf run out
    "$DTRAIN" --data data --model "$1" --epochs 1 --batch 32 --micro-batch 8 --threads 1 --out run --quiet >said 2>&1 &&
        "$DTRAIN" export run -o out/m.onnx >said && "$DTRAIN" export run -o out/m.safetensors --quiet >>said &&
        "$DTRAIN" predict run "$2" --json >answers.jsonl 2>said &&
        PYTHONPATH=$python_packages python3 "$SRC/tests/check_export.py" "$2" answers.jsonl out/m.onnx out/m.safetensors \
            run/best.h5 >>said 2>&1
}

python3 "$SRC/tests/make_data.py" data --train 160 --test 1000
for model in cnn fast lenet5 mlp "conv 5 3 stride 2 pad 0; relu; pool 3 avg stride 2 pad 1; dropout 0.3; conv 6 4 pad 3; fc 12; dropout 0.5; fc 10" \
    "pool 2 avg; conv 4 2 stride 3; pool 3 stride 1 pad 1; relu; fc 10"; do
    check "$model: the same by others" same "$model" data/t10k-images-idx3-ubyte
    tail -n 1 said
done
check "nothing is left over" test "$(ls out)" = "m.onnx"$'\n'"m.safetensors"
"$DTRAIN" export run -o out/m.onnx >said
check "the file is told" grep -qE '^out/m.onnx: [0-9,]+ parameters of run/best.h5, 0.0 MB; in: pixels 0..1, out: logits$' said
check "another ending" fails 2 "must end in .safetensors or .onnx" run -o out/m.pt
check "no file" fails 2 "export needs -o FILE" run
check "a file that cannot be written" fails 4 "cannot" run -o /proc/no/m.onnx
check "no checkpoint" fails 4 "cannot open" none.h5 -o out/n.onnx
check "... and no file of it" test ! -e out/n.onnx
finish
