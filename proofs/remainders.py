"""`e % m` for whole numbers, in words that are linear between kinks: parity and other periods.

Where e takes whole values from lo to hi only, with q = floor(lo / m),

    e % m = e - m q - m Σ_k [e >= t_k],   t_k = m (q + k) in (lo, hi],
    [e >= t] = max(e - t + 1, 0) - max(e - t, 0),

which holds at every whole number (between them the right side is what linear interpolation gives, and no
claim is about that). The remainder has the sign of m, as in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from .expressions import MAX_WRITTEN, Expr, ExpressionError, written_size

MAX_PERIODS = 256

Span = tuple[Fraction, Fraction]
"""Least and greatest value of something whole."""


@dataclass(frozen=True)
class Range:
    """What a variable may be: inclusive bounds, whether only whole numbers, and how many (None: a scalar)."""

    lo: Fraction
    hi: Fraction
    whole: bool
    size: int | None


def without_remainders(expr: Expr, ranges: Mapping[str, Range]) -> Expr:
    """The same statement about the same whole numbers, without `%`.

    Raises:
        ExpressionError: a remainder of what need not be whole, or of too many periods.
    """
    args = tuple(without_remainders(arg, ranges) for arg in expr.args)
    if expr.op != "%":
        return expr if args == expr.args else replace(expr, args=args)
    period = expr.args[1]
    if period.op != "number" or period.value.denominator != 1 or period.value <= 0:
        raise ExpressionError("expected a whole number above 0 on the right of %", expr.at)
    lo, hi = span(expr.args[0], ranges)
    return _saw(args[0], period.value, lo, hi, expr.at)


def _saw(value: Expr, m: Fraction, lo: Fraction, hi: Fraction, at: int) -> Expr:
    first, last = floor(lo / m), floor(hi / m)
    if last - first > MAX_PERIODS:
        raise ExpressionError(f"{last - first} periods between {lo} and {hi}, at most {MAX_PERIODS}", at)
    if 2 * (last - first) * written_size(value) > MAX_WRITTEN:
        raise ExpressionError(f"more than {MAX_WRITTEN} operations when this % is written out", at)
    terms = [value, _number(-m * first, at)]
    for k in range(first + 1, last + 1):
        for shift, sign in ((1, -m), (0, m)):
            ramp = Expr("max", (Expr("+", (value, _number(shift - m * k, at)), at=at), _number(0, at)), at=at)
            terms.append(Expr("*", (_number(sign, at), ramp), at=at))
    return Expr("+", tuple(terms), at=at)


def _number(value: Fraction | int, at: int) -> Expr:
    return Expr("number", value=Fraction(value), at=at)


def span(expr: Expr, ranges: Mapping[str, Range]) -> Span:
    """Bounds of an expression whose value is whole on all inputs; ExpressionError for any other."""
    if expr.op == "number" and expr.value.denominator == 1:
        return expr.value, expr.value
    if expr.op in ("name", "index"):
        found = _variable(expr, ranges)
        return found.lo, found.hi
    if expr.op == "%" and expr.args[1].op == "number":
        span(expr.args[0], ranges)
        return Fraction(0), expr.args[1].value - 1
    if expr.op == "sum":
        return _summed([_several(arg, ranges) for arg in expr.args])
    if expr.op in _RULES:
        return _RULES[expr.op]([span(arg, ranges) for arg in expr.args])
    raise ExpressionError(
        "% is known of whole-number sums, products, abs, min and max of the inputs", expr.at
    )


def _variable(expr: Expr, ranges: Mapping[str, Range]) -> Range:
    name = expr if expr.op == "name" else expr.args[0]
    found = ranges.get(name.name) if name.op == "name" else None
    if found is None or not found.whole or (found.size is None) != (expr.op == "name"):
        raise ExpressionError(
            "% is known of whole numbers: an integer, token or bit, or one of a vector", expr.at
        )
    return found


def _several(expr: Expr, ranges: Mapping[str, Range]) -> Span:
    """Bounds of the sum of an argument of `sum`, which may be a vector."""
    found = ranges.get(expr.name) if expr.op == "name" else None
    if found is not None and found.size is not None and found.whole:
        return found.lo * found.size, found.hi * found.size
    return span(expr, ranges)


def _summed(parts: list[Span]) -> Span:
    return sum((lo for lo, _ in parts), Fraction(0)), sum((hi for _, hi in parts), Fraction(0))


def _multiplied(parts: list[Span]) -> Span:
    lo, hi = parts[0]
    for low, high in parts[1:]:
        corners = [lo * low, lo * high, hi * low, hi * high]
        lo, hi = min(corners), max(corners)
    return lo, hi


def _negated(parts: list[Span]) -> Span:
    return -parts[0][1], -parts[0][0]


def _absolute(parts: list[Span]) -> Span:
    ((lo, hi),) = parts
    return max(Fraction(0), lo, -hi), max(-lo, hi)


def _least(parts: list[Span]) -> Span:
    return min(lo for lo, _ in parts), min(hi for _, hi in parts)


def _greatest(parts: list[Span]) -> Span:
    return max(lo for lo, _ in parts), max(hi for _, hi in parts)


_RULES: dict[str, Callable[[list[Span]], Span]] = {
    "+": _summed,
    "*": _multiplied,
    "neg": _negated,
    "abs": _absolute,
    "min": _least,
    "max": _greatest,
}
