"""Proof length: how many operations it takes to verify a bound.

The cost model is that of Gross et al. 2024 (arXiv 2406.11779): a product of matrices [a, k] and [k, b] takes
a · b · (2k - 1) operations, whatever acts on each entry takes one per entry, and a reduction of n numbers
takes n - 1. Additions, comparisons, products, shifts and exponentials of numbers count as one each. Searching
for a proof is free, verifying it is not: only operations on entries that the bound rests on are counted.
"""

from __future__ import annotations

from collections import Counter

__all__ = ["Meter"]


class Meter:
    """Counts operations by what they are for.

    >>> meter = Meter()
    >>> meter.product("logits", 64, 32, 64)
    >>> meter.total
    258048
    """

    def __init__(self) -> None:
        self.parts: Counter[str] = Counter()

    def product(self, part: str, a: int, k: int, b: int) -> None:
        """A product of matrices [a, k] and [k, b]."""
        self.parts[part] += a * b * (2 * k - 1)

    def each(self, part: str, entries: int, times: int = 1) -> None:
        """Operations on each of some entries, so many times."""
        self.parts[part] += entries * times

    def reduce(self, part: str, rows: int, length: int) -> None:
        """A sum or a maximum over each of some rows."""
        self.parts[part] += rows * max(0, length - 1)

    @property
    def total(self) -> int:
        """All operations."""
        return sum(self.parts.values())
