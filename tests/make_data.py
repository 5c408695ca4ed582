#!/usr/bin/env python3
"""make_data.py DIR [--train N] [--test N] [--classes C] [--size S] [--seed K]: a small data set in four IDX files.

Each class is a bright square at a place of its own, moved by a pixel or two, in noise: a network learns it in a few steps.
"""
import argparse
import os
import random
import struct

parser = argparse.ArgumentParser()
parser.add_argument("dir")
parser.add_argument("--train", type=int, default=1600)
parser.add_argument("--test", type=int, default=100)
parser.add_argument("--classes", type=int, default=10)
parser.add_argument("--size", type=int, default=28)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()


def picture(rng, label, noise):
    size, side = args.size, args.size // 4
    start = rng.randrange(len(noise) - size * size)
    image = bytearray(noise[start:start + size * size])
    row = label // 4 * side + rng.randrange(3)
    column = label % 4 * side + rng.randrange(3)
    for y in range(row, min(row + side, size)):
        for x in range(column, min(column + side, size)):
            image[y * size + x] = 200
    return image


rng = random.Random(args.seed)
noise = bytes(rng.randrange(64) for _ in range(8 * args.size * args.size))
os.makedirs(args.dir, exist_ok=True)
for part, n in (("train", args.train), ("t10k", args.test)):
    labels = bytes(i % args.classes for i in range(n))
    with open(f"{args.dir}/{part}-images-idx3-ubyte", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n, args.size, args.size))
        for label in labels:
            f.write(picture(rng, label, noise))
    with open(f"{args.dir}/{part}-labels-idx1-ubyte", "wb") as f:
        f.write(struct.pack(">II", 0x801, n) + labels)
