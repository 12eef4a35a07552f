"""All strategies by name: ours, and those that a plug-in registers (entry points `assay.strategies`)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
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

__all__ = ["named", "strategies"]

GROUP = "assay.strategies"


def _ours() -> Iterable[Strategy]:
    yield BruteForce()
    yield ByPaths()
    yield Cubic()
    for QK, EU in product(get_args(Rank), repeat=2):
        yield SubCubic(QK, EU)
    for counting, bracket, positions in product(*map(get_args, (Counting, Bracket, Positions))):
        yield Numerators(bracket, positions, counting)
    yield Numerators("joint", "apart", "exact", outputs=True)


@cache
def strategies() -> dict[str, Strategy]:
    """Every sound strategy by its name; a plug-in's entry point is a function that gives one.

    The released sub-cubic form is not among them; `named` gives it to those who ask for it.
    """
    found = {strategy.name: strategy for strategy in _ours()}
    for point in entry_points(group=GROUP):
        strategy: Strategy = point.load()()
        found.setdefault(strategy.name, strategy)
    return found


def named(name: str) -> Strategy:
    """Look a strategy up.  Raises `InputError`."""
    known = {**strategies(), **{s.name: s for s in (SubCubic(released=True),)}}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(known)}"
        raise InputError(f"there is no strategy {name!r}; {hint}")
    return known[name]
