"""float32 numbers among the exact ones."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

LARGEST = Fraction(float(np.finfo(np.float32).max))


def nearest(value: Fraction) -> Fraction:
    """The float32 next to a number; the largest one for what is larger."""
    value = min(max(value, -LARGEST), LARGEST)
    near = Fraction(float(np.float32(float(value))))  # rounded twice
    if near == value:
        return value
    return min((near, _beside(near, -1), _beside(near, 1)), key=lambda number: abs(number - value))


def holds(value: Fraction) -> bool:
    """Whether a float32 is this number."""
    number = float(value) if abs(value) <= LARGEST else math.inf
    return number == value and float(np.float32(number)) == number


def within(x: float, lo: Fraction, hi: Fraction) -> Fraction | None:
    """The float32 nearest to x that lies in [lo, hi]; None where none does."""
    value = nearest(min(max(Fraction(x), lo), hi))
    if not lo <= value <= hi:
        value = _beside(value, 1 if value < lo else -1)
    return value if lo <= value <= hi else None


def _beside(value: Fraction, side: int) -> Fraction:
    """The next float32 above or below one; itself where there is none."""
    with np.errstate(over="ignore"):
        found = float(np.nextafter(np.float32(float(value)), np.float32(side * math.inf)))
    return Fraction(found) if math.isfinite(found) else value


__all__ = ["LARGEST", "holds", "nearest", "within"]
