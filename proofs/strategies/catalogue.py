"""All strategies by name: ours, and those that a plug-in registers (entry points `assay.strategies`)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from itertools import product
from typing import get_args

from assay.proofs.faults import InputError

from .cubic import Cubic
from .enumeration import BruteForce, ByPaths
from .numerator_strategy import Counting, Numerators
from .numerators import Bracket, Positions
from .strategy import Strategy
from .subcubic import Rank, SubCubic

__all__ = ["combinations", "named", "strategies"]

GROUP = "assay.strategies"


GRIDS = (3, 4, 5, 6, 8, 10, 12)


def _ours() -> Iterable[Strategy]:
    yield BruteForce()
    yield ByPaths()
    yield Cubic()
    for QK, EU in product(get_args(Rank), repeat=2):
        yield SubCubic(QK, EU)
    yield from (s for s in combinations() if s.grid == 8 or (s.grid == 5 and s.counting == "exact"))
    yield Numerators("joint", "apart", "exact", outputs=True)


def combinations() -> Iterable[Numerators]:
    """Every combination of the parts of the numerator forms, but for single outputs."""
    parts = (get_args(Bracket), get_args(Positions), get_args(Counting), GRIDS)
    for bracket, positions, counting, grid in product(*parts):
        yield Numerators(bracket, positions, counting, grid=grid)


@cache
def strategies() -> dict[str, Strategy]:
    """Every sound strategy by its name; a plug-in's entry point is a function that gives one.

    Of the numerator forms these are those with usual grids; `named` knows all, and the released sub-cubic
    form.
    """
    found = {strategy.name: strategy for strategy in _ours()}
    for point in entry_points(group=GROUP):
        strategy: Strategy = point.load()()
        found.setdefault(strategy.name, strategy)
    return found


def named(name: str) -> Strategy:
    """Look a strategy up, among all combinations as well.  Raises `InputError`."""
    extra: tuple[Strategy, ...] = (
        *combinations(),
        *(replace(s, outputs=True) for s in combinations()),
        SubCubic(released=True),
    )
    known: dict[str, Strategy] = {**{s.name: s for s in extra}, **strategies()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(strategies())}"
        raise InputError(f"there is no strategy {name!r}; {hint}")
    return known[name]
