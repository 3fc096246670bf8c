"""The report as a picture: horizontal bars on logarithmic axes, one group a unit, in SVG by hand."""

import html
import math

from rows import figure

WIDTH = 1000
LABEL_WIDTH = 330
VALUE_WIDTH = 170
WORDS_WIDTH = 90  # of "21.5 M  millrace"
BAR_HEIGHT = 12
ROW_GAP = 12
AXIS_HEIGHT = 26
TITLE_HEIGHT = 34

# Middle tones, to be read on white and on black.
TEXT = "#7d8590"
GRID = "#7d859055"
OURS = "#2f81f7"
LIMIT = "#8b949e"
PEERS = ("#d29922", "#a371f7", "#3fb950", "#db61a2")
ASKED = "#f85149"


def shown(rows):
    """The first metric of each workload, and each of which something is asked."""
    seen = set()
    found = []
    for row in rows:
        first = (row.benchmark, row.workload) not in seen
        seen.add((row.benchmark, row.workload))
        if first or row.verdict():
            found.append(row)
    return found


def bars(row, peer_colours):
    """(name, value, colour) of each bar of a row: ours, the limit, the peers."""
    found = [("millrace", row.ours.median, OURS)]
    if row.limit:
        found.append((row.limit.name, row.limit.figures.median, LIMIT))
    for peer in row.peers:
        found.append((peer.name, peer.figures.median, peer_colours[peer.name]))
    return found


def asked_value(row):
    """What is asked, in the unit of the row, or None: the harder of the two, if there are two."""
    found = [row.asked_bound] if row.asked_bound else []
    if row.asked_ratio and row.limit:
        found.append(row.asked_ratio * row.limit.figures.median)
    choose = min if row.lower_is_better else max
    return choose(found, default=None)


class Axis:
    """From a value to a place: logarithmic, over whole decades."""

    def __init__(self, values):
        values = [value for value in values if value > 0] or [1]
        self.low = math.floor(math.log10(min(values)) - 1e-9)
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.width = WIDTH - LABEL_WIDTH - VALUE_WIDTH

    def x(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low) if value > 0 else 0
        return LABEL_WIDTH + self.width * min(max(share, 0.004), 1)  # the least bar is seen too

    def decades(self):
        return [10.0 ** power for power in range(self.low, self.high + 1)]


def text(x, y, content, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{TEXT}">{html.escape(content)}</text>')


def line(x, top, bottom, colour, width=1.0):
    return (f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def draw_row(row, axis, top, peer_colours):
    """The marks of one row, and where it ends."""
    marks = [text(LABEL_WIDTH - 10, top + 10, row.workload, "end"),
             text(LABEL_WIDTH - 10, top + 23, f"{row.benchmark}, {row.metric}", "end", 10)]
    asked = asked_value(row)
    y = top
    for name, value, colour in bars(row, peer_colours):
        width = axis.x(value) - LABEL_WIDTH
        words_x = axis.x(value) + 6
        if y == top and asked and words_x - 6 < axis.x(asked) < words_x + WORDS_WIDTH:
            words_x = axis.x(asked) + 6  # behind the mark
        marks.append(f'<rect x="{LABEL_WIDTH}" y="{y:.1f}" width="{width:.1f}" height="{BAR_HEIGHT - 2}" rx="2" '
                     f'fill="{colour}"/>')
        marks.append(text(words_x, y + 9, f"{figure(value, row.unit)}  {name}", size=10))
        y += BAR_HEIGHT
    if asked:
        marks.append(line(axis.x(asked), top - 2, top + BAR_HEIGHT, ASKED, 2))
    return marks, max(y, top + 26)


def draw_group(unit, rows, top, peer_colours):
    """One unit's rows under one axis."""
    values = [value for row in rows for _, value, _ in bars(row, peer_colours)]
    values += [asked_value(row) for row in rows if asked_value(row)]
    axis = Axis(values)
    marks = [text(LABEL_WIDTH, top + 14, unit, size=13, weight="bold")]
    rows_top = top + AXIS_HEIGHT + 18
    y = rows_top
    for row in rows:
        drawn, y = draw_row(row, axis, y, peer_colours)
        marks += drawn
        y += ROW_GAP
    grid = []
    for value in axis.decades():
        grid.append(line(axis.x(value), rows_top - 6, y - 6, GRID))
        grid.append(text(axis.x(value), rows_top - 12, figure(value, unit), "middle", 10))
    return grid + marks, y + 10


def draw(rows, title):
    """The whole picture."""
    rows = shown(rows)
    names = list(dict.fromkeys(peer.name for row in rows for peer in row.peers))
    peer_colours = {name: PEERS[index % len(PEERS)] for index, name in enumerate(names)}
    units = list(dict.fromkeys(row.unit for row in rows))
    marks = [text(16, 22, title, size=15, weight="bold"),
             text(16, 40, "Blue: millrace. Grey: the limit. Other colours: peers. Red mark: what is asked. "
                          "Logarithmic; of ns, us, % and bytes less is better.", size=11)]
    y = TITLE_HEIGHT + 22
    for unit in units:
        drawn, y = draw_group(unit, [row for row in rows if row.unit == unit], y, peer_colours)
        marks += drawn
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" '
                      f'font-family="system-ui, sans-serif">', *marks, "</svg>", ""])
