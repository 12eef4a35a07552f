"""How many words are certified, given for each number of symbols set apart which answers are safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

from assay.models.automata import automaton
from assay.proofs.strategies import Meter

from .reading import Shape

__all__ = ["Answers", "certified"]

Answers = Callable[[int], Sequence[bool]]
"""Of how many symbols set apart a word holds: for each state, whether such words are surely right."""


def certified(shape: Shape, apart: Sequence[int], answers: Answers, meter: Meter) -> int:
    """Words that are certified, if some symbols are a class of their own.

    Words with c of those that are apart are looked at together, for each c; how many of them lead to each
    state is counted only where some answers are safe and others are not.
    """
    n, K, many, found = shape.n, shape.K, len(apart), 0
    for copies in range(K + 1 if apart else 1):
        safe = answers(copies)
        if all(safe):
            found += comb(K, copies) * many**copies * (n - many) ** (K - copies)
        elif any(safe):
            leading = _leading(shape, frozenset(apart), copies, meter)
            found += sum(words for words, right in zip(leading, safe, strict=True) if right)
    return found


def _leading(shape: Shape, bad: frozenset[int], copies: int, meter: Meter) -> list[int]:
    """How many words with so many symbols set apart lead to each state."""
    task = automaton(shape.automaton)
    if not bad and task.group:  # every product has as many words
        return [shape.n ** (shape.K - 1)] * shape.states
    table, counts = task.table.tolist(), [[1] + [0] * (shape.states - 1)]
    for length in range(1, shape.K + 1):
        longer = [[0] * shape.states for _ in range(min(copies, length) + 1)]
        for c, many in enumerate(counts):
            for s, ways in enumerate(many):
                for x in range(shape.n):
                    if (at := c + (x in bad)) <= copies:
                        longer[at][table[s][x]] += ways
        counts = longer
        meter.each("counting", shape.states * shape.n * len(counts))
    return counts[copies]
