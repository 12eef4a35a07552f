"""What a max-of-K transformer computes, path by path, in whole numbers.

With Eq = E + P[-1] the logits are, exactly,

    logit_j = EU[q, j] + sum_p a_p (EV[x_p, j] + PV[p, j]),   a = softmax_p(A[q, x_p] + B[q, p]),

    EU = Eq U, EV = E V O U, PV = P V O U, A = Eq Q K' E' / sqrt(e), B = Eq Q K' P' / sqrt(e).

The weights are dyadic rationals, so these products are exact. They are rounded down once, onto grids on which
every further step is exact in 64 bits: path logits to a multiple of a common power of two, attention
exp(score) = M 2^x to a mantissa M of 28 bits. What is rounded is therefore known to lie in [n, n + 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
from assay.proofs.faults import InputError
from numpy.typing import NDArray

from .costs import Meter
from .max_of_k import Exact, MaxOfK, Shape

__all__ = ["LOGIT_BITS", "MANTISSA_BITS", "Exponentials", "Paths", "paths"]

LOGIT_BITS, MANTISSA_BITS = 30, 28
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Exponentials:
    """Numbers between M 2^x and (M + 1) 2^x, with M of 28 bits."""

    M: Whole
    x: Whole

    def at(self, row: int, columns: slice | Whole) -> Exponentials:
        """Some of a row."""
        return Exponentials(self.M[row, columns], self.x[row, columns])


@dataclass(frozen=True)
class Paths:
    """Path logits in [n, n + 1] units of 2^-places, and the exponentials of the scores.

    EU [q, j], EV [t, j], PV [p, j]; eA [q, t], eB [q, p]; `A` and `B` are sqrt(e) times the scores, exactly,
    in units of 2^-(4 shift).
    """

    shape: Shape
    places: int
    EU: Whole
    EV: Whole
    PV: Whole
    eA: Exponentials
    eB: Exponentials
    A: Exact
    B: Exact
    score_places: int

    def logits(self, table: Whole) -> NDArray[np.float64]:
        """Path logits as numbers, to within 2^-places."""
        return np.ldexp(table.astype(np.float64), -self.places)

    def scores(self, table: Exact) -> NDArray[np.float64]:
        """Attention scores as numbers, to the nearest float."""
        root = float(self.shape.e) ** 0.5
        return np.array([[n / (1 << self.score_places) / root for n in row] for row in table])


def paths(model: MaxOfK) -> Paths:
    """Multiply the paths out.  Raises `InputError` for scores beyond a million."""
    shift, P = model.shift, model.P
    Eq = model.E + P[-1]
    VOU, QK = model.V.dot(model.O).dot(model.U), model.Q.dot(model.K.T)
    EU, EV, PV = Eq.dot(model.U) << 2 * shift, model.E.dot(VOU), P.dot(VOU)  # all in units of 2^-(4 shift)
    query = Eq.dot(QK)
    A, B = query.dot(model.E.T), query.dot(P.T)
    largest = max(int(abs(table).max()) for table in (EU, EV, PV))
    drop = largest.bit_length() - LOGIT_BITS
    EU, EV, PV = (_down(table, drop) for table in (EU, EV, PV))
    eA, eB = (_exponentials(table, 4 * shift, model.shape.e) for table in (A, B))
    return Paths(model.shape, 4 * shift - drop, EU, EV, PV, eA, eB, A, B, 4 * shift)


def logit_cost(meter: Meter, shape: Shape) -> None:
    """Operations that EU, EV and PV take."""
    meter.each("query embedding", shape.v * shape.d)
    meter.product("EU", shape.v, shape.d, shape.v)
    meter.product("VOU", shape.d, shape.e, shape.d)
    meter.product("VOU", shape.d, shape.d, shape.v)
    meter.product("EV", shape.v, shape.d, shape.v)
    meter.product("PV", shape.K, shape.d, shape.v)


def score_cost(meter: Meter, shape: Shape) -> None:
    """Operations that A, B and their exponentials take."""
    meter.product("QK", shape.d, shape.e, shape.d)
    meter.product("QK", shape.v, shape.d, shape.d)
    meter.product("A", shape.v, shape.d, shape.v)
    meter.product("B", shape.v, shape.d, shape.K)
    meter.each("scores", shape.v * (shape.v + shape.K), times=2)  # divided by sqrt(e), exponentiated


def _down(table: Exact, drop: int) -> Whole:
    """Divided by 2^drop and rounded down."""
    return (table >> drop if drop >= 0 else table << -drop).astype(np.int64)


def _exponentials(table: Exact, places: int, e: int) -> Exponentials:
    flat = [_exponential(int(n), places, e) for n in table.ravel()]
    M, x = np.array(flat, dtype=np.int64).T.reshape(2, *table.shape)
    return Exponentials(M, x)


_CONTEXT = Context(prec=40)
NEAR_ZERO, ONE = Decimal("1e-15"), (1 << MANTISSA_BITS - 1, 1 - MANTISSA_BITS)
_LN2 = _CONTEXT.ln(Decimal(2))


def _exponential(n: int, places: int, e: int) -> tuple[int, int]:
    """exp(n / (2^places sqrt(e))) as a mantissa of 28 bits, rounded down, and its exponent."""
    if n == 0:
        return ONE
    with localcontext(_CONTEXT) as context:
        score = Decimal(n) / (1 << places) / _root(e)
        if abs(score) > 10**6:
            raise InputError(f"an attention score of {score:.3g}, expected at most a million")
        if abs(score) < NEAR_ZERO:  # just above one, or just below it
            return ONE if n > 0 else ((1 << MANTISSA_BITS) - 1, -MANTISSA_BITS)
        doublings = int((score / _LN2).to_integral_value("ROUND_FLOOR"))
        mantissa = context.exp(score - doublings * _LN2) * (1 << MANTISSA_BITS - 1)
        rounded = int(mantissa)
        # 40 digits leave an error far below this; e^s is transcendental, so it is no whole number itself.
        if not Decimal("1e-20") < mantissa - rounded < 1 - Decimal("1e-20"):
            raise ArithmeticError(f"exp({score}) is too near a boundary to be rounded")
    return rounded, doublings + 1 - MANTISSA_BITS


def _root(e: int) -> Any:
    return _CONTEXT.sqrt(Decimal(e))
