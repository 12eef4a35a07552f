"""The strategies by name, all of them on a network, and one number for the frontier."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence

from assay.proofs.faults import InputError
from assay.proofs.strategies import Bound, best, frontier

from .reading import Shape
from .strategy import BruteForce, Explained, Strategy, Subject, apply

__all__ = ["named", "quality", "search", "sweep"]

APART = (0, 1, 2, 4, 8)
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
    """Apply every strategy that suits the network and the semantics and may fit the budget.

    Symbols are set apart only where a form without that certifies something else than everything.
    """
    found: list[Bound] = []
    for strategy in _strategies().values():
        if _tried(strategy, subject, budget, found):
            if report:
                report(strategy.name)
            found.append(apply(strategy, subject))
    return found


search = sweep
"""There is nothing to combine here: the best is `best(bounds, budget)`."""


def quality(bounds: Sequence[Bound], shape: Shape) -> float:
    """Q = 1 / ln(B / E) · the integral of a(b) db / b from E, reading the weights, to B, brute force."""
    low, high = shape.parameters, BruteForce().cost(shape)
    steps = [(max(b.operations, low), b.accuracy) for b in frontier(bounds) if b.operations < high]
    ends = [operations for operations, _ in steps[1:]] + [high]
    area = sum(a * (math.log(end) - math.log(start)) for (start, a), end in zip(steps, ends, strict=True))
    return area / (math.log(high) - math.log(low))


def _tried(strategy: Strategy, subject: Subject, budget: float, found: Sequence[Bound]) -> bool:
    fits = strategy.suits(subject.shape) and strategy.cost(subject.shape) <= budget
    if not fits or subject.semantics not in strategy.semantics:
        return False
    if isinstance(strategy, Explained) and strategy.apart:
        plain = best(b for b in found if b.strategy.name == strategy.form)
        return plain is not None and plain.certified < plain.sequences
    return True
