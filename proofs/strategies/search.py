"""Searching for the best proof under a budget of operations; one number for what was found.

Searching is free: only what verifies the proof that is found counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .bounding import Bound, apply, area, best
from .catalogue import combinations, strategies, with_outputs
from .enumeration import BruteForce
from .max_of_k import Shape
from .numerator_strategy import Numerators
from .strategy import Strategy, Subject

__all__ = ["quality", "search", "sweep"]

LISTED = 1 << 27
"""So many operations may a strategy take that lists sequences, and so many may there be, before a sweep
leaves it out."""

Report = Callable[[str], None]


def sweep(subject: Subject, budget: float = math.inf, report: Report | None = None) -> list[Bound]:
    """Apply every strategy that suits the semantics and may fit the budget, but for long lists."""
    shape = subject.shape
    return [
        _run(strategy, subject, report)
        for strategy in strategies().values()
        if subject.semantics in strategy.semantics
        and strategy.cost(shape) <= budget
        and not (strategy.unexplained(shape) > shape.sequences and _long(strategy, shape))
    ]


def search(subject: Subject, budget: float = math.inf, report: Report | None = None) -> list[Bound]:
    """The bounds that were tried: all combinations that may fit; the best is `best(bounds, budget)`.

    Single outputs are looked at for the tightest of those that leave room for them.
    """
    tried = {bound.strategy: bound for bound in sweep(subject, budget, report)}
    for strategy in combinations():
        if strategy not in tried and strategy.cost(subject.shape) <= budget:
            tried[strategy] = _run(strategy, subject, report)
    for limit in (budget, budget / 2, budget / 4):
        plain = [b for s, b in tried.items() if not (isinstance(s, Numerators) and s.outputs)]
        found = best(plain, limit)
        for single in with_outputs(found.strategy) if found else ():
            if single not in tried:
                tried[single] = _run(single, subject, report)
            if tried[single].operations > budget:
                break
    return list(tried.values())


def quality(bounds: Sequence[Bound], shape: Shape) -> float:
    """Q, between reading the weights and brute force (see `.bounding.area`)."""
    return area(bounds, shape.parameters, BruteForce().cost(shape))


def _long(strategy: Strategy, shape: Shape) -> bool:
    return max(strategy.cost(shape), shape.sequences) > LISTED


def _run(strategy: Strategy, subject: Subject, report: Report | None) -> Bound:
    if report:
        report(strategy.name)
    return apply(strategy, subject)
