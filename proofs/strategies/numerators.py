"""Numerator forms: whether the model is right, as a sum over positions.

Multiplied by the softmax denominator Z > 0, logit_j - logit_m is, exactly,

    Z (logit_j - logit_m) = sum_p phi_j(p, x_p),
    phi_j(p, t) = exp(s(q, p, t)) [(EU_qj + EV_tj + PV_pj) - (EU_qm + EV_tm + PV_pm)].

The model is right on x if every sum over p is negative. It suffices (rule `sum of maxima`) that sum_p psi(p,
x_p) is, for some psi(p, t) >= phi_j(p, t) for all j except m. In brackets stands what psi takes for the
square bracket:

- "joint"   max_j of the bracket itself (S2),
- "paired"  max_j of the EU and EV part + max_j of the PV part,
- "split"   max_j of the EU part + max_j of the EV part + max_j of the PV part (S1); tables are centred
(`.paths`).

With positions "apart" every position has its own psi. "Together" they share one: the largest bracket of all
free positions, times the exponential at the position where it is largest or, under a negative bracket,
smallest. In the same way tokens may share one psi, not "single" ones: in "blocks" of eight, but for those
near m, which matter most; or, in "prefixes", each t below m takes what is worst of all tokens up to t.

Whole numbers: psi is rounded up to a grid whose step, a power of two for each (q, m), is such that m's own
numerator has `grid` bits. Values are clipped from below at -2^grid (which only raises them) and from above at
(K - 1) 2^grid (beyond which no sum is negative).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .costs import Meter
from .max_of_k import Shape
from .paths import MANTISSA_BITS, Paths, Rank, excess
from .rounding import SPREAD_BITS

__all__ = ["Bracket", "Grid", "Positions", "Tokens", "grid_of", "items", "numerator_cost", "outputs_of"]

Whole = NDArray[np.int64]
Bracket = Literal["joint", "paired", "split"]
Positions = Literal["apart", "together"]
Tokens = Literal["single", "blocks", "prefixes"]
BLOCK, NEAR, FAR = 8, 4, 1 << 48
"""Tokens of a block, how many at least stand for themselves next to m, and a value that nothing makes up
for."""


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
class _Exponentials:
    """Those of tokens [t], from below and from above, and of positions [p], likewise: codes of `.paths`."""

    least: Whole
    most: Whole
    lowest: Whole
    highest: Whole

    def shared(self, tokens: Tokens) -> _Exponentials:
        """What is safe for all tokens that share one psi."""
        least, most = _worst(self.least, tokens, np.minimum), _worst(self.most, tokens, np.maximum)
        return _Exponentials(least, most, self.lowest, self.highest)


def grid_of(paths: Paths, q: int, bracket: Bracket, positions: Positions, tokens: Tokens, bits: int) -> Grid:
    """psi of query q on the grid: see the module; of whatever is computed within the slack of the paths."""
    K, m = paths.shape.K, np.arange(paths.shape.v)
    free, last = _exponentials(paths, q, positions)
    tops = _brackets(paths, q, bracket) + paths.slack.margin
    ends, x_ends = _times(tops[K - 1 :, q : q + 1], last, paths)
    tops = tops[: K - 1].max(0, keepdims=True) if positions == "together" else tops[: K - 1]
    product, x = _in_groups(tops, free, tokens, _alone(m, tokens), paths)
    unit = (_length(product[:, m, m]) + x[:, m, m]).max(0) - bits  # [m], from [p, m]
    low, high = -(1 << bits), (K - 1) << bits
    rounded = _round_up(product, unit - x, low, high).transpose(2, 0, 1)
    return Grid(rounded, _round_up(ends[0, 0], unit - x_ends[0, 0], low, high))


def outputs_of(paths: Paths, q: int, m: int, positions: Positions, bits: int, clipped: bool = True) -> Grid:
    """phi_j of one query and maximum (S4): as `grid_of` with single tokens, but [j, p, t] and [j].

    Unless `clipped`, values are clipped so far off that nothing is lost.
    """
    K = paths.shape.K
    free, last = _exponentials(paths, q, positions)
    columns = [table - table[..., m : m + 1] for table in (paths.EU[q], paths.EV[: m + 1], paths.PV[:, None])]
    EU, EV, PV = (column + np.where(np.arange(paths.shape.v) == m, 0, 1) for column in columns)
    ends, x_ends = _times((EU + EV[q] + PV[K - 1 :] + paths.slack.margin), last, paths)
    PV = PV[: K - 1] if positions == "apart" else PV[: K - 1].max(0, keepdims=True)
    upto = _Exponentials(free.least[: m + 1], free.most[: m + 1], free.lowest, free.highest)
    product, x = _times(EU + EV + PV + paths.slack.margin, upto, paths)
    unit = (_length(product[:, m]) + x[:, m]).max(0) - bits  # [j]
    low, high = (-(1 << bits), (K - 1) << bits) if clipped else (-FAR, K * FAR)
    rounded = _round_up(product, unit - x, low, high).transpose(2, 0, 1)
    return Grid(rounded, _round_up(ends[0, 0], unit - x_ends[0, 0], low, high))


def _alone(m: Any, tokens: Tokens) -> Any:
    """The first token that stands for itself alone."""
    if tokens == "single":
        return 0 * m
    return m if tokens == "prefixes" else np.maximum(m - NEAR, 0) // BLOCK * BLOCK


def items(m: int, tokens: Tokens) -> int:
    """How many different psi there are for one position, m's own among them."""
    first = int(_alone(m, tokens))
    return m + 1 - first + (first if tokens == "prefixes" else first // BLOCK)


def _worst(table: Whole, tokens: Tokens, worst: np.ufunc, axis: int = 0) -> Whole:
    """What is worst of all tokens in a block, or up to each token."""
    if tokens == "prefixes":
        found: Whole = worst.accumulate(table, axis=axis)
        return found
    size = table.shape[axis]
    blocks = worst.reduceat(table, np.arange(0, size, BLOCK), axis=axis)
    spread: Whole = np.repeat(blocks, BLOCK, axis=axis).take(np.arange(size), axis=axis)
    return spread


def _brackets(paths: Paths, q: int, bracket: Bracket) -> Whole:
    """Upper bounds on the square bracket for every j but m: [p, t, m]."""
    if bracket == "split":
        tops: Whole = paths.direct[q] + paths.moved + paths.placed[:, None]
        return tops
    pair = paths.EU[q] + paths.EV
    # Two numbers, each rounded down, are one step more uncertain than one; three are two.
    return (
        excess(pair) + 1 + paths.placed[:, None]
        if bracket == "paired"
        else excess(pair + paths.PV[:, None]) + 2
    )


def _exponentials(paths: Paths, q: int, positions: Positions) -> tuple[_Exponentials, _Exponentials]:
    """Of the scores at the free positions (or one for all), and of q's own at the last."""
    at, last = paths.places_at[q, :-1], paths.places_at[q, -1:]
    lowest, highest = (at, at) if positions == "apart" else (at.min(keepdims=True), at.max(keepdims=True))
    least, most = paths.least[q], paths.most[q]
    return _Exponentials(least, most, lowest, highest), _Exponentials(least[[q]], most[[q]], last, last)


def _in_groups(
    tops: Whole, exponentials: _Exponentials, tokens: Tokens, alone: Any, paths: Paths
) -> tuple[Whole, Whole]:
    """Numerators [p, t, m] as whole numbers and exponents, those below `alone` [m] shared."""
    single = _times(tops, exponentials, paths)
    if tokens == "single":
        return single
    shared = _times(_worst(tops, tokens, np.maximum, axis=1), exponentials.shared(tokens), paths)
    where = np.arange(tops.shape[1])[:, None] < alone
    return np.where(where, shared[0], single[0]), np.where(where, shared[1], single[1])


def _times(tops: Whole, by: _Exponentials, paths: Paths) -> tuple[Whole, Whole]:
    """An upper bound on exp(score) times the bracket [p, t, m], as a whole number and its exponent."""
    drop, ones, spread = MANTISSA_BITS - 1, (1 << MANTISSA_BITS) - 1, paths.slack.spread
    low = ((by.least & ones) * (by.lowest & ones)[:, None]) >> drop
    high = ((((by.most & ones) + 1) * ((by.highest & ones)[:, None] + 1)) >> drop) + 1
    if spread:
        low = low - ((low * spread) >> SPREAD_BITS) - 1
        high = high + ((high * spread) >> SPREAD_BITS) + 1
    x_low, x_high = (
        (token >> MANTISSA_BITS) + (place >> MANTISSA_BITS)[:, None] + drop
        for token, place in ((by.least, by.lowest), (by.most, by.highest))
    )
    positive = tops > 0
    n, x = (np.where(positive, b[..., None], a[..., None]) for a, b in ((low, high), (x_low, x_high)))
    return tops * n, x


def _length(n: Whole) -> Whole:
    """Bit lengths of |n|."""
    size = np.abs(n)
    high = size >> 32
    lengths = np.frexp(np.where(high > 0, high, size).astype(np.float64))[1] + np.where(high > 0, 32, 0)
    return lengths.astype(np.int64)


def _round_up(n: Whole, right: Whole, low: int, high: int) -> Whole:
    """n / 2^right rounded up, and clipped to what matters."""
    shrunk = -(-n >> np.clip(right, 0, 63))
    # What is to grow beyond the clip may be clipped before; a shift of 56 takes any number but 0 there.
    left = np.clip(-right, 0, 56)
    grown = np.clip(n, low >> left, (high >> left) + 1) << left
    return np.clip(np.where(right >= 0, shrunk, grown), low, high)


def _largest_two(meter: Meter, rows: int, n: int) -> None:
    """The largest of n and the runner-up, by a knock-out: the largest but one lost to the largest."""
    meter.each("brackets", rows, times=n - 1 + (n - 1).bit_length() - 1)


def numerator_cost(
    meter: Meter, shape: Shape, bracket: Bracket, positions: Positions, tokens: Tokens, EU: Rank
) -> None:
    """Operations that brackets, products and roundings take; only q <= m and t <= m are needed."""
    v, K = shape.v, shape.K
    kept, pairs = K - 1 if positions == "apart" else 1, v * (v + 1) // 2
    # Of prefixes only the gap is looked at that was found, for each number of copies, and m itself.
    psi = pairs * K if tokens == "prefixes" else sum((m + 1) * items(m, tokens) for m in range(v))
    grouped = sum((m + 1) * int(_alone(m, tokens)) for m in range(v))
    if bracket == "split":
        _largest_two(meter, v, v)
        meter.each("brackets", v * v)
        meter.reduce("brackets", tokens != "single", v * v)  # what is worst of a block, or up to each token
        if EU == "full":
            _largest_two(meter, v, v)
            meter.each("brackets", v * v)
    else:
        rows = 1 if bracket == "paired" else K
        meter.each("brackets", v**3, times=1 if bracket == "paired" else K)  # EU + EV, and + PV
        _largest_two(meter, v * v * (rows - (rows > 1)), v)
        meter.each("brackets", sum((m + 1) ** 2 for m in range(v)) + grouped, times=rows - (rows > 1))
    if bracket != "joint":
        _largest_two(meter, K, v)
        meter.each("brackets", K * v)
        meter.each("brackets", 2 * pairs * kept + psi * kept)  # added up
    meter.reduce("brackets", psi if bracket == "joint" else v, (K - 1) // kept)
    meter.each("brackets", v * v, times=2)  # EV + PV of the last position, where t is q
    _largest_two(meter, v, v)
    meter.reduce("factors", 2 * (tokens != "single"), v * v)  # exponentials of a block, or up to each token
    meter.each("factors", 2 * (v * v * kept + v * K))
    meter.each("numerators", psi * kept, times=2)  # multiplied by the factor, rounded
    meter.each("numerators", pairs * (kept + 1), times=4)  # units, and the last position's
