"""Counting sequences whose tokens add up to less than a limit, exactly.

Each position holds a table {value: how many tokens have it}. The sums of the first half of the positions and
those of the second half are counted apart, each as a product of polynomials, up to what the smallest sum of
the other half leaves room for; then each sum of the second half is matched with all those of the first that
stay below the limit. Numbers are held in 64 bits where they fit, as Python's whole numbers where they do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .costs import Meter

__all__ = ["below", "tables"]

FIT = 1 << 62
Table = Counter[int]


def tables(rows: Sequence[Sequence[int]]) -> list[Table]:
    """Count how many tokens of each position have each value."""
    return [Counter(row) for row in rows]


def below(positions: Sequence[Table], limit: int, meter: Meter) -> int:
    """How many choices of one token for each position have a sum of values below the limit.

    >>> below(tables([[0, 1, 2], [0, 1, 2]]), 2, Meter())
    3
    """
    if not all(positions):
        return 0
    half = (len(positions) + 1) // 2
    least = sum(map(min, positions[:half])), sum(map(min, positions[half:]))
    room = limit - sum(least)  # above the smallest sum of all
    if room <= 0:
        return 0
    first, second = (_sums(part, room, meter) for part in (positions[:half], positions[half:]))
    upto = np.cumsum(first)
    meter.reduce("counting", 1, len(first) + 1)
    at = np.flatnonzero(second)
    meter.each("counting", len(at), times=2)
    matched, many = upto[np.minimum(room - 1 - at, len(upto) - 1)], second[at]
    return int(matched.astype(_dtype(positions)).dot(many))


def _dtype(positions: Sequence[Table]) -> type[Any]:
    return np.int64 if prod(table.total() for table in positions) < FIT else object


def _sums(positions: Sequence[Table], room: int, meter: Meter) -> NDArray[Any]:
    """How many choices there are for each sum: of those less than `room` above the smallest, [sum]."""
    dtype = _dtype(positions)
    sums = np.ones(1, dtype=dtype)
    for table in positions:
        low = min(table)
        meter.each("counting", len(sums) * len(table), times=2)
        new = np.zeros(min(len(sums) + max(table) - low, room), dtype=dtype)
        for value, many in table.items():
            held = sums[: max(len(new) - (value - low), 0)]
            new[value - low : value - low + len(held)] += held * many
        sums = new
    return sums
