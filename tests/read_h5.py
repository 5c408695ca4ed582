#!/usr/bin/env python3
"""Reads checkpoints and run files with h5py alone: what any script can rely on. read_h5.py FILE...

Checks the digest line, params_sha256, Fletcher-32 and chunks of every data set, dimension scales, units, texts
as str, and that h5dump reads the file. Prints params_sha256 of checkpoints, then "N passed, N failed".
"""
import hashlib
import re
import subprocess
import sys

import h5py
import numpy as np

PASSED = FAILED = 0


def check(good, text):
    global PASSED, FAILED
    PASSED, FAILED = PASSED + bool(good), FAILED + (not good)
    if not good:
        print("FAILED:", text, file=sys.stderr)


def check_seal(path):
    """The first 512 bytes: one line with the SHA-256 of the rest, and zeros."""
    with open(path, "rb") as f:
        seal, rest = f.read(512), f.read()
    m = re.fullmatch(rb"dtrain sha256 ([0-9a-f]{64}) of the (\d+) bytes after the first 512\n\0+", seal)
    check(m, f"{path}: digest line")
    check(m and m[1].decode() == hashlib.sha256(rest).hexdigest(), f"{path}: SHA-256")
    check(m and int(m[2]) == len(rest), f"{path}: length")


def check_data_sets(f):
    names = []
    f.visititems(lambda name, x: names.append(name) if isinstance(x, h5py.Dataset) else None)
    check(names, "there are data sets")
    for name in names:
        x = f[name]
        check(x.fletcher32 and x.chunks and not x.compression, f"{name}: Fletcher-32, chunked, plain")
        check(x.dtype in ("<f4", "<f8", "<i8", "u1"), f"{name}: little-endian, {x.dtype}")
        x[()]  # reads, and verifies, every chunk


def check_root(f, kind):
    a = f.attrs
    for name in ("format", "dtrain_version", "created"):
        check(isinstance(a[name], str), f"{name} is a str")
    check(a["format"] == kind, f"format {a['format']}")
    check(a["format_version"] == 1, "format_version")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", a["created"]), "created is ISO 8601")


def check_checkpoint(f):
    check_root(f, "dtrain-checkpoint")
    a = f.attrs
    digest, shapes = hashlib.sha256(), {}
    for layer in f["parameters"]:  # network order: the groups track it
        check(list(f["parameters"][layer]) == ["weight", "bias"], f"{layer}: weight, then bias")
        for name, x in f["parameters"][layer].items():
            digest.update(np.ascontiguousarray(x[()], dtype="<f4").tobytes())
            shapes[layer, name] = x.shape
        check(x.shape == f["parameters"][layer]["weight"].shape[:1], f"{layer}: one bias an output")
    check(digest.hexdigest() == a["params_sha256"], "params_sha256")
    for slot in f["optimizer"]:
        there = {(layer, name): x.shape for layer in f["optimizer"][slot] for name, x in f["optimizer"][slot][layer].items()}
        check(there == shapes, f"optimizer/{slot}: the parameters' shapes")
    for name in ("model", "best_kind", "config", "fingerprint", "data", "params_sha256"):
        check(isinstance(a[name], str), f"{name} is a str")
    for name in ("epoch", "step", "samples_seen", "classes", "best_step"):
        check(a[name].dtype == "<i8" and a[name].shape == (), f"{name} is an integer")
    for name in ("mean", "std", "best_value"):
        check(a[name].dtype == "<f8", f"{name} is a number")
    check(a["seed"].dtype == "<u8", "seed is unsigned")
    check(a["input_shape"].shape == (3,) and a["epoch_sums"].shape == (4,), "input_shape, epoch_sums")
    check(a["data_sha256"].shape == (4,) and all(isinstance(s, str) for s in a["data_sha256"]), "data_sha256")
    print("params_sha256", a["params_sha256"])


def check_scale(f, x, dim, label, scale):
    d = x.dims[dim]
    check(d.label == label, f"{x.name}: dimension {dim} is named {d.label!r}")
    check(len(d) == 1 and d[0] == f[scale], f"{x.name}: dimension {dim} has the scale {scale}")
    check(len(d) == 1 and d[0].shape == (x.shape[dim],), f"{x.name}: as long as its scale")


COLUMNS = {
    "epochs": ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy",
               "learning_rate", "seconds", "images_per_second"],
    "steps": ["loss", "learning_rate", "gradient_norm"],
    "ranks": ["compute_seconds", "reduce_seconds", "wait_seconds", "input_seconds", "checkpoint_seconds", "images"],
}
SCALE = {"epochs": "epoch", "steps": "step", "ranks": "epoch"}


def check_run(f):
    check_root(f, "dtrain-run")
    for table, columns in COLUMNS.items():
        scale = f"/{table}/{SCALE[table]}"
        check(h5py.h5ds.is_scale(f[scale].id), f"{scale} is a dimension scale")
        check(np.all(np.diff(f[scale][()]) > 0), f"{scale} ascends")
        for column in columns:
            x = f[table][column]
            check(x.dtype == "<f8", f"{x.name}: float64")
            check(isinstance(x.attrs["units"], str) and x.attrs["units"], f"{x.name}: units")
            check(isinstance(x.attrs["description"], str) and x.attrs["description"], f"{x.name}: description")
            check_scale(f, x, 0, SCALE[table], scale)
            if table == "ranks":
                second = "rank" if "rank" in f["ranks"] else "statistic"
                check_scale(f, x, 1, second, f"/ranks/{second}")
    check(f["epochs/seconds"].attrs["units"] == "s", "seconds are in s")
    check(f["epochs/test_accuracy"].attrs["units"] == "percent", "accuracies are in percent")
    c = f["confusion"]
    check(c.dtype == "<i8" and c.ndim == 3 and c.shape[1] == c.shape[2], "confusion [epoch, true, predicted]")
    check_scale(f, c, 0, "epoch", "/epochs/epoch")
    check_scale(f, c, 1, "true", "/class")
    check_scale(f, c, 2, "predicted", "/class")


for path in sys.argv[1:]:
    check_seal(path)
    with h5py.File(path, "r") as file:
        check(file.userblock_size == 512, f"{path}: user block")
        check_data_sets(file)
        (check_run if file.attrs["format"] == "dtrain-run" else check_checkpoint)(file)
    dump = subprocess.run(["h5dump", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    check(dump.returncode == 0 and b"DATASET" in dump.stdout and not dump.stderr, f"h5dump {path}: {dump.stderr}")
print(f"{PASSED} passed, {FAILED} failed")
sys.exit(FAILED > 0 or PASSED == 0)
