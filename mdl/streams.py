"""Codes of a stream of integers: values, residuals, weights.

Seven families, each a prefix code over all integers of a stated range lo..hi (the last over all integers):

- ``adaptive``: KT estimator over lo..hi; what lies outside is an escape and a universal code;
- ``laplace`` / ``gaussian``: a discretised distribution with a spike at zero, two numbers of 8 bits;
- ``exponential``: the same on one side, for integers that are never negative: geometric from max(lo, 1);
- ``table``: the counts are sent first (Elias delta), then symbols at their exact frequencies;
- ``raw``: log2(hi − lo + 1) bits each;
- ``gamma`` / ``delta``: Elias' universal codes, which need no header at all.

All but the first are *frozen*: after the header every symbol has its own fixed price, so their cost is
linear in the amount of data. :func:`shortest` takes the shortest for a tally, and pays the choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .lengths import Floats, elias_delta, elias_gamma, kt, signed_delta, zigzag
from .tally import Histogram, Ints

CHOICE_BITS = 3.0  # names one of the at most eight families
PARAMETER_BITS = 8.0
WIDEST = 2**20  # a wider range is left to the raw and the escape code
LEAK = 2.0**-24  # least probability of a symbol inside lo..hi, what a 24-bit range coder can hold
STEEPEST, FLATTEST = -40, 215  # scales that 8 bits can tell; a steeper Gaussian has no float64 tail at 1/2


class StreamCode(Protocol):
    """A code of integers: its header, and the length of anything with a given tally."""

    @property
    def name(self) -> str:
        """The family."""

    @property
    def header(self) -> float:
        """Bits that tell the receiver which code this is."""

    def bits(self, tally: Histogram) -> float:
        """Bits of any sequence with this tally; inf where the code cannot say it."""


@dataclass(frozen=True)
class Range:
    """The integers lo..hi; ``known`` when the receiver has been told them elsewhere."""

    lo: int
    hi: int
    known: bool = False

    @property
    def size(self) -> int:
        """How many integers there are."""
        return self.hi - self.lo + 1

    @property
    def header(self) -> float:
        """Bits to name the family, and the range where it is not known."""
        return CHOICE_BITS + (0.0 if self.known else float(signed_delta(self.lo) + elias_delta(self.size)))

    def holds(self, symbols: Ints) -> NDArray[np.bool_]:
        """Which symbols lie inside."""
        return np.asarray((symbols >= self.lo) & (symbols <= self.hi))


@dataclass(frozen=True)
class Adaptive:
    """KT over a range with one escape symbol; outside, the escape and a signed Elias delta code."""

    range: Range
    name = "adaptive"

    @property
    def header(self) -> float:
        """The family and the range."""
        return self.range.header

    def bits(self, tally: Histogram) -> float:
        """KT of the counts, the strays as one symbol, and the strays themselves."""
        lo, hi, inside = self.range.lo, self.range.hi, self.range.holds(tally.symbols)
        strays, weights = tally.symbols[~inside], tally.counts[~inside]
        counts = np.append(tally.counts[inside], weights.sum())
        beyond = np.where(strays > hi, strays - hi - 1, strays - lo)
        return kt(counts, alphabet=self.range.size + 1) + float((signed_delta(beyond) * weights).sum())


class Frozen:
    """A code with one fixed price per symbol: :meth:`prices`."""

    name: str

    @property
    def header(self) -> float:
        """Bits that tell the receiver which code this is."""
        raise TypeError(f"{type(self).__name__} has no header")

    def prices(self, symbols: Ints) -> Floats:
        """−log2 of each symbol's probability; inf where it has none."""
        raise TypeError(f"{type(self).__name__} has no prices")

    def bits(self, tally: Histogram) -> float:
        """Linear in the tally."""
        return float((self.prices(tally.symbols) * tally.counts).sum()) if tally.symbols.size else 0.0


@dataclass(frozen=True)
class Raw(Frozen):
    """Every integer of a range at the same price."""

    range: Range
    name = "raw"

    @property
    def header(self) -> float:
        """The family and the range."""
        return self.range.header

    def prices(self, symbols: Ints) -> Floats:
        """log2 of the size of the range."""
        return np.where(self.range.holds(symbols), np.log2(self.range.size), np.inf)


@dataclass(frozen=True)
class Universal(Frozen):
    """Elias' gamma or delta code of zigzag(x) + 1: knows nothing, not even a range."""

    name: str

    @property
    def header(self) -> float:
        """The family alone."""
        return CHOICE_BITS

    def prices(self, symbols: Ints) -> Floats:
        """The length of the codeword."""
        length = elias_gamma if self.name == "gamma" else elias_delta
        return np.asarray(length(zigzag(symbols) + 1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Table(Frozen):
    """The counts of every integer of a range, then the symbols at their empirical frequencies."""

    range: Range
    tally: Histogram
    name = "table"

    @property
    def header(self) -> float:
        """The family, the range, and one count for each of its integers."""
        zeros = self.range.size - self.tally.symbols.size  # the delta code of 0 + 1 is one bit
        return self.range.header + float(elias_delta(self.tally.counts + 1).sum()) + zeros

    def prices(self, symbols: Ints) -> Floats:
        """−log2 of the frequency; inf for what the tally has not seen."""
        where = np.searchsorted(self.tally.symbols, symbols)
        where = np.minimum(where, self.tally.symbols.size - 1)
        known = self.tally.symbols[where] == symbols
        frequency = np.where(known, self.tally.counts[where], 1) / self.tally.total
        return np.where(known, -np.log2(frequency), np.inf)


@dataclass(frozen=True)
class Discretised(Frozen):
    """A spike at zero and a discretised Laplace or Gaussian around it, or an exponential above it, on lo..hi.

    The scale is 2^(scale/8), the probability of zero (spike + 1/2)/256: 8 bits each. Where lo >= 0 an
    exponential and a Gaussian put all their mass on that side; where lo > 0 there is no spike, and an
    exponential starts at lo. Probabilities are mixed with a uniform leak of 2⁻²⁴ per symbol, as a range
    coder of 24 bits does.
    """

    name: str
    scale: int
    spike: int
    range: Range

    @property
    def header(self) -> float:
        """The family, the range, and two parameters."""
        return self.range.header + 2 * PARAMETER_BITS

    def prices(self, symbols: Ints) -> Floats:
        """−log2 of the leaky probability."""
        one_sided = self.range.lo >= 0 and self.name in ("exponential", "gaussian")
        zero = 0.0 if one_sided and self.range.lo > 0 else (self.spike + 0.5) / 256
        first = max(self.range.lo, 1) if self.name == "exponential" else 1
        size = np.maximum(np.abs(symbols).astype(np.float64) - (first - 1), 0.0)
        tail = _tail(self.name, 2.0 ** (self.scale / 8))
        nonzero = (tail(size - 0.5) - tail(size + 0.5)) / ((1 if one_sided else 2) * tail(np.float64(0.5)))
        ideal = np.where(symbols == 0, zero, (1 - zero) * nonzero)
        leak = LEAK * self.range.size
        return np.where(self.range.holds(symbols), -np.log2((1 - leak) * ideal + LEAK), np.inf)


class _Tail(Protocol):
    def __call__(self, x: Floats | np.float64) -> Floats: ...


def _tail(family: str, scale: float) -> _Tail:
    """P(|X| > x) / 2 of the continuous distribution, x >= 0."""
    if family in ("laplace", "exponential"):
        return lambda x: np.asarray(0.5 * np.exp(-np.asarray(x) / scale))
    from scipy.special import ndtr

    return lambda x: np.asarray(ndtr(-np.asarray(x) / scale))


def candidates(tally: Histogram, within: Range | None = None) -> Iterator[StreamCode]:
    """The codes worth trying on a tally, fitted to it; ``within`` is a range that the receiver knows."""
    if within is None and not tally.symbols.size:
        yield Raw(Range(0, 0))
        return
    full = within or Range(int(tally.symbols[0]), int(tally.symbols[-1]))
    for trimmed in dict.fromkeys([full, *_trimmed_ranges(tally)]):
        if trimmed.size <= WIDEST:
            yield Adaptive(trimmed)
    yield Raw(full)
    yield Universal("gamma")
    yield Universal("delta")
    if full.size <= WIDEST and tally.symbols.size:
        yield Table(full, tally)
        yield from _fitted(tally, full)


def _trimmed_ranges(tally: Histogram) -> Iterator[Range]:
    """Ranges that leave ever more of the tails to the escape code."""
    cumulative = np.cumsum(tally.counts)
    for tail in (0.0, 1e-4, 1e-3, 1e-2, 5e-2, 0.5) if tally.symbols.size else ():
        strays = int(tail * tally.total)
        first = int(np.searchsorted(cumulative, strays, side="right"))
        last = int(np.searchsorted(cumulative, tally.total - strays, side="left"))
        first = min(first, last)
        yield Range(int(tally.symbols[first]), int(tally.symbols[last]))


def _fitted(tally: Histogram, full: Range) -> Iterator[Discretised]:
    """For each family the best of a few scales around the moment estimate."""
    size = np.abs(tally.symbols).astype(np.float64)
    nonzero = tally.counts * (size > 0)
    zeros, weight = tally.total - int(nonzero.sum()), max(int(nonzero.sum()), 1)
    spike = int(np.clip(np.floor(256 * (zeros + 0.5) / (tally.total + 1)), 0, 255))
    mean = float((size * nonzero).sum()) / weight
    square = float((size**2 * nonzero).sum()) / weight
    sharp = ("exponential", mean - max(full.lo, 1) + 1) if full.lo >= 0 else ("laplace", mean)
    for name, moment in (sharp, ("gaussian", square**0.5)):
        start = int(np.clip(round(8 * np.log2(max(moment, 2**-3))), STEEPEST, FLATTEST))
        yield _descend(Discretised(name, start, spike, full), tally)


def _descend(code: Discretised, tally: Histogram) -> Discretised:
    """Move the scale while that shortens the code; the moment estimate starts close to the optimum."""
    best, bits = code, code.bits(tally)
    for way in (1, -1):
        while STEEPEST < best.scale < FLATTEST:
            tried = replace(best, scale=best.scale + way)
            if (cost := tried.bits(tally)) >= bits:
                break
            best, bits = tried, cost
    return best


def shortest(tally: Histogram, within: Range | None = None, frozen: bool = False) -> StreamCode:
    """The code that is shortest for this tally, header and choice included.

    ``frozen`` leaves out the adaptive code, so that the cost is linear in the data.
    """
    tried = [code for code in candidates(tally, within) if not frozen or isinstance(code, Frozen)]
    return min(tried, key=lambda code: (code.header + code.bits(tally), code.name))
