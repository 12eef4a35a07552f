"""Numerator forms: whether the model is right, as a sum over positions.

Multiplied by the softmax denominator Z > 0, logit_j - logit_m is, exactly,

    Z (logit_j - logit_m) = sum_p phi_j(p, x_p),
    phi_j(p, t) = exp(s(q, p, t)) [(EU_qj + EV_tj + PV_pj) - (EU_qm + EV_tm + PV_pm)].

The model is right on x if every sum over p is negative. It suffices (rule `sum of maxima`) that sum_p psi(p,
x_p) is, for some psi(p, t) >= phi_j(p, t) for all j except m. In brackets stands what psi takes for the
square bracket:

- "joint"   max_j of the bracket itself (S2),
- "split"   max_j of the EU part + max_j of the EV and PV part (S1).

With positions "apart" every position has its own psi. "Together" they share one: the largest bracket of all
free positions, times the exponential at the position where it is largest or, under a negative bracket,
smallest.

Whole numbers: psi is rounded up to a grid whose step, a power of two for each (q, m), is such that m's own
numerator has `grid` bits. Values are clipped from below at -2^grid (which only raises them) and from above at
(K - 1) 2^grid (beyond which no sum is negative).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .costs import Meter
from .max_of_k import Shape
from .paths import MANTISSA_BITS, Exponentials, Paths
from .rounding import EXACT, SPREAD_BITS, Slack

__all__ = ["Bracket", "Grid", "Positions", "grid_of", "largest_other", "numerator_cost", "outputs_of"]

Whole = NDArray[np.int64]
Bracket = Literal["joint", "split"]
Positions = Literal["apart", "together"]


@dataclass(frozen=True)
class Grid:
    """psi of one query token, rounded up, in units that depend on m alone.

    Attributes:
        free: [m, p, t] for every position but the last (or [m, 1, t] where they share it), valid for t <= m.
        last: [m], of the query token at the last position.
    """

    free: Whole
    last: Whole


@dataclass(frozen=True)
class Factors:
    """exp(score) lies between lo 2^x_lo and hi 2^x_hi."""

    lo: Whole
    hi: Whole
    x_lo: Whole
    x_hi: Whole


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


def grid_of(
    paths: Paths, q: int, bracket: Bracket, positions: Positions, bits: int, slack: Slack = EXACT
) -> Grid:
    """psi of query q on the grid: see the module; with `slack`, of whatever is computed within it."""
    K = paths.shape.K
    free_factors, last_factors = _factors(paths, q, positions, slack)
    free = _brackets(paths, q, np.arange(paths.shape.v), slice(0, K - 1), bracket)
    if positions == "together":
        free = free.max(0, keepdims=True)
    last = _brackets(paths, q, np.array([q]), slice(K - 1, K), bracket)
    product, x = _times(free + slack.margin, free_factors)
    ends, x_ends = _times(last + slack.margin, last_factors)
    m = np.arange(paths.shape.v)
    own = _length(product[:, m, m]) + x[:, m, m]  # [p, m]
    unit = own.max(0) - bits
    rounded = _round_up(product, unit - x, bits, K).transpose(2, 0, 1)
    return Grid(rounded, _round_up(ends[0, 0], unit - x_ends[0, 0], bits, K))


def outputs_of(paths: Paths, q: int, m: int, bits: int, slack: Slack = EXACT) -> Grid:
    """phi_j of one query and maximum (S4): as `grid_of` with positions apart, but [j, p, t] and [j]."""
    K = paths.shape.K
    free_factors, last_factors = _factors(paths, q, "apart", slack)
    columns = [table - table[..., m : m + 1] for table in (paths.EU[q], paths.EV, paths.PV)]
    EU, EV, PV = (column + np.where(np.arange(paths.shape.v) == m, 0, 1) for column in columns)
    free = EU + EV[None, : m + 1] + PV[: K - 1, None] + slack.margin
    end = (EU + EV[q] + PV[K - 1] + slack.margin)[None, None]
    trimmed = Factors(*(part[:, : m + 1] for part in vars(free_factors).values()))
    product, x = _times(free, trimmed)
    ends, x_ends = _times(end, last_factors)
    unit = (_length(product[:, m]) + x[:, m]).max(0) - bits  # [j]
    rounded = _round_up(product, unit - x, bits, K).transpose(2, 0, 1)
    return Grid(rounded, _round_up(ends[0, 0], unit - x_ends[0, 0], bits, K))


def _brackets(paths: Paths, q: int, tokens: Whole, places: slice, bracket: Bracket) -> Whole:
    """Upper bounds on the square bracket for every j but m: [p, t, m]."""
    EU, EV, PV = paths.EU[q], paths.EV[tokens][None], paths.PV[places][:, None]
    # Three numbers, each rounded down, are at most two steps more uncertain than one.
    return excess(EU + EV + PV) + 2 if bracket == "joint" else excess(EU) + excess(EV + PV) + 1


def _factors(paths: Paths, q: int, positions: Positions, slack: Slack) -> tuple[Factors, Factors]:
    """Exponentials of the scores at free positions [p, t, 1] (or one for all), and at the last [1, 1, 1]."""
    A, B, K = paths.eA, paths.eB, paths.shape.K
    places = np.arange(K - 1)
    order = np.argsort(paths.B[q, : K - 1], kind="stable")
    least, most = (places, places) if positions == "apart" else (order[:1], order[-1:])
    free = _multiplied(A.at(q, slice(None)), B.at(q, least), B.at(q, most), slack)
    end = B.at(q, np.array([K - 1]))
    return free, _multiplied(A.at(q, np.array([q])), end, end, slack)


def _multiplied(tokens: Exponentials, least: Exponentials, most: Exponentials, slack: Slack) -> Factors:
    """Of tokens [t] and positions [p], between least and most: [p, t, 1]."""
    drop = MANTISSA_BITS - 1
    lo = (tokens.M * least.M[:, None]) >> drop
    hi = (((tokens.M + 1) * (most.M[:, None] + 1)) >> drop) + 1
    if slack.spread:
        lo = lo - ((lo * slack.spread) >> SPREAD_BITS) - 1
        hi = hi + ((hi * slack.spread) >> SPREAD_BITS) + 1
    x_lo, x_hi = (tokens.x + places.x[:, None] + drop for places in (least, most))
    return Factors(*(part[..., None] for part in (lo, hi, x_lo, x_hi)))


def _times(bracket: Whole, factors: Factors) -> tuple[Whole, Whole]:
    """An upper bound on exp(score) times the bracket, as a whole number and the exponent of its unit."""
    positive = bracket > 0
    x = np.broadcast_to(np.where(positive, factors.x_hi, factors.x_lo), bracket.shape)
    return bracket * np.where(positive, factors.hi, factors.lo), x


def _length(n: Whole) -> Whole:
    """Bit lengths of |n|."""
    size = np.abs(n)
    high = size >> 32
    lengths = np.frexp(np.where(high > 0, high, size).astype(np.float64))[1] + np.where(high > 0, 32, 0)
    return lengths.astype(np.int64)


def _round_up(n: Whole, right: Whole, bits: int, K: int) -> Whole:
    """n / 2^right rounded up, and clipped to what matters."""
    shrunk = -(-n >> np.clip(right, 0, 63))
    # What is to grow beyond the clip may be clipped before; a shift of 30 takes any number there.
    grown = np.clip(n, -(1 << 30), 1 << 30) << np.clip(-right, 0, 30)
    return np.clip(np.where(right >= 0, shrunk, grown), -(1 << bits), (K - 1) << bits)


def numerator_cost(meter: Meter, shape: Shape, bracket: Bracket, positions: Positions) -> None:
    """Operations that brackets, products and roundings take; only q <= m and t <= m are needed."""
    v, K = shape.v, shape.K
    triples, places = sum((m + 1) ** 2 for m in range(v)), K - 1
    kept = places if positions == "apart" else 1
    if bracket == "joint":
        meter.each("brackets", v**3 * (1 + places))  # EU + EV + PV
        meter.reduce("brackets", 2 * v * v * places, v)  # the largest, and the largest but that
        meter.each("brackets", triples * places, times=2)
        meter.reduce("brackets", triples, places // kept)
    else:
        meter.each("brackets", v * v * places)  # EV + PV
        meter.reduce("brackets", 2 * (v + v * places), v)
        meter.each("brackets", v * v * (1 + places), times=2)
        meter.reduce("brackets", v * v, places // kept)
        meter.each("brackets", triples * kept)
    meter.each("brackets", 2 * v * v, times=2)  # EV + PV of the last position, where t is q
    meter.reduce("brackets", 2 * v, v)
    meter.each("factors", v * v * (places if positions == "apart" else 2) + 2 * v * K)
    meter.each("numerators", triples * kept, times=2)  # multiplied by the factor, rounded
    meter.each("numerators", v * (v + 1) // 2 * (kept + 1), times=4)  # units, and the last position's
