"""Surprise accounting: the bits of the facts that an explanation rests on, and of what is seen given them.

    total surprise = surprise of the explanation + surprise given the explanation

A step that is deduced is free. A step that looks at the parameters pays −log2 of how likely its finding was:
1 bit for each yes or no, −log2 of the relative difference for two numbers that are nearly equal. These prices
are the convention of the source; what is counted is derived from the parameters. Sources: Alignment Research
Center, "Formal verification, heuristic explanations and surprise accounting" (2024), and J. Hilton, "AlgZoo:
uninterpreted models with fewer than 1,500 parameters" (2026), where M(2,2) takes about 40 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One thing that was found by looking at the parameters, and what finding it costs in bits."""

    found: str
    bits: float


@dataclass(frozen=True)
class Surprise:
    """The steps of an explanation, and the bits by which the outcomes still surprise who knows it."""

    steps: tuple[Step, ...]
    given: float = 0.0

    @property
    def explanation(self) -> float:
        """Surprise of the explanation."""
        return math.fsum(step.bits for step in self.steps)

    @property
    def total(self) -> float:
        """Both."""
        return self.explanation + self.given


def choices(found: str, count: int) -> Step:
    """``count`` answers of yes or no, each as likely as the other: 1 bit each."""
    return Step(found, float(count))


def equality_surprise(a: float, b: float) -> float:
    """−log2 of the relative difference of two numbers: how surprising it is that they are so nearly equal.

    a and b are compared relative to their mean.

    >>> equality_surprise(1.0, 1.0 + 2**-10) > 9.9
    True
    """
    difference = 2 * abs(a - b) / abs(a + b)
    return -math.log2(difference) if difference else math.inf


def outcome_surprise(wrong: int, n: int, expected: float) -> float:
    """n KL(wrong/n ‖ expected) in bits: what n outcomes cost beyond who knew their frequency.

    Nearly 0 where the explanation's estimate is exact; inf where it holds what happened to be impossible.

    >>> round(outcome_surprise(1, 1000, 0.5))
    989
    """
    bits = 0.0
    for count, p in ((wrong, expected), (n - wrong, 1 - expected)):
        if count:
            bits += count * math.log2(count / n / p) if p > 0 else math.inf
    return max(bits, 0.0)
