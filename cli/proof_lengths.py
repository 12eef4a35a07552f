"""A picture of proofs: certified accuracy against length, both so that factors look alike.

Height is the logarithm of the share that is not certified: .9, .99 and .999 are equally far apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from .charts import Axis, spread
from .figures import power

Point = tuple[float, float, str]
"""Operations, certified accuracy, and what to call it."""

WIDTH, HEIGHT, NINES = 1120, 520, 4
LEFT, RIGHT, TOP, BOTTOM = 72, 384, 46, 462
PUBLISHED: dict[tuple[int, int], tuple[Point, ...]] = {
    (4, 64): ((2.5e7, 0.954, "cubic, published"), (3.2e6, 0.82, "sub-cubic, published (unsound)")),
}
"""Gross et al. 2024 (arXiv 2406.11779): relative to the true accuracy, mean of 151 models."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222 } .title { font-size: 16px; font-weight: 600 }
.grid { stroke: #ddd } .tick { text-anchor: middle } .value { text-anchor: end }
.steps { fill: none; stroke: #1764ab; stroke-width: 2 } .ours { fill: #1764ab } .inside { fill: #9dbfe0 }
.published { fill: none; stroke: #c4420b; stroke-width: 2 } .theirs { fill: #c4420b }
.leader { stroke: #aaa; fill: none }
"""


def picture(title: str, points: Sequence[Point], K: int, v: int) -> str:
    """Draw points as an SVG; those that no shorter proof reaches carry their names and are joined by steps.

    Published points of models with the same K and v are drawn beside them.
    """
    published = PUBLISHED.get((K, v), ())
    reached = _reached(points)
    lengths = [p[0] for p in (*points, *published)] or [1e6]
    x = Axis(min(lengths) / 1.6, max(lengths) * 1.6, LEFT, WIDTH - RIGHT)
    marks = [f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>', *_grid(x)]
    marks += [_steps(reached, x)] if reached else []
    marks += [_dot(p, x, "ours" if p in reached else "inside") for p in points]
    marks += [_ring(p, x) for p in published]
    marks += _labels([*((p, "ours") for p in reached), *((p, "theirs") for p in published)], x)
    body = "\n".join(marks)
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{body}</svg>\n'
    )


def _reached(points: Sequence[Point]) -> list[Point]:
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept


def _height(accuracy: float) -> float:
    nines = -math.log10(max(1 - accuracy, 10.0**-NINES))
    return BOTTOM - nines / NINES * (BOTTOM - TOP)


def _grid(x: Axis) -> list[str]:
    marks = []
    for tick in x.ticks(8):
        at = x.at(tick)
        marks.append(f'<path class="grid" d="M{at:.1f} {TOP}V{BOTTOM}"/>')
        marks.append(f'<text class="tick" x="{at:.1f}" y="{BOTTOM + 20}">{power(round(tick))}</text>')
    for accuracy in (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999):
        at = _height(accuracy)
        marks.append(f'<path class="grid" d="M{x.start} {at:.1f}H{x.stop:.1f}"/>')
        marks.append(f'<text class="value" x="{LEFT - 8}" y="{at + 4:.1f}">{accuracy:g}</text>')
    middle = (x.start + x.stop) / 2
    axis = "operations to verify the proof"
    return [*marks, f'<text class="tick" x="{middle}" y="{BOTTOM + 44}">{axis}</text>']


def _steps(reached: Sequence[Point], x: Axis) -> str:
    path = f"M{x.at(reached[0][0]):.1f} {BOTTOM}"
    for operations, accuracy, _ in reached:
        path += f"H{x.at(operations):.1f}V{_height(accuracy):.1f}"
    return f'<path class="steps" d="{path}H{x.stop:.1f}"/>'


def _dot(point: Point, x: Axis, kind: str) -> str:
    said = f"{escape(point[2])}: {point[1]:.4f} at {point[0]:,.0f} operations"
    place = f'cx="{x.at(point[0]):.1f}" cy="{_height(point[1]):.1f}"'
    return f'<circle class="{kind}" {place} r="4"><title>{said}</title></circle>'


def _ring(point: Point, x: Axis) -> str:
    return f'<circle class="published" cx="{x.at(point[0]):.1f}" cy="{_height(point[1]):.1f}" r="6"/>'


def _labels(named: Sequence[tuple[Point, str]], x: Axis) -> list[str]:
    """Names to the right of the drawing, each joined to its point, without overlap."""
    places = spread([_height(point[1]) for point, _ in named], 18, TOP, BOTTOM)
    marks = []
    for ((operations, accuracy, name), kind), y in zip(named, places, strict=True):
        start = f"{x.at(operations) + 6:.1f} {_height(accuracy):.1f}"
        marks.append(f'<path class="leader" d="M{start}L{x.stop + 8:.1f} {y:.1f}"/>')
        marks.append(f'<text class="{kind}" x="{x.stop + 12:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
    return marks
