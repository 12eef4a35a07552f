"""Charts as inline SVG: they need no script and no network, and follow the page's colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from .figures import amount, power

if TYPE_CHECKING:
    from assay.mdl.compare import Row
    from assay.mdl.law import Law

SECTIONS = ("parts", "support", "values", "correction")
UPTO = 10**9
WIDTH = 960
ROW = 30


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from ``low`` to ``high`` over the pixels from ``start`` to ``stop``."""

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return self.start + share * (self.stop - self.start)

    def ticks(self, most: int = 7) -> list[float]:
        """Powers of ten on the axis, at most so many; on a short axis their double and fivefold as well."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        step = max(1, math.ceil((last - first - 1) / most))
        mantissas = (1, 2, 5) if self.high < 100 * self.low else (1,)
        every = (m * 10.0**e for e in range(first, last + 1, step) for m in mantissas)
        return [tick for tick in every if self.low * 0.999 <= tick <= self.high * 1.001]


def bars(rows: Sequence[Row], unit: str) -> Markup:
    """The ledger of each explanation: its sections end to end, with the 95 % interval of the total."""
    left, right, top = 230, 110, 34
    height = top + ROW * len(rows) + 8
    longest = max((max(r.total, r.interval[1]) for r in rows if math.isfinite(r.total)), default=0.0) or 1.0
    scale = (WIDTH - left - right) / longest
    marks = [_legend(left)]
    for i, row in enumerate(rows):
        marks += _bar(row, left, top + ROW * i, scale, unit)
    label = f"Bits per {unit} of each explanation, by section"
    return svg(height, label, marks)


def _legend(left: float) -> str:
    marks, x = [], left
    for section in SECTIONS:
        marks.append(f'<rect class="{section}" x="{x}" y="8" width="12" height="12" rx="2"/>')
        marks.append(f'<text x="{x + 18}" y="18">{section}</text>')
        x += 44 + 8 * len(section)
    return "".join(marks)


def _bar(row: Row, left: float, y: float, scale: float, unit: str) -> list[str]:
    middle = y + ROW / 2
    marks = [f'<text class="name" x="{left - 12}" y="{middle + 4}">{escape(short(row.name, 30))}</text>']
    if not math.isfinite(row.total):
        return [*marks, f'<text x="{left}" y="{middle + 4}">∞: it rules out an answer that occurs</text>']
    x = float(left)
    for section in SECTIONS:
        value: float = getattr(row, section)
        said = f"<title>{escape(row.name)}: {section} {amount(value)} bits per {unit}</title>"
        box = f'x="{x:.1f}" y="{y + 5}" width="{value * scale:.1f}" height="{ROW - 10}"'
        marks.append(f'<rect class="{section}" {box}>{said}</rect>')
        x += value * scale
    low, high = (left + bound * scale for bound in row.interval)
    marks.append(f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}"/>')
    return [*marks, f'<text x="{max(x, high) + 8:.1f}" y="{middle + 4}">{amount(row.total)}</text>']


def curves(names: Sequence[str], laws: Sequence[Law], unit: str) -> Markup:
    """L(N)/N of each explanation, both axes logarithmic: the lowest curve is the shortest message."""
    from assay.mdl.law import curve

    lines = [[(N, L / N) for N, L in curve(law, UPTO, 90) if 0 < L < math.inf] for law in laws]
    heights = [y for line in lines for _, y in line] or [1.0]
    x = Axis(1, UPTO, 84, WIDTH - 250)
    y = Axis(min(heights) / 1.3, max(max(heights), min(heights) * 10) * 1.3, 400, 16)
    said = f"N, number of {unit}s", f"L(N)/N, bits per {unit}"
    marks = grid(x, y, *said, lambda tick: power(round(tick)), 10)
    ends = spread([y.at(line[-1][1]) if line else 400.0 for line in lines], 17.0, 16.0, 400.0)
    for i, (name, line, end) in enumerate(zip(names, lines, ends, strict=True)):
        marks += _curve(i, name, line, end, x, y)
    return svg(450, f"Bits per {unit}, L(N)/N, against N for each explanation", marks)


def grid(
    x: Axis, y: Axis, below: str, beside: str, label: Callable[[float], str], most: int = 7
) -> list[str]:
    """Lines and numbers of both axes, at most so many along x, and what the axes are."""
    marks = []
    for tick in x.ticks(most):
        at = x.at(tick)
        marks.append(f'<path class="grid" d="M{at:.1f} {y.stop}V{y.start}"/>')
        marks.append(f'<text class="tick" x="{at:.1f}" y="{y.start + 20}">{label(tick)}</text>')
    for tick in y.ticks():
        at = y.at(tick)
        marks.append(f'<path class="grid" d="M{x.start} {at:.1f}H{x.stop}"/>')
        marks.append(f'<text class="name" x="{x.start - 10}" y="{at + 4:.1f}">{amount(tick)}</text>')
    marks.append(f'<text class="tick" x="{(x.start + x.stop) / 2}" y="{y.start + 42}">{below}</text>')
    turned = f'transform="translate(16 {(y.start + y.stop) / 2}) rotate(-90)"'
    return [*marks, f'<text class="tick" {turned}>{beside}</text>']


def _curve(i: int, name: str, line: list[tuple[int, float]], end: float, x: Axis, y: Axis) -> list[str]:
    if not line:
        return [
            f'<text class="series s{i % 10}" x="{x.stop + 26}" y="{end + 4:.1f}">{escape(name)}: ∞</text>'
        ]
    path = "L".join(f"{x.at(N):.1f} {y.at(v):.1f}" for N, v in line)
    last = y.at(line[-1][1])
    said = f"<title>{escape(name)}</title>"
    label = f'x="{x.stop + 26}" y="{end + 4:.1f}">{escape(short(name, 31))}'
    return [
        f'<path class="curve s{i % 10}" d="M{path}">{said}</path>',
        f'<path class="leader s{i % 10}" d="M{x.stop + 2} {last:.1f}L{x.stop + 20} {end:.1f}"/>',
        f'<text class="series s{i % 10}" {label}</text>',
    ]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart until each has its room, in their order, from ``low`` to ``high`` pixels.

    >>> spread([50.0, 51.0, 90.0], 10, 0, 100)
    [50.0, 60.0, 90.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    floor = low
    for i in order:
        placed[i] = max(placed[i], floor)
        floor = placed[i] + gap
    ceiling = high
    for i in reversed(order):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    return placed


def short(name: str, most: int) -> str:
    """A name cut to so many characters."""
    return name if len(name) <= most else name[: most - 1] + "…"


def svg(height: float, label: str, marks: Sequence[str]) -> Markup:
    """A drawing of these marks, with a label for those who cannot see it."""
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "\n".join(marks) + "</svg>")
