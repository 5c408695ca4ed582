#!/usr/bin/env python3
"""check_export.py IMAGES.idx ANSWERS.jsonl FILE.onnx FILE.safetensors CHECKPOINT.h5: an exported network read by others.

The ONNX file must pass onnx's own checks and give in onnxruntime the logits that `dtrain predict --json` gave, up to
what rounding does: at most 1e-4 anywhere. The safetensors file must hold the checkpoint's tensors to the last bit.
Prints the largest difference. Needs numpy, h5py, onnx, onnxruntime and safetensors.
"""
import json
import sys

import h5py
import numpy as np
import onnx
import onnxruntime
from safetensors import safe_open

images, answers, onnx_file, tensors_file, checkpoint = sys.argv[1:]
header = np.fromfile(images, ">u4", 4)
pixels = np.fromfile(images, np.uint8)[16:].reshape(header[1], 1, header[2], header[3]).astype(np.float32) / 255
answers = [json.loads(line) for line in open(answers, encoding="utf-8")]
want = np.array([a["logits"] for a in answers])
pixels = pixels[:len(want)]

model = onnx.load(onnx_file)
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
got = session.run(["logits"], {"pixels": pixels})[0]
alone = session.run(None, {"pixels": pixels[:1]})[0]  # the number of pictures is free
difference = max(np.abs(got - want).max(), np.abs(alone - want[:1]).max())
assert got.shape == want.shape and difference < 1e-4, difference
assert {p.key for p in model.metadata_props} == {"model", "params_sha256"}

with safe_open(tensors_file, "numpy") as tensors, h5py.File(checkpoint) as saved:
    names = []
    saved["parameters"].visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    assert sorted(tensors.keys()) == sorted(name.replace("/", ".") for name in names), tensors.keys()
    for name in names:
        here, there = tensors.get_tensor(name.replace("/", ".")), saved["parameters"][name][()]
        assert here.dtype == np.float32 and here.shape == there.shape and here.tobytes() == there.tobytes(), name
    metadata = tensors.metadata()
    for key in ("model", "params_sha256"):
        assert metadata[key] == saved.attrs[key] or metadata[key] == saved.attrs[key].decode(), key
    assert float(metadata["mean"]) == saved.attrs["mean"] and float(metadata["std"]) == saved.attrs["std"]
print("%d pictures, largest difference of a logit %.1e" % (len(want), difference))
