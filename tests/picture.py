#!/usr/bin/env python3
"""picture.py <SCREEN >SVG: a terminal's screen, as `tmux capture-pane -e -p` prints it, becomes a picture.

Words are placed by column and stretched to their cells, so that the picture is the same in every font; the pieces of the
progress bar are drawn. launch/run.svg was made so: CONTRIBUTING.md has the commands.
"""
import re
import sys
from html import escape

CELL_W, CELL_H, MARGIN, SIZE = 8.0, 17.0, 14.0, 13
PAPER, INK = "#16181d", "#d5d8de"
COLOURS = {32: "#7ec97a", 33: "#e0c068", 31: "#e5716b", 35: "#c58fd8", 36: "#5fb8c6", 34: "#6ea2e8"}
BAR = {"━": (1.0, 2.6), "╸": (0.5, 2.6), "─": (1.0, 1.0)}  # share of a cell, thickness


def cells(line, style):
    """[(character, style)]; style is (colour, bold, dim) and goes on to the next line."""
    out = []
    for escape_codes, character in re.findall(r"\x1b\[([0-9;]*)m|(.)", line):
        if character:
            out.append((character, style))
            continue
        for code in map(int, (escape_codes or "0").split(";")):
            colour, bold, dim = style
            if code == 0:
                style = (INK, False, False)
            elif code == 1:
                style = (colour, True, dim)
            elif code == 2:
                style = (colour, bold, True)
            elif code == 39:
                style = (INK, bold, dim)
            elif code in COLOURS:
                style = (COLOURS[code], bold, dim)
    return out, style


def attributes(style):
    colour, bold, dim = style
    return (f' fill="{colour}"' if colour != INK else "") + (' font-weight="bold"' if bold else "") + (
        ' opacity=".55"' if dim else "")


def draw(row, y):
    at = 0
    while at < len(row):
        character, style = row[at]
        end = at + 1
        if character in BAR:
            while end < len(row) and row[end] == row[at]:
                end += 1
            share, thick = BAR[character]
            yield (f'<rect x="{MARGIN + at * CELL_W:g}" y="{y - SIZE * .33 - thick / 2:.1f}" '
                   f'width="{(end - at - 1 + share) * CELL_W:g}" height="{thick:g}"{attributes(style) or f" fill={INK!r}"}/>')
        elif character != " ":
            # a word goes on over single blanks in one style
            while end < len(row) and row[end][1] == style and row[end][0] not in BAR and not (
                    row[end][0] == " " and (end + 1 == len(row) or row[end + 1][0] == " " or row[end + 1][1] != style)):
                end += 1
            word = "".join(c for c, _ in row[at:end])
            yield (f'<text x="{MARGIN + at * CELL_W:g}" y="{y:g}" textLength="{(end - at) * CELL_W:g}" '
                   f'lengthAdjust="spacingAndGlyphs"{attributes(style)}>{escape(word)}</text>')
        at = end


lines = sys.stdin.read().rstrip().split("\n")
style = (INK, False, False)
rows = []
for line in lines:
    row, style = cells(line, style)
    rows.append(row)
width = max(map(len, rows)) * CELL_W + 2 * MARGIN
height = len(rows) * CELL_H + 2 * MARGIN
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
      f'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="{SIZE}" '
      f'fill="{INK}">')
print("<title>A run of dtrain on two ranks</title>")
print(f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{PAPER}"/>')
for number, row in enumerate(rows):
    for element in draw(row, MARGIN + (number + .78) * CELL_H):
        print(element)
print("</svg>")
