#!/usr/bin/env python3
"""make_pictures.py IMAGES.idx DIR [--n N] [--seed S]: digits of an IDX file as pictures of 200 x 200.

Each digit is enlarged to a size of its own and lies anywhere in its picture; light on dark or dark on light, grey or in
two colours, as PNG (grey, RGB, palette, with alpha) or JPEG. Names are NNNNN.png or .jpg, by the number in the file: N
of them, chosen and drawn by the seed; without --n all. Needs numpy and Pillow.
"""
import argparse
import os

import numpy as np
from PIL import Image

SIDE = 200


def colours(rng):
    """Background and ink, at least 90 levels apart in one channel."""
    if rng.random() < 0.5:
        dark, light = rng.integers(0, 60), rng.integers(180, 256)
        pair = np.array([[dark] * 3, [light] * 3], float)
        return pair[::-1] if rng.random() < 0.5 else pair
    while True:
        pair = rng.integers(0, 256, (2, 3)).astype(float)
        if np.abs(pair[0] - pair[1]).max() >= 90:
            return pair


def draw(digit, rng):
    """RGB, [SIDE][SIDE][3] in 0..255."""
    side = int(rng.integers(84, SIDE + 1))  # of what were 28 pixels: the digit is 60 to 143
    cover = np.asarray(Image.fromarray(digit).resize((side, side), Image.BICUBIC), float) / 255
    rows, columns = np.nonzero(cover > 0.1)
    cover = cover[rows.min():rows.max() + 1, columns.min():columns.max() + 1]
    height, width = cover.shape
    top, left = rng.integers(4, SIDE - height - 3), rng.integers(4, SIDE - width - 3)
    whole = np.zeros((SIDE, SIDE, 1))
    whole[top:top + height, left:left + width, 0] = cover
    ground, ink = colours(rng)
    return ground + (ink - ground) * whole, whole, ink


def save(path, digit, rng):
    rgb, cover, ink = draw(digit, rng)
    picture = Image.fromarray(np.clip(rgb + 0.5, 0, 255).astype(np.uint8))
    kind = rng.integers(0, 8)
    if kind < 3:
        picture.save(path + ".jpg", quality=int(rng.integers(60, 96)), progressive=bool(kind == 0))
    elif kind == 3:
        picture.quantize(32).save(path + ".png")
    elif kind == 4:
        alpha = np.broadcast_to(cover * 255, (SIDE, SIDE, 1))
        rgba = np.concatenate([np.broadcast_to(ink, (SIDE, SIDE, 3)), alpha], 2)
        Image.fromarray(rgba.astype(np.uint8), "RGBA").save(path + ".png")
    else:
        picture.save(path + ".png")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("dir")
    parser.add_argument("--n", type=int)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    digits = np.fromfile(args.images, np.uint8)[16:].reshape(-1, 28, 28)
    chosen = np.arange(len(digits))
    if args.n:
        chosen = np.sort(np.random.default_rng(args.seed).choice(chosen, args.n, replace=False))
    os.makedirs(args.dir, exist_ok=True)
    for i in chosen:
        save(os.path.join(args.dir, "%05d" % i), digits[i], np.random.default_rng([args.seed, int(i)]))


if __name__ == "__main__":
    main()
