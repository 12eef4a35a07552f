"""Tallies: integer sufficient statistics that add up.

A code length is a pure function of a tally, and tallies add. So batches, shards, machines, resumed
runs and orders of the data all give bit-identical totals.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .joint import Joint

Ints = NDArray[np.int64]
DENSE = 2**12  # so short a range is always counted


class Adds(Protocol):
    """Anything that adds up with its like."""

    def __add__(self, other: Self) -> Self: ...


AnyTally = TypeVar("AnyTally", bound=Adds)


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often each integer occurred.

    ``symbols`` ascend strictly and every one of ``counts`` is positive, so equal tallies are equal arrays.
    """

    symbols: Ints = field(default_factory=_none)
    counts: Ints = field(default_factory=_none)

    @classmethod
    def of(cls, integers: object) -> Histogram:
        """The tally of an array (numpy or torch, any device and shape) of integers."""
        if hasattr(integers, "unique"):  # a torch tensor: count where it lives, bring home the counts
            symbols, counts = integers.unique(return_counts=True)
            symbols, counts = symbols.cpu().numpy(), counts.cpu().numpy()
            return cls(symbols.astype(np.int64), counts.astype(np.int64))
        return cls.merged(np.asarray(integers).ravel())

    @classmethod
    def merged(cls, symbols: Ints, counts: Ints | None = None) -> Histogram:
        """The tally of symbols in any order, each as often as ``counts`` says (once without it).

        Counts where the range is short, and sorts where it is not.
        """
        if not symbols.size:
            return cls()
        low, high = int(symbols.min()), int(symbols.max())
        if high - low < max(DENSE, 4 * symbols.size):
            every = np.bincount(symbols - low, counts).astype(np.int64)
            seen = every.nonzero()[0]
            return cls(seen + low, every[seen])
        unique, where = np.unique(symbols, return_inverse=True)
        return cls(unique.astype(np.int64), np.bincount(where, counts).astype(np.int64))

    @property
    def total(self) -> int:
        """How many integers were counted."""
        return int(self.counts.sum())

    def __add__(self, other: Histogram) -> Histogram:
        symbols = np.concatenate([self.symbols, other.symbols])
        return Histogram.merged(symbols, np.concatenate([self.counts, other.counts]))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Histogram)
            and np.array_equal(self.symbols, other.symbols)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class Usage:
    """Which parts were active, over ``n`` rows.

    ``counts[c]`` is k_c, the number of rows on which part c was active; ``sizes`` tallies how many parts
    a row had. A row is a datum, or a position of a datum, as the one who tallies says. ``joint`` is what
    parts do together, where that was counted.
    """

    counts: Ints
    n: int
    sizes: Histogram
    joint: Joint | None = None

    @classmethod
    def zero(cls, parts: int) -> Usage:
        """Nothing seen yet, of so many parts."""
        return cls(np.zeros(parts, dtype=np.int64), 0, Histogram())

    @classmethod
    def of(cls, active: object) -> Usage:
        """The tally of a Boolean array [rows, parts], numpy or torch."""
        if hasattr(active, "cpu"):
            counts, sizes = active.sum(0).cpu().numpy(), active.sum(1)  # type: ignore[attr-defined]
        else:
            array = np.asarray(active, dtype=bool)
            counts, sizes = array.sum(0), array.sum(1)
        return cls(np.asarray(counts, dtype=np.int64), int(sizes.shape[0]), Histogram.of(sizes))

    @property
    def parts(self) -> int:
        """C, the number of parts there are to choose from."""
        return int(self.counts.size)

    @property
    def mean_size(self) -> float:
        """L0: active parts per row."""
        return float(self.counts.sum()) / self.n if self.n else 0.0

    def __add__(self, other: Usage) -> Usage:
        if self.parts != other.parts:
            raise ValueError(f"tallies of {self.parts} and of {other.parts} parts do not add")
        return Usage(
            self.counts + other.counts, self.n + other.n, self.sizes + other.sizes, self._joined(other)
        )

    def _joined(self, other: Usage) -> Joint | None:
        """The sum where both counted it; a tally of no rows knows all there is to know."""
        if not (self.n and other.n):
            return self.joint if self.n else other.joint
        return None if self.joint is None or other.joint is None else self.joint + other.joint

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Usage)
            and self.n == other.n
            and np.array_equal(self.counts, other.counts)
            and self.sizes == other.sizes
            and self.joint == other.joint
        )

    __hash__ = None  # type: ignore[assignment]


def merge(tallies: Iterable[AnyTally]) -> AnyTally:
    """The sum of tallies; at least one is needed."""
    parts = iter(tallies)
    total = next(parts)
    for part in parts:
        total = total + part
    return total
