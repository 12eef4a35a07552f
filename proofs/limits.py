"""The box that conditions on single inputs leave: `x[0] >= 0.1` and `abs(x[1] - 0.5) <= 0.03` narrow a scope.

What such a condition leaves out is cut off at the root of a proof, and each piece is closed by the condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .formulas import Atom, Formula, flat


@dataclass(frozen=True)
class Limit:
    """A free variable is at most `value` (`sign` 1), or its opposite is (-1), says part `part` of the
    formula: what it needs to be at least 0 falls by `slope` for each step that the variable takes beyond."""

    free: int
    sign: int
    value: Fraction
    part: int
    slope: Fraction

    def cut(self, unit: int) -> list[Any]:
        """The node that leaves the scope in its second half; `unit` is the certificate's number of the
        variable."""
        return ["cut", self.sign * unit, str(self.value)]

    def closed(self, unit: int) -> dict[str, Any]:
        """The leaf that closes this half."""
        told = {"sum": [[self.part, "1"]], "cuts": [[self.sign * unit, str(self.slope)]]}
        return {"slopes": [], **told}


def narrowed_box(
    formula: Formula, lo: Sequence[Fraction], hi: Sequence[Fraction], whole: Sequence[bool]
) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...], tuple[Limit, ...]]:
    """The box of the free variables within the limits that the formula sets, and these limits.

    A limit that leaves nothing is not taken: the search finds a scope empty in its own ways.
    """
    low, high = list(lo), list(hi)
    found: dict[tuple[int, int], Limit] = {}
    for limit in _limits(flat(formula), whole):
        at, side = limit.free, limit.sign * limit.value
        narrows = low[at] <= side < high[at] if limit.sign > 0 else low[at] < side <= high[at]
        if narrows:
            (high if limit.sign > 0 else low)[at] = side
            found[at, limit.sign] = limit
    return tuple(low), tuple(high), tuple(found.values())


def _limits(parts: Iterable[Formula], whole: Sequence[bool]) -> Iterable[Limit]:
    """What atoms of one free variable say of it."""
    for number, part in enumerate(parts):
        if not isinstance(part, Atom) or len(part.form.terms) != 1:
            continue
        ((step, i), slope), *_ = part.form.terms
        if step == 0:
            sign, value = (-1 if slope > 0 else 1), part.form.const / abs(slope)
            if whole[i]:
                value = Fraction(-(-value // 1) - 1 if part.strict else value // 1)
            yield Limit(i, sign, value, number, abs(slope))
