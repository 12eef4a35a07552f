"""Rate–distortion curves in tables, sentences and a chart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from .charts import WIDTH, Axis, grid, short, spread, svg
from .figures import amount
from .sheets import Sheet

if TYPE_CHECKING:
    from assay.mdl.frontier import Frontier, Measure

Curve = tuple[str, list[tuple[float, float]]]
"""A name, and (distortion, bits) along a hull."""
MEASURES = {"fvu": "FVU", "kl": "KL"}
YARDSTICK = "Gaussian, water-filling"
FLOOR = 340.0


def equal_sheet(
    frontiers: Sequence[Frontier],
    measure: Measure,
    levels: Sequence[float],
    unit: str,
    yardstick: Sequence[tuple[float, float]] = (),
) -> Sheet:
    """Bits of each explanation at equal distortion."""
    lengths = [[f.bits_at(measure, level) for level in levels] for f in frontiers if f.hull(measure)]
    names = [f.name for f in frontiers if f.hull(measure)]
    best = {
        (i, j + 1)
        for j, column in enumerate(zip(*lengths, strict=True))
        for i, bits in enumerate(column)
        if len(names) > 1 and bits == min(column) < math.inf
    }
    if yardstick:
        names, lengths = [*names, YARDSTICK], [*lengths, [bits for _, bits in yardstick]]
    rows = tuple((name, *map(amount, bits)) for name, bits in zip(names, lengths, strict=True))
    said = MEASURES[measure]
    note = (
        f"Estimates by interpolation on the convex hull (time sharing); ∞: cannot be kept to. "
        f"Distortion: {'fraction of variance unexplained' if measure == 'fvu' else f'bits per {unit}'}."
    )
    title = f"Bits per {unit} at equal {said}: parts, support and values, no correction"
    return Sheet(
        title, ("explanation", *(f"{said} {amount(x)}" for x in levels)), rows, frozenset(best), note
    )


def points_sheet(frontiers: Sequence[Frontier], unit: str) -> Sheet:
    """Every operating point, by explanation."""
    rows = tuple(
        (f.name, p.knob, amount(p.step), str(p.precision), amount(p.bits), amount(p.fvu), amount(p.kl))
        for f in frontiers
        for p in sorted(f.points, key=lambda p: -p.bits)
    )
    columns = ("explanation", "knob", "value step", "precision", f"bits per {unit}", "FVU ↓", "KL ↓")
    return Sheet("Operating points", columns, rows, text=(0, 1))


def crossing_sentences(frontiers: Sequence[Frontier], measure: Measure) -> list[str]:
    """For every two explanations, where which one needs fewer bits."""
    known = [f for f in frontiers if f.hull(measure)]
    return [_sentence(a, b, measure) for a, b in itertools.combinations(known, 2)]


def _sentence(a: Frontier, b: Frontier, measure: Measure) -> str:
    from assay.mdl.frontier import crossings

    said, at = MEASURES[measure], crossings(a, b, measure)
    low = max(a.reach(measure)[0], b.reach(measure)[0])
    if not math.isfinite(low):
        return f"{a.name} and {b.name} have no {said} in common"
    bends = [low, *at]
    inside = (bends[0] + bends[1]) / 2 if at else max(low, min(a.reach(measure)[1], b.reach(measure)[1]))
    first, second = a.bits_at(measure, inside), b.bits_at(measure, inside)
    if not at and first == second:
        return f"{a.name} and {b.name} need the same bits at {said} {amount(inside)}"
    ahead, behind = (a, b) if first < second else (b, a)
    if not at:
        return f"{ahead.name} needs fewer bits than {behind.name} at every {said} from {amount(low)} on"
    spots = ", ".join(amount(x) for x in at)
    return (
        f"{ahead.name} needs fewer bits than {behind.name} from {said} {amount(low)}; they cross at {spots}"
    )


def chart(curves: Sequence[Curve], measure: Measure, unit: str) -> Markup:
    """Bits per sample against distortion, both axes logarithmic."""
    lines = [[(x, y) for x, y in points if 0 < x < math.inf and y > 0] for _, points in curves]
    every = [point for line in lines for point in line] or [(1.0, 1.0)]
    xs, ys = zip(*every, strict=True)
    x = Axis(min(xs) / 1.2, max(max(xs), min(xs) * 2) * 1.2, 84, WIDTH - 250)
    y = Axis(max(min(ys), max(ys) / 1e4) / 1.2, max(ys) * 1.3, FLOOR, 16)
    marks = grid(x, y, MEASURES[measure], f"bits per {unit}, no correction", "{:g}".format)
    shown = [[(a, max(b, y.low)) for a, b in line] for line in lines]
    ends = spread([y.at(line[-1][1]) if line else FLOOR for line in shown], 17.0, 16.0, FLOOR)
    for i, ((name, _), line, end) in enumerate(zip(curves, shown, ends, strict=True)):
        marks += _drawn(i, name, line, end, x, y)
    return svg(FLOOR + 50, f"Bits per {unit} against {MEASURES[measure]}", marks)


def _drawn(i: int, name: str, line: list[tuple[float, float]], end: float, x: Axis, y: Axis) -> list[str]:
    if not line:
        return []
    spots = [(x.at(a), y.at(b)) for a, b in line]
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in spots)
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="var(--c)"/>' for a, b in spots)
    a, b = spots[-1]
    label = f'x="{x.stop + 26}" y="{end + 4:.1f}">{escape(short(name, 31))}'
    return [
        f'<g class="s{i % 10}"><title>{escape(name)}</title><path class="curve" d="M{path}"/>{dots}</g>',
        f'<path class="leader s{i % 10}" d="M{a + 4:.1f} {b:.1f}L{x.stop + 20} {end:.1f}"/>',
        f'<text class="series s{i % 10}" {label}</text>',
    ]
