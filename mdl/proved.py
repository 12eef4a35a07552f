"""What a proved distance says about the correction: a bound for every input, not only for the sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

_ROUNDING = Fraction(1, 10**9)


@dataclass(frozen=True)
class WorstCorrection:
    """The correction of one datum at its longest.

    Attributes:
        residual: no residual on the grid is larger.
        bits: of all coordinates of the datum, each residual told in the code of equal prices.
    """

    residual: int
    bits: float


def worst_correction(epsilon: Fraction, delta: float, coordinates: int) -> WorstCorrection:
    """The longest correction where target and prediction differ by at most `epsilon` at every coordinate.

    Both are rounded to the grid of step `delta`, half to even: a distance of e steps becomes at most
    floor(e) + 1. A residual is one of 2 r + 1, so that log2(2 r + 1) bits tell it, whatever the data.

    >>> worst_correction(Fraction(1, 10), 0.05, 2).residual
    3
    """
    if epsilon == 0:
        return WorstCorrection(0, 0.0)
    steps = epsilon / Fraction(delta) * (1 + _ROUNDING) + _ROUNDING  # the division itself rounds
    residual = math.floor(steps) + 1
    return WorstCorrection(residual, coordinates * math.log2(2 * residual + 1))
