"""How many words are certified, given for each number of symbols set apart which answers are safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

from assay.models.groups import group
from assay.proofs.strategies import Meter

from .reading import Shape

__all__ = ["Answers", "certified"]

Answers = Callable[[int], Sequence[bool]]
"""Of how many symbols set apart a word holds: for each product, whether such words are surely right."""


def certified(shape: Shape, apart: Sequence[int], answers: Answers, meter: Meter) -> int:
    """Words that are certified, if some symbols are a class of their own.

    Words with c of those that are apart are looked at together, for each c; their products are counted only
    where some answers are safe and others are not.
    """
    n, K, many = shape.n, shape.K, len(apart)
    found = 0
    for copies in range(K + 1 if apart else 1):
        safe = answers(copies)
        if all(safe):
            found += comb(K, copies) * many**copies * (n - many) ** (K - copies)
        elif any(safe):
            products = _products(shape, frozenset(apart), copies, meter)
            found += sum(words for words, right in zip(products, safe, strict=True) if right)
    return found


def _products(shape: Shape, bad: frozenset[int], copies: int, meter: Meter) -> list[int]:
    """How many words with so many symbols set apart have each product."""
    n, K = shape.n, shape.K
    if not bad:  # every product has as many words
        return [n ** (K - 1)] * n
    table = group(shape.group).table.tolist()
    counts = {0: [int(x not in bad) for x in range(n)], 1: [int(x in bad) for x in range(n)]}
    for length in range(1, K):
        longer = {c: [0] * n for c in range(min(copies, length + 1) + 1)}
        for c, many in counts.items():
            for x in range(n):
                at = c + (x in bad)
                if at <= copies:
                    for s, ways in enumerate(many):
                        longer[at][table[s][x]] += ways
        counts = longer
        meter.each("counting", n * n * len(counts))
    return counts[copies]
