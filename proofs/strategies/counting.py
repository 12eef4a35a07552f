"""Counting sequences whose tokens add up to less than a limit, exactly.

Each position holds a table {value: how many tokens have it}. The counts of all sums are the coefficients of a
product of polynomials, held in the lanes of one long integer (Kronecker substitution): to multiply by a
monomial is to shift. Sums that end below the limit whatever follows are counted at once, and those that
cannot end below it are dropped, so only the window between stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import prod

from .costs import Meter

__all__ = ["below", "tables"]


def tables(rows: Sequence[Sequence[int]]) -> list[Counter[int]]:
    """Count how many tokens of each position have each value."""
    return [Counter(row) for row in rows]


def below(positions: Sequence[Counter[int]], limit: int, meter: Meter) -> int:
    """How many choices of one token for each position have a sum of values below the limit.

    >>> below(tables([[0, 1, 2], [0, 1, 2]]), 2, Meter())
    3
    """
    sizes = [table.total() for table in positions]
    if not all(sizes):
        return 0
    lane = prod(sizes).bit_length() + 1
    lows, highs = (list(accumulate(reversed([f(t) for t in positions]))) for f in (min, max))
    found, sums, base, width = 0, 1, 0, 1  # lane i of sums: how many ways there are to base + i
    for at, table in enumerate(positions):
        low, left = min(table), len(positions) - at - 1
        meter.each("counting", width * len(table), times=2)
        sums = sum((sums * many) << lane * (value - low) for value, many in table.items())
        base, width = base + low, width + max(table) - low
        most, least = (ends[left - 1] if left else 0 for ends in (highs, lows))
        sure = min(max(limit - most - base, 0), width)  # lanes whose sums stay below whatever follows
        found += _total(sums & ((1 << lane * sure) - 1), lane) * prod(sizes[at + 1 :])
        kept = min(max(limit - least - base, sure), width)
        meter.reduce("counting", 1, sure + 1)
        sums, base, width = (sums & ((1 << lane * kept) - 1)) >> lane * sure, base + sure, kept - sure
        if not width:
            break
    return found


def _total(lanes: int, lane: int) -> int:
    """The sum of all lanes: 2^lane is 1 modulo 2^lane - 1, and the sum is smaller than that."""
    return lanes % ((1 << lane) - 1)
