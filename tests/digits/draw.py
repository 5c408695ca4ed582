#!/usr/bin/env python3
"""draw.py DIR: the digits of this folder, drawn stroke by stroke; the first character of a name is the digit.

Each is a list of strokes, curves through points of a box that is 1 high, in a style of its own: size, pen, colours, slant,
turn, place, paper. Needs numpy and Pillow. The same names, the same pictures.
"""
import sys

import numpy as np
from PIL import Image, ImageFilter

# strokes of each digit, in two ways of writing; a stroke is a list of points (x, y), y downwards
STROKES = {
    "0": [[(.34, .02), (.08, .25), (.05, .6), (.25, .97), (.5, .9), (.62, .55), (.55, .15), (.32, .01)]],
    "0b": [[(.5, .08), (.25, .02), (.06, .3), (.1, .8), (.35, .99), (.6, .7), (.6, .3), (.42, .06), (.3, .05)]],
    "1": [[(.35, .0), (.33, .5), (.3, 1.)]],
    "1b": [[(.1, .28), (.25, .15), (.36, .0)], [(.36, .0), (.35, .5), (.35, 1.)]],
    "2": [[(.06, .2), (.2, .03), (.45, .04), (.55, .25), (.4, .55), (.2, .8), (.05, .98)], [(.05, .98), (.3, .96), (.62, .97)]],
    "2b": [[(.08, .24), (.16, .06), (.38, .0), (.56, .14), (.5, .42), (.26, .72), (.06, .96)], [(.06, .96), (.25, .9), (.45, .98), (.68, .93)]],
    "3": [[(.08, .1), (.3, .0), (.52, .12), (.48, .34), (.25, .46)], [(.25, .46), (.52, .56), (.58, .8), (.35, .99), (.05, .9)]],
    "3b": [[(.1, .14), (.28, .02), (.5, .08), (.5, .3), (.3, .45), (.24, .47)], [(.24, .47), (.46, .5), (.6, .68), (.5, .92), (.26, 1.), (.06, .9)]],
    "4": [[(.22, .0), (.12, .3), (.04, .58)], [(.04, .58), (.3, .57), (.64, .54)], [(.5, .2), (.47, .6), (.44, 1.)]],
    "4b": [[(.12, .04), (.1, .3), (.1, .5)], [(.1, .5), (.3, .52), (.56, .48)], [(.56, .02), (.54, .5), (.52, 1.)]],
    "5": [[(.58, .02), (.34, .03), (.14, .04)], [(.14, .04), (.11, .24), (.08, .44)], [(.08, .44), (.34, .36), (.57, .55), (.5, .86), (.24, .99), (.02, .9)]],
    "5b": [[(.16, .06), (.13, .25), (.12, .46)], [(.12, .46), (.36, .4), (.56, .58), (.5, .88), (.26, 1.), (.04, .93)], [(.16, .06), (.36, .05), (.62, .0)]],
    "6": [[(.48, .0), (.24, .24), (.08, .6), (.14, .92), (.36, .99), (.54, .8), (.44, .58), (.24, .58), (.1, .74)]],
    "6b": [[(.38, .0), (.16, .32), (.06, .7), (.2, .97), (.46, .94), (.54, .7), (.36, .54), (.14, .66)]],
    "7": [[(.04, .06), (.3, .05), (.6, .03)], [(.6, .03), (.42, .45), (.26, 1.)]],
    "7b": [[(.04, .1), (.3, .06), (.62, .04)], [(.62, .04), (.44, .45), (.3, 1.)], [(.2, .52), (.4, .5), (.6, .48)]],
    "8": [[(.48, .12), (.28, .0), (.1, .16), (.22, .4), (.46, .6), (.54, .84), (.3, 1.), (.08, .86), (.16, .62), (.42, .4), (.52, .2), (.44, .08)]],
    "8b": [[(.3, .46), (.1, .3), (.14, .06), (.36, .0), (.52, .14), (.46, .34), (.3, .46)], [(.3, .46), (.08, .64), (.08, .9), (.32, 1.), (.54, .88), (.52, .62), (.3, .46)]],
    "9": [[(.5, .12), (.28, .02), (.08, .2), (.14, .42), (.36, .44), (.52, .2)], [(.52, .12), (.5, .5), (.42, 1.)]],
    "9b": [[(.52, .18), (.32, .0), (.1, .12), (.1, .36), (.3, .46), (.5, .3), (.54, .14)], [(.54, .14), (.52, .55), (.4, .86), (.16, 1.)]],
}
INK, PAPER, BLUE, CREAM, CHALK, BOARD = (20, 20, 24), (255, 255, 255), (28, 52, 160), (250, 240, 214), (236, 240, 232), (36, 64, 52)

# name, strokes, height of the picture, share of it that the digit fills, pen (share of the digit), ink, ground, slant, turn
# in degrees, place of the digit (0 left or top .. 1), paper: noise of this many levels, or "light" from one side
STYLES = [
    ("0", "0", 160, .7, .10, INK, PAPER, 0, 0, (.5, .5), 0),
    ("0-chalk", "0b", 120, .5, .13, CHALK, BOARD, .1, -8, (.8, .3), 9),
    ("1", "1", 140, .6, .11, INK, PAPER, .05, 4, (.5, .5), 0),
    ("1-flag", "1b", 90, .75, .10, BLUE, CREAM, 0, 0, (.4, .6), 0),
    ("2", "2", 150, .65, .10, INK, PAPER, 0, 0, (.5, .5), 0),
    ("2-red", "2b", 110, .6, .12, (190, 30, 40), (255, 250, 250), .12, 6, (.2, .8), 0),
    ("3", "3", 130, .7, .11, INK, PAPER, 0, -4, (.6, .4), 0),
    ("3-white", "3b", 100, .8, .12, (255, 255, 255), (0, 0, 0), .08, 0, (.5, .5), 0),
    ("4", "4", 150, .6, .10, INK, PAPER, 0, 0, (.5, .5), 0),
    ("4-open", "4b", 96, .7, .12, BLUE, PAPER, .1, 0, (.3, .5), 0),
    ("5", "5", 140, .7, .10, INK, PAPER, 0, 0, (.5, .5), 0),
    ("5-pencil", "5b", 120, .6, .11, (120, 120, 126), (228, 228, 224), .08, 5, (.7, .7), 5),
    ("6", "6", 150, .6, .11, INK, PAPER, 0, 0, (.5, .5), 0),
    ("6-night", "6b", 84, .8, .12, (250, 220, 120), (18, 22, 60), .05, -6, (.5, .5), 0),
    ("7", "7", 150, .65, .10, INK, PAPER, 0, 0, (.5, .5), 0),
    ("7-bar", "7b", 120, .6, .11, (20, 110, 70), CREAM, .06, 0, (.2, .2), 0),
    ("8", "8", 150, .65, .10, INK, PAPER, 0, 0, (.5, .5), 0),
    ("8-thick", "8b", 110, .75, .15, (90, 30, 120), (240, 236, 250), 0, 5, (.6, .4), 0),
    ("9", "9", 150, .65, .10, INK, PAPER, 0, 0, (.5, .5), 0),
    ("9-chalk", "9b", 100, .7, .13, CHALK, BOARD, .06, 4, (.3, .6), 8),
    ("2-thin", "2", 170, .6, .035, INK, PAPER, .1, 0, (.7, .3), 0),
    ("3-far", "3b", 220, .22, .12, INK, PAPER, 0, 0, (.9, .1), 0),
    ("5-lamp", "5", 110, .7, .11, (60, 50, 50), (210, 200, 180), 0, -3, (.5, .5), "light"),
    ("8-tiny", "8b", 30, .7, .12, INK, PAPER, 0, 0, (.5, .5), 0),
]
FINE = 4  # pixels of the drawing to one of the picture


def curve(points):
    """Catmull and Rom's spline through the points."""
    p = np.array([points[0]] + points + [points[-1]])
    t = np.linspace(0, 1, 24)[:, None]
    parts = [.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t ** 2 + (3 * b - a - 3 * c + d) * t ** 3)
             for a, b, c, d in zip(p, p[1:], p[2:], p[3:])]
    return np.concatenate(parts)


def cover(strokes, side, fill, pen, slant, turn, place):
    """How far each of the side x side pixels is inked, 0..1."""
    points = [curve(s) for s in strokes]
    angle = np.radians(turn)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.array([[1, -slant], [0, 1]])
    points = [p @ matrix.T for p in points]
    whole = np.concatenate(points)
    low, size = whole.min(0), np.ptp(whole, 0)
    scale, fine = fill * side, side * FINE
    room = side - size * scale - pen * scale - 4
    shift = np.array(place) * room + pen * scale / 2 + 2
    y, x = np.mgrid[0:fine, 0:fine] / FINE + .5 / FINE
    inked = np.zeros((fine, fine), bool)
    for stroke in points:
        at = (stroke - low) * scale + shift
        for (ax, ay), (bx, by) in zip(at, at[1:]):
            dx, dy = bx - ax, by - ay
            t = np.clip(((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
            inked |= np.hypot(x - ax - t * dx, y - ay - t * dy) <= pen * scale / 2
    return inked.reshape(side, FINE, side, FINE).mean((1, 3))


def draw(folder, name, strokes, side, fill, pen, ink, ground, slant, turn, place, paper):
    alpha = cover(STROKES[strokes], side, fill, pen, slant, turn, place)[..., None]
    picture = np.array(ground, float) + (np.array(ink, float) - np.array(ground, float)) * alpha
    rng = np.random.default_rng(sum(map(ord, name)))
    if paper == "light":
        picture = picture * np.linspace(.72, 1.1, side)[None, :, None]
    elif paper:
        picture += rng.normal(0, paper, (side, side, 1))
    image = Image.fromarray(np.clip(picture + .5, 0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(.4))
    image.quantize(24).save("%s/%s.png" % (folder, name), optimize=True)


for style in STYLES:
    draw(sys.argv[1], *style)
