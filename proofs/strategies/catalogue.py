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

from .enumeration import BruteForce
from .numerator_strategy import USUAL_OUTPUTS, Numerators
from .numerators import Bracket, Positions
from .paths import Rank
from .strategy import Strategy
from .subcubic import ReleasedSubCubic

__all__ = ["combinations", "named", "strategies", "with_outputs"]

GROUP = "assay.strategies"
COARSE_GRIDS, FINE_GRIDS, COARSE = (3, 4, 5, 6, 8), (8, 10), Numerators(tokens="blocks", grid=5)
OUTPUTS = (16, 18, 20, 24, 28)
"""How small a part of all sequences is worth looking at single outputs, as powers of two."""


def _ours() -> Iterable[Strategy]:
    yield BruteForce()
    yield Numerators(counting="listed")
    yield Numerators("joint", "together", "pure")
    for QK, EU in product(get_args(Rank), repeat=2):
        yield Numerators("split", "together", "threshold", "prefixes", QK, EU)
        yield Numerators("split", "together", "threshold", "blocks", QK, EU)
    yield from (
        form
        for form in combinations()
        if form == replace(COARSE, bracket=form.bracket, positions=form.positions)
    )
    yield Numerators()
    yield Numerators(outputs=USUAL_OUTPUTS)


def combinations() -> Iterable[Numerators]:
    """The combinations of the parts of the numerator forms that a search tries, but for single outputs.

    One bracket for each position and one psi for all is more work than either, and not tighter than "apart";
    single tokens are worth their work where all else is tight.
    """
    forms = [
        (b, p, "full")
        for b in get_args(Bracket)
        for p in get_args(Positions)
        if (b, p) != ("joint", "together")
    ]
    forms += [("split", positions, "low-rank") for positions in get_args(Positions)]
    for (bracket, positions, EU), QK in product(forms, get_args(Rank)):
        if positions == "together":
            yield Numerators(bracket, positions, "threshold", "blocks", QK, EU)
        for grid in COARSE_GRIDS:
            yield Numerators(bracket, positions, "exact", "blocks", QK, EU, grid=grid)
    for bracket, grid in product(get_args(Bracket), FINE_GRIDS):
        yield Numerators(bracket, grid=grid)


def with_outputs(form: Strategy) -> Iterable[Numerators]:
    """The same with single outputs, from the fewest on, where sums of every position are counted."""
    fit = "full", "exact", "apart"
    if isinstance(form, Numerators) and (form.EU, form.counting, form.positions) == fit:
        yield from (replace(form, outputs=outputs) for outputs in OUTPUTS)


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
        *(found for form in combinations() for found in with_outputs(form)),
        ReleasedSubCubic(),
    )
    known: dict[str, Strategy] = {**{s.name: s for s in extra}, **strategies()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(strategies())}"
        raise InputError(f"there is no strategy {name!r}; {hint}")
    return known[name]
