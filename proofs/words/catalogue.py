"""The strategies by name, all of them on a network, and one number for the frontier."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence

from assay.proofs.faults import InputError
from assay.proofs.strategies.bounding import Bound, apply, area, best

from .reading import Shape
from .strategy import BruteForce, Explained, Strategy, Subject

__all__ = ["named", "quality", "search", "sweep"]

APART = (0, 1, 2, 4, 8)
LONG = 1 << 28
"""So many operations may a proof take before a sweep leaves it out (some minutes)."""
Report = Callable[[str], None]


def _strategies() -> dict[str, Strategy]:
    found: list[Strategy] = [BruteForce(), *(Explained("fourier", n) for n in APART), Explained("pairs")]
    return {strategy.name: strategy for strategy in found}


def named(name: str) -> Strategy:
    """Look a strategy up.  Raises `InputError`."""
    known = _strategies()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"they are {', '.join(known)}"
        raise InputError(f"there is no strategy {name!r} for products; {hint}")
    return known[name]


def sweep(subject: Subject, budget: float = math.inf, report: Report | None = None) -> list[Bound]:
    """Apply every strategy that suits network and semantics and may fit the budget, but for long ones.

    Symbols are set apart only where fourier without that leaves something. Raises `InputError` where nothing
    that was tried applies.
    """
    found: list[Bound] = []
    refused: list[InputError] = []
    for strategy in _strategies().values():
        if _tried(strategy, subject, budget, found):
            if report:
                report(strategy.name)
            try:
                found.append(apply(strategy, subject))
            except InputError as error:  # a basis that is none, numbers too extreme for float32
                refused.append(error)
    if refused and not found:
        raise InputError("; ".join(map(str, refused)))
    return found


search = sweep
"""There is nothing to combine here: the best is `best(bounds, budget)`."""


def quality(bounds: Sequence[Bound], shape: Shape) -> float:
    """Q, between reading the weights and brute force (see `area`)."""
    return area(bounds, shape.parameters, BruteForce().cost(shape))


def _tried(strategy: Strategy, subject: Subject, budget: float, found: Sequence[Bound]) -> bool:
    shape, limit = subject.shape, budget if isinstance(strategy, BruteForce) else min(budget, LONG)
    fits = strategy.suits(shape) and strategy.cost(shape) <= limit
    if not fits or subject.semantics not in strategy.semantics:
        return False
    if isinstance(strategy, Explained) and strategy.apart:
        plain = best(b for b in found if b.strategy.name == strategy.form)
        return plain is not None and plain.certified < plain.sequences
    return True
