"""Whole numbers in units of 2^-60, and complex ones as pairs of them, rounded to a known side."""

from __future__ import annotations

from functools import cache
from math import isqrt

__all__ = ["ONE", "PLACES", "Complex", "modulus", "power", "roots", "scaled"]

PLACES = 60
ONE = 1 << PLACES
Complex = tuple[int, int]


def modulus(z: Complex) -> int:
    """|z|, rounded up to the unit."""
    return isqrt(z[0] * z[0] + z[1] * z[1]) + 1


def scaled(a: int, b: int, places: int = PLACES) -> int:
    """The product of two numbers in units of 2^-places, rounded up."""
    return -(-(a * b) >> places)


def power(z: Complex, exponent: int) -> Complex:
    """z^exponent, exactly: in units of the exponent-th power of z's."""
    x, y = 1, 0
    for _ in range(exponent):
        x, y = x * z[0] - y * z[1], x * z[1] + y * z[0]
    return x, y


@cache
def roots(n: int) -> list[Complex]:
    """exp(2πi j / n) for j below n, either part to the nearest unit."""
    import mpmath

    with mpmath.workprec(2 * PLACES + 32):
        angles = [2 * mpmath.pi * j / n for j in range(n)]
        return [
            (int(mpmath.nint(mpmath.cos(t) * ONE)), int(mpmath.nint(mpmath.sin(t) * ONE))) for t in angles
        ]
