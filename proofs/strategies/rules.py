"""The inference rules of all strategies, each a template that z3 discharges.

A template is the rule for a fixed small number of positions, tokens or outputs, over all real numbers; the
strategies apply it with K positions and v outputs, to which it extends by adding up or by taking maxima one
at a time. `proved` asks z3 whether there is a counterexample; `refuted` prints one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["RULES", "UnsoundRule", "proved", "refuted"]

Template = Callable[[], tuple[Any, Any]]
"""Gives z3's (assumptions, conclusion)."""

MILLISECONDS = 1000


class UnsoundRule(ValueError):
    """A strategy rests on a rule that is false."""

    def __init__(self, rule: str, counterexample: str) -> None:
        super().__init__(f"the rule {rule!r} is false: {counterexample}")
        self.counterexample = counterexample


def _reals(names: str) -> Any:
    import z3

    return z3.Reals(names)


def _max(*values: Any) -> Any:
    import z3

    most = values[0]
    for value in values[1:]:
        most = z3.If(value > most, value, most)
    return most


def _min(*values: Any) -> Any:
    return -_max(*(-value for value in values))


def _numerators() -> tuple[Any, Any]:
    """logit_j - logit_m < 0 exactly if its product with the softmax denominator is a negative sum."""
    import z3

    a, b, x, y, u = _reals(
        "a b x y u"
    )  # attention before normalisation, value differences, direct difference
    logit = u + (a / (a + b)) * x + (b / (a + b)) * y
    return z3.And(a > 0, b > 0), (logit < 0) == (a * (u + x) + b * (u + y) < 0)


def _sum_of_maxima() -> tuple[Any, Any]:
    """If the sum of the largest terms is negative, so is the sum for every output."""
    import z3

    x1, x2, y1, y2 = _reals("x1 x2 y1 y2")
    return _max(x1, x2) + _max(y1, y2) < 0, z3.And(x1 + y1 < 0, x2 + y2 < 0)


def _split_maxima() -> tuple[Any, Any]:
    x1, x2, y1, y2 = _reals("x1 x2 y1 y2")
    return True, _max(x1 + y1, x2 + y2) <= _max(x1, x2) + _max(y1, y2)


def _moved() -> tuple[Any, Any]:
    """Attention adds up to one: what is taken from a direct difference u may be added to every value."""
    import z3

    a, u, x, y, c = _reals("a u x y c")
    return z3.BoolVal(True), u + a * x + (1 - a) * y == (u - c) + a * (x + c) + (1 - a) * (y + c)


def _together() -> tuple[Any, Any]:
    """One psi for two positions, or tokens: the larger factor if the bracket is positive, else the
    smaller."""
    import z3

    e1, e2, d1, d2 = _reals("e1 e2 d1 d2")
    d = _max(d1, d2)
    shared = d * z3.If(d > 0, _max(e1, e2), _min(e1, e2))
    return z3.And(e1 > 0, e2 > 0), z3.And(e1 * d1 <= shared, e2 * d2 <= shared)


def _threshold() -> tuple[Any, Any]:
    """c copies at most a, n - c others at most t, and the last: the sum is at most c a + (n - c) t + last."""
    import z3

    a, t, last, x, y, z = _reals("a t last x y z")
    return z3.And(x <= a, y <= t, z <= t, a + 2 * t + last < 0), x + y + z + last < 0


def _union() -> tuple[Any, Any]:
    """A sequence that is not right is spoilt by some output: right ones are at least all minus the spoilt."""
    import z3

    bad1, bad2 = z3.Bools("bad1 bad2")
    right, spoilt = z3.Not(z3.Or(bad1, bad2)), [z3.If(bad, 1, 0) for bad in (bad1, bad2)]
    return True, z3.If(right, 1, 0) >= 1 - spoilt[0] - spoilt[1]


def _rounding_up() -> tuple[Any, Any]:
    """Whole numbers that are at least the terms in units, clipped from below: their sum is no smaller."""
    import z3

    x, y, unit = _reals("x y unit")
    m, n, low = z3.Ints("m n low")
    clipped = z3.And(unit > 0, z3.ToReal(m) * unit >= x, z3.ToReal(n) * unit >= y)
    return z3.And(clipped, _max(m, low) + _max(n, low) < 0), x + y < 0


def _enclosure() -> tuple[Any, Any]:
    """An upper bound on a product with a positive factor that is enclosed."""
    import z3

    e, lo, hi, x, top = _reals("e lo hi x top")
    return z3.And(lo > 0, lo <= e, e <= hi, x <= top), e * x <= z3.If(top > 0, hi * top, lo * top)


def _pure() -> tuple[Any, Any]:
    """If with either of two tokens everywhere the sum is negative, so it is with any mixture of the two."""
    import z3

    base, r1, r2, e1, e2 = _reals("base r1 r2 e1 e2")
    pure = [base + (e1 + e2) * r < 0 for r in (r1, r2)]
    return z3.And(e1 > 0, e2 > 0, *pure), base + e1 * r1 + e2 * r2 < 0


def _mean_and_difference() -> tuple[Any, Any]:
    """Attention w where it was w0: max_j if that is more, min_j if it is less."""
    return _attention_moved(sign_aware=True)


def _as_released() -> tuple[Any, Any]:
    """The same with max_j for both signs: false."""
    return _attention_moved(sign_aware=False)


def _attention_moved(sign_aware: bool) -> tuple[Any, Any]:
    import z3

    b1, b2, x1, x2, w, w0 = _reals("b1 b2 x1 x2 w w0")
    steepest = z3.If(w >= w0, _max(x1, x2), _min(x1, x2)) if sign_aware else _max(x1, x2)
    shares = z3.And(w >= 0, w <= 1, w0 >= 0, w0 <= 1)
    return shares, _max(b1 + w * x1, b2 + w * x2) <= _max(b1 + w0 * x1, b2 + w0 * x2) + (w - w0) * steepest


def _cauchy_schwarz() -> tuple[Any, Any]:
    """|a · b| <= r s, if r and s are at least the norms; in two dimensions, squared."""
    import z3

    a1, a2, b1, b2 = _reals("a1 a2 b1 b2")
    return z3.BoolVal(True), (a1 * b1 + a2 * b2) ** 2 <= (a1**2 + a2**2) * (b1**2 + b2**2)


def _projection() -> tuple[Any, Any]:
    """What a · b is besides its part along h, in two dimensions, squared, times h · h twice."""
    import z3

    a1, a2, b1, b2, h1, h2 = _reals("a1 a2 b1 b2 h1 h2")
    H, ah, bh = h1 * h1 + h2 * h2, a1 * h1 + a2 * h2, b1 * h1 + b2 * h2
    a_rest, b_rest = (x * x + y * y for x, y in ((a1, a2), (b1, b2)))
    off = H * (a1 * b1 + a2 * b2) - ah * bh
    return z3.BoolVal(True), off * off <= (H * a_rest - ah * ah) * (H * b_rest - bh * bh)


RULES: dict[str, Template] = {
    "numerators": _numerators,
    "sum of maxima": _sum_of_maxima,
    "split maxima": _split_maxima,
    "tables moved": _moved,
    "taken together": _together,
    "common threshold": _threshold,
    "union over outputs": _union,
    "rounding up": _rounding_up,
    "enclosure": _enclosure,
    "pure sequences": _pure,
    "mean and difference": _mean_and_difference,
    "mean and difference, as released": _as_released,
    "Cauchy-Schwarz": _cauchy_schwarz,
    "projection": _projection,
}


def proved(rule: str) -> bool:
    """Whether z3 finds the template valid, within a second."""
    import z3

    verdict: bool = _solver(rule).check() == z3.unsat
    return verdict


def refuted(rule: str) -> str:
    """A counterexample to a template, as text.  Raises `ValueError` where z3 has none."""
    import z3

    solver = _solver(rule)
    if solver.check() != z3.sat:
        raise ValueError(f"there is no counterexample to the rule {rule!r}")
    model = solver.model()
    return ", ".join(f"{name} = {model[name]}" for name in sorted(model, key=str))


def _solver(rule: str) -> Any:
    import z3

    assumed, concluded = RULES[rule]()
    solver = z3.Solver()
    solver.set("timeout", MILLISECONDS)
    solver.add(assumed, z3.Not(concluded))
    return solver
