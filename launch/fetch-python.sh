#!/usr/bin/env bash
# fetch-python.sh [DIR]: Python packages that tests compare with, in DIR (default build/python): numpy, h5py, Pillow, onnx,
# onnxruntime, safetensors. They are found there by PYTHONPATH=DIR, nothing else on the system changes. What is there already
# is left alone; of several calls at a time one fetches.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../build/python}")
[ ! -e "$folder/complete" ] || exit 0

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
[ ! -e "$folder/complete" ] || exit 0
scratch=$(mktemp -d "$folder.XXXXXX") # beside DIR, so that the last step is a rename
trap 'rm -rf "$scratch"' EXIT
if ! python3 -m pip install -q --disable-pip-version-check --no-warn-script-location --only-binary :all: --target "$scratch/tree" \
    numpy h5py pillow onnx onnxruntime safetensors >"$scratch/log" 2>&1; then
    grep -v '^WARNING' "$scratch/log" | tail -n 5 >&2
    echo "fetch-python.sh: pip could not install the packages" >&2
    exit 1
fi
touch "$scratch/tree/complete"
rm -rf "$folder"
mv "$scratch/tree" "$folder"
