"""Break-even sizes in words: from how many data on one explanation is shorter than another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .figures import count
from .sheets import datum

if TYPE_CHECKING:
    from assay.mdl.compare import Comparison, Crossing


def shortest(comparison: Comparison) -> str:
    """Which explanation is shortest at N = 1, 10³ and 10⁶, in a sentence."""
    lengths = {"1": "L1", "10³": "L1e3", "10⁶": "L1e6"}
    best = {N: min(comparison.rows, key=lambda r: getattr(r, key)).name for N, key in lengths.items()}
    told = ", ".join(f"{name} at N = {N}" for N, name in best.items())
    return f"shortest of all: {told} {datum(comparison.scope)}s"


def sentences(comparison: Comparison, baseline: str | None = None) -> list[str]:
    """A sentence for every other explanation against the baseline, the first one by default."""
    base = baseline or comparison.rows[0].name
    unit = datum(comparison.scope)
    return [
        sentence(crossing, crossing.b if crossing.a == base else crossing.a, base, unit)
        for crossing in comparison.crossings
        if base in (crossing.a, crossing.b)
    ]


def between(comparison: Comparison, a: str, b: str) -> str:
    """The sentence for two explanations by name."""
    for crossing in comparison.crossings:
        if {a, b} == {crossing.a, crossing.b}:
            return sentence(crossing, a, b, datum(comparison.scope))
    raise KeyError(f"{a!r} and {b!r} were not compared")


def overtaking(comparison: Comparison, late: str, early: str) -> str:
    """Where ``late``, the longer one at N = 1, becomes the shorter one."""
    for crossing in comparison.crossings:
        if {late, early} == {crossing.a, crossing.b} and crossing.shorter_at_one == early and crossing.at:
            at = count(crossing.at[0])
            return f"{late} overtakes {early} at N = {at} {datum(comparison.scope)}s"
    return between(comparison, late, early)


def sentence(crossing: Crossing, name: str, base: str, unit: str) -> str:
    """How the lengths of two messages about N data compare, for all N from 1 to 10¹²."""
    ahead = crossing.shorter_at_one == name
    if not crossing.at:
        return f"{name} is {'shorter' if ahead else 'longer'} than {base} at every N up to 10¹² {unit}s"
    spans = _spans(crossing.at, ahead)
    return f"{name} is shorter than {base} {' and '.join(spans)} {unit}s"


def _spans(at: Sequence[int], ahead: bool) -> list[str]:
    """The stretches of N on which the first is the shorter one."""
    bounds = [1, *at] if ahead else list(at)
    found = []
    for start, stop in zip(bounds[::2], [*bounds[1::2], None], strict=False):
        if stop is None:
            found.append(f"from N = {count(start)}")
        elif start == 1:
            found.append(f"up to N = {count(stop - 1)}")
        else:
            found.append(f"from N = {count(start)} to {count(stop - 1)}")
    return found
