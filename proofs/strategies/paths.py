"""What a max-of-K transformer computes, path by path, in whole numbers.

With Eq = E + P[-1] the logits are, exactly,

    logit_j = EU[q, j] + sum_p a_p (EV[x_p, j] + PV[p, j]),   a = softmax_p(A[q, x_p] + B[q, p]),

    EU = Eq U, EV = E V O U, PV = P V O U, A = Eq Q K' E' / sqrt(e), B = Eq Q K' P' / sqrt(e).

*Centred.* Attention adds up to one, so any row may move from EU or PV to EV (rule `tables moved`). What is
common to all queries and to all positions moves: EU = (Eq - c) U and PV = P V O U - d, with EV = E V O U + c
U + d, where c is the mean of Eq and d that of P V O U. What is left in EU and PV is small, and bounding it
apart costs little.

*Low rank.* Of EU no more may be known than `direct` [q, m], at least all EU_qj - EU_qm, by Cauchy-Schwarz
from norms: |Eq - c| (|U_m - u| + max_j |U_j - u|). Of A no more than its part along one direction h of the
embedding, and how much the rest is at most: |Y - (Y h) h'| |E_t - (E_t h) h'| with Y = Eq Q K', E centred, h
of norm one. Then the products of matrices behind these tables are not needed.

The weights are dyadic rationals, so all of this is exact. Tables are rounded once, onto grids on which every
further step is exact in 64 bits: path logits down to a multiple of a common power of two, attention
exp(score) = M 2^x to a mantissa M of 28 bits. What is rounded down is therefore known to lie in [n, n + 1].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from functools import cached_property
from math import isqrt
from typing import Any, Literal

import numpy as np
from assay.proofs.faults import InputError
from numpy.typing import NDArray

from .costs import Meter
from .max_of_k import Exact, MaxOfK, Shape
from .rounding import EXACT, Slack, float32_slack

__all__ = ["LOGIT_BITS", "MANTISSA_BITS", "Paths", "Rank", "direction", "excess", "paths"]

LOGIT_BITS, MANTISSA_BITS, DIRECTION = 30, 28, 127
Whole = NDArray[np.int64]
Rank = Literal["full", "low-rank"]


@dataclass(frozen=True)
class Paths:
    """Path logits in [n, n + 1] units of 2^-places, upper bounds on differences, exponentials of scores.

    Attributes:
        EU, EV, PV: [q, j], [t, j], [p, j]; EU is empty where it is low rank.
        direct: [q, m], at least EU_qj - EU_qm for all j other than m.
        least, most, places_at: exponentials of A [q, t], from below and from above, and of B [q, p]: a number
            between M 2^x and (M + 1) 2^x as x 2^28 + M, so that larger numbers have larger codes.
    """

    shape: Shape
    places: int
    slack: Slack
    EU: Whole = field(repr=False)
    EV: Whole = field(repr=False)
    PV: Whole = field(repr=False)
    direct: Whole = field(repr=False)
    least: Whole = field(repr=False)
    most: Whole = field(repr=False)
    places_at: Whole = field(repr=False)

    @cached_property
    def moved(self) -> Whole:
        """At least EV_tj - EV_tm for all j other than m: [t, m]."""
        return excess(self.EV)

    @cached_property
    def placed(self) -> Whole:
        """At least PV_pj - PV_pm for all j other than m: [p, m]."""
        return excess(self.PV)


def largest_other(table: Whole) -> Whole:
    """The maximum over the last axis without each of its entries in turn: [..., j] to [..., m]."""
    at = table.argmax(-1)[..., None]
    first = np.take_along_axis(table, at, -1)
    rest = table.copy()
    np.put_along_axis(rest, at, np.iinfo(np.int64).min, -1)
    return np.where(np.arange(table.shape[-1]) == at, rest.max(-1, keepdims=True), first)


def excess(table: Whole) -> Whole:
    """max over j != m of table[..., j] - table[..., m], for numbers that are rounded down: [..., m]."""
    return largest_other(table) - table + 1


def paths(model: MaxOfK, QK: Rank = "full", EU: Rank = "full", single: bool = False) -> Paths:
    """Multiply the paths out; `single` for float32.  Raises `InputError` for scores beyond a million."""
    shift, P, v = model.shift, model.P, model.shape.v
    Eq = model.E + P[-1]
    VOU = model.V.dot(model.O).dot(model.U)
    center = Eq.sum(0) // v
    moving = (center.dot(model.U)) << 2 * shift
    PV = P.dot(VOU)
    common = PV.sum(0) // len(P)
    EV, PV = model.E.dot(VOU) + moving + common, PV - common  # all in units of 2^-(4 shift)
    if EU == "full":
        first = (Eq - center).dot(model.U) << 2 * shift
    else:
        U = model.U - (model.U.sum(1) // v)[:, None]
        norms = _norms(U.T)
        first = np.multiply.outer(_norms(Eq - center), norms + max(norms)) << 2 * shift
    largest = max(int(abs(table).max()) for table in (first, EV, PV))
    drop = largest.bit_length() - LOGIT_BITS
    places = 4 * shift - drop
    table = _down(first, drop) if EU == "full" else -_down(-first, drop)
    return Paths(
        model.shape,
        places,
        float32_slack(model, places) if single else EXACT,
        table if EU == "full" else table[:0],
        _down(EV, drop),
        _down(PV, drop),
        excess(table) if EU == "full" else table,
        *_attention(model, QK),
    )


def _attention(model: MaxOfK, QK: Rank) -> tuple[Whole, Whole, Whole]:
    """Exponentials of A, from below and from above, and of B."""
    places, e = 4 * model.shift, model.shape.e
    Y = (model.E + model.P[-1]).dot(model.Q.dot(model.K.T))
    at = _exponentials(Y.dot(model.P.T), places, e)
    if QK == "full":
        exact = _exponentials(Y.dot(model.E.T), places, e)
        return exact, exact, at
    h = np.array(direction(model), dtype=object)
    H, T = h.dot(h), model.E - model.E.sum(0) // model.shape.v
    along = np.multiply.outer(Y.dot(h), T.dot(h)) // H
    rest = _norms(Y, h, H)
    blur = -(-np.multiply.outer(rest, _norms(T, h, H)) // H)
    return _exponentials(along - blur, places, e), _exponentials(along + 1 + blur, places, e), at


def direction(model: MaxOfK) -> list[int]:
    """The direction of the embedding along which scores differ most, in small whole numbers: [d]."""
    E = _real(model.E, model)
    Y = _real(model.E + model.P[-1], model) @ _real(model.Q, model) @ _real(model.K, model).T
    h = np.linalg.svd(Y @ (E - E.mean(0)).T)[0][:, 0] @ Y
    largest = float(np.abs(h).max())
    if not largest > 0:  # where all scores are alike any direction will do
        return [1] + [0] * (len(h) - 1)
    return [int(n) for n in np.rint(h / largest * DIRECTION)]


def _real(table: Exact, model: MaxOfK) -> NDArray[np.float64]:
    return table.astype(np.float64) * 2.0**-model.shift


def _norms(rows: Exact, h: Exact | None = None, H: int = 1) -> Exact:
    """Norms, rounded up; if h is given, sqrt(H) times those of what is orthogonal to it, with H = h · h."""
    along = np.zeros(len(rows), dtype=object) if h is None else rows.dot(h)
    squares = (rows * rows).sum(1) * H - along * along
    return np.array([isqrt(n - 1) + 1 if n else 0 for n in squares.tolist()], dtype=object)


def logit_cost(meter: Meter, shape: Shape, EU: Rank = "full") -> None:
    """Operations that EU (or the norms that bound it), EV and PV take."""
    v, d, e, K = shape.v, shape.d, shape.e, shape.K
    meter.each("query embedding", v * d, times=3)  # the position's, and the mean, is taken off
    if EU == "full":
        meter.product("EU", v, d, v)
    else:
        meter.each("EU", v * d, times=2 + 4)  # norms of Eq - c, and of U less its mean
        meter.each("EU", v * v + 3 * v)
    meter.product("VOU", d, e, d)
    meter.product("VOU", d, d, v)
    meter.product("EV", v, d, v)
    meter.product("EV", 1, d, v)  # what moves there
    meter.each("EV", v * v + v)
    meter.product("PV", K, d, v)
    meter.each("PV", K * v, times=2)


def score_cost(meter: Meter, shape: Shape, QK: Rank = "full") -> None:
    """Operations that A (or its part along one direction), B and their exponentials take."""
    v, d, e, K = shape.v, shape.d, shape.e, shape.K
    meter.product("QK", d, e, d)
    meter.product("QK", v, d, d)
    if QK == "full":
        meter.product("A", v, d, v)
    else:
        meter.each("A", v * d, times=2)  # E less its mean
        meter.product("A", 2 * v, d, 1)
        meter.each("A", v * d, times=2 * 2)  # norms of both sides
        meter.each("A", 2 * v, times=5)
        meter.each("A", v * v, times=4)
        meter.each("scores", v * v, times=2)
    meter.product("B", v, d, K)
    meter.each("scores", v * (v + K), times=2)  # divided by sqrt(e), exponentiated


def _down(table: Exact, drop: int) -> Whole:
    """Divided by 2^drop and rounded down."""
    return (table >> drop if drop >= 0 else table << -drop).astype(np.int64)


def _exponentials(table: Exact, places: int, e: int) -> Whole:
    flat = [_exponential(int(n), places, e) for n in table.ravel()]
    return np.array([(x << MANTISSA_BITS) + M for M, x in flat], dtype=np.int64).reshape(table.shape)


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
