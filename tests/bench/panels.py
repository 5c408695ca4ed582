#!/usr/bin/env python3
"""panels.py COLUMNS FIGURE.svg=TITLE...: gnuplot's figures as one small SVG on stdout, for light and dark pages.

Each figure becomes a panel with its title. What is black takes the colour of the text, and the ground that of the page, by
the reader's preference; marks that are not used are left out.
"""
import re
import sys

WIDTH, HEIGHT, TITLE, GAP = 560, 400, 26, 16
STYLE = ("svg{color:#1b1f24}.p{fill:#fff}.t{font:600 17px sans-serif;fill:currentColor}"
         "@media(prefers-color-scheme:dark){svg{color:#e4e8ec}.p{fill:#15181c}}")


def smaller(svg, prefix):
    """The inside of a figure: ids made unique, colours made the page's, what draws nothing left out."""
    body = svg[svg.index('<g id="gnuplot_canvas"'):svg.rindex("</svg>")]
    body = re.sub(r"<filter.*?</filter>|<title>.*?</title>|<desc>.*?</desc>", "", body, flags=re.S)
    body = re.sub(r'(["\'])black\1', '"currentColor"', body).replace('color="currentColor" ', "")
    body = re.sub(r"\s+", " ", body)
    body = re.sub(r" ?(stroke-linecap|stroke-linejoin|class)=\"(butt|miter|gridline)\"", "", body)
    while re.search(r"<g[^>]*> ?</g>", body):
        body = re.sub(r"<g[^>]*> ?</g>", "", body)
    marks = {name: mark for mark, name in re.findall(r"(<[^<>]*id='(gpPt\d+|gpDot)'[^<>]*/>)", body)}
    body = re.sub(r"<defs>.*?</defs>", "", body, flags=re.S)
    wanted, last = set(re.findall(r"#(gp\w+)", body)), None
    while wanted != last:
        last = set(wanted)
        wanted |= {name for mark in last for name in re.findall(r"href='#(gp\w+)'", marks[mark])}
    body = "<defs>" + "".join(mark for name, mark in marks.items() if name in wanted) + "</defs>" + body
    body = re.sub(r"(id='|id=\"|#)(gp\w+|gnuplot_\w+)", rf"\1{prefix}\2", body)
    return re.sub(r"> <", "><", body)


columns, figures = int(sys.argv[1]), [a.rsplit("=", 1) for a in sys.argv[2:]]
rows = -(-len(figures) // columns)
width = columns * (WIDTH + GAP) + GAP
height = rows * (HEIGHT + TITLE + GAP) + GAP
out = [f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width} {height}">',
       f"<style>{STYLE}</style>", f'<rect class="p" width="{width}" height="{height}"/>']
for i, (path, title) in enumerate(figures):
    x, y = GAP + i % columns * (WIDTH + GAP), GAP + i // columns * (HEIGHT + TITLE + GAP)
    body = smaller(open(path, encoding="utf-8").read(), f"p{i}")
    out.append(f'<text class="t" x="{x + WIDTH / 2:g}" y="{y + 16}" text-anchor="middle">{title}</text>'
               f'<svg x="{x}" y="{y + TITLE}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">{body}</svg>')
print("\n".join(out) + "\n</svg>")
