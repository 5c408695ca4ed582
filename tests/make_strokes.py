#!/usr/bin/env python3
"""make_strokes.py STROKES.json DIR [--train N] [--test N] [--seed S]: a data set of digits drawn by strokes.

Each picture is a digit of STROKES.json, turned, sheared, stretched and shaken a little, with a pen of its own width, made
as MNIST's are: its longer side fills 20 pixels, its centre of mass lies in the middle of 28 x 28. Needs numpy.
"""
import argparse
import json
import os
import struct

import numpy as np

SIDE, FILL = 28, 20
parser = argparse.ArgumentParser()
parser.add_argument("strokes")
parser.add_argument("dir")
parser.add_argument("--train", type=int, default=3000)
parser.add_argument("--test", type=int, default=300)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()


def segments(strokes, rng):
    """[n][2][2]: the digit's pieces, its box 1 high or wide."""
    turn, shear = rng.normal(0, 0.12), rng.normal(0, 0.15)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[rng.uniform(0.8, 1.2), shear], [0, 1]])
    lines = [np.array(line) @ matrix.T + rng.normal(0, 0.012, (len(line), 2)) for line in strokes]
    points = np.concatenate(lines)
    low, size = points.min(0), (points.max(0) - points.min(0)).max()
    return np.concatenate([np.stack([line[:-1], line[1:]], 1) for line in lines]) / size - low / size


def picture(strokes, rng):
    pen = rng.uniform(1.6, 3.6)
    pieces = segments(strokes, rng) * (FILL - pen)
    for _ in range(3):  # to the centre of mass
        y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
        a, d = pieces[:, 0], pieces[:, 1] - pieces[:, 0]
        rel = np.stack([x, y], -1)[..., None, :] - a
        t = np.clip((rel * d).sum(-1) / np.maximum((d * d).sum(-1), 1e-9), 0, 1)
        distance = np.sqrt(((rel - t[..., None] * d) ** 2).sum(-1)).min(-1)
        ink = np.clip(pen / 2 + 0.5 - distance, 0, 1)
        if ink.sum() > 0:
            pieces += SIDE / 2 - np.array([(x * ink).sum(), (y * ink).sum()]) / ink.sum()
        else:
            pieces += SIDE / 2
    return (ink * 255 + 0.5).astype(np.uint8)


rng = np.random.default_rng(args.seed)
digits = {int(d): strokes for d, strokes in json.load(open(args.strokes)).items()}
os.makedirs(args.dir, exist_ok=True)
for part, n in (("train", args.train), ("t10k", args.test)):
    with open(f"{args.dir}/{part}-images-idx3-ubyte", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n, SIDE, SIDE) + b"".join(picture(digits[i % 10], rng).tobytes() for i in range(n)))
    with open(f"{args.dir}/{part}-labels-idx1-ubyte", "wb") as f:
        f.write(struct.pack(">II", 0x801, n) + bytes(i % 10 for i in range(n)))
