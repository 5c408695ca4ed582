#!/usr/bin/env python3
"""distort.py FROM TO [--n N] [--seed S]: the test set of directory FROM, distorted, as IDX files in directory TO.

Each picture is turned by up to 25 degrees and moved by up to 4 pixels of 28 to either side, all values equally likely; one in
three has thicker strokes (the largest of 2 x 2 pixels), one in three thinner ones (the least); and all get noise with a
standard deviation of up to 40 of 255 levels. The labels stay. Not what --augment does: other formulas, limits and likelihoods,
so that a network is asked what it was not taught. Needs numpy. `dtrain eval CHECKPOINT --data TO`.
"""
import argparse
import gzip
import os
import struct

import numpy as np

FILES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read(folder, name):
    for path, opens in ((f"{folder}/{name}", open), (f"{folder}/{name}.gz", gzip.open)):
        if os.path.exists(path):
            with opens(path, "rb") as f:
                return f.read()
    raise SystemExit(f"distort.py: {folder} has no {name}, plain or .gz")


def moved(image, angle, right, down):
    """Bilinear, from a picture with a black border."""
    h, w = image.shape
    y, x = np.mgrid[0:h, 0:w].astype(float)
    y, x = y - (h - 1) / 2 - down, x - (w - 1) / 2 - right
    u = np.clip(np.cos(angle) * x + np.sin(angle) * y + (w - 1) / 2, -1, w) + 1
    v = np.clip(np.cos(angle) * y - np.sin(angle) * x + (h - 1) / 2, -1, h) + 1
    padded = np.pad(image.astype(float), ((1, 2), (1, 2)))
    i, j = v.astype(int), u.astype(int)
    a, b = v - i, u - j
    return ((padded[i, j] * (1 - b) + padded[i, j + 1] * b) * (1 - a)
            + (padded[i + 1, j] * (1 - b) + padded[i + 1, j + 1] * b) * a)


def strokes(image, kind):
    """kind 1: thicker, 2: thinner, 0: as they are."""
    if kind == 0:
        return image
    padded = np.pad(image, ((0, 1), (0, 1)))
    four = np.stack([padded[:-1, :-1], padded[1:, :-1], padded[:-1, 1:], padded[1:, 1:]])
    return four.max(0) if kind == 1 else four.min(0)


def distorted(image, rng):
    h, w = image.shape
    angle = np.radians(rng.uniform(-25, 25))
    right, down = rng.uniform(-4, 4, 2) * (w / 28, h / 28)
    image = moved(strokes(image, rng.integers(3)), angle, right, down)
    noisy = image + rng.normal(0, rng.uniform(0, 40), image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--n", type=int, help="the first N of them; all if not given")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    pictures, labels = (read(args.source, name) for name in FILES)
    n, h, w = struct.unpack(">III", pictures[4:16])
    n = min(n, args.n or n)
    images = np.frombuffer(pictures, np.uint8, n * h * w, 16).reshape(n, h, w)
    out = b"".join(distorted(images[i], np.random.default_rng([args.seed, i])).tobytes() for i in range(n))
    os.makedirs(args.target, exist_ok=True)
    for name, data in zip(FILES, (struct.pack(">IIII", 0x803, n, h, w) + out,
                                  struct.pack(">II", 0x801, n) + labels[8:8 + n])):
        with open(f"{args.target}/{name}", "wb") as f:
            f.write(data)


main()
