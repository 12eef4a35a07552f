"""Sequences one by one, as a tree of their first tokens: a branch ends where all of it is right."""

from __future__ import annotations

import numpy as np
from assay.proofs.faults import InputError
from numpy.typing import NDArray

from .costs import Meter
from .numerators import Grid

__all__ = ["LIMIT", "listed"]

Whole = NDArray[np.int64]
LIMIT = 1 << 28
"""So many sequences may there be, and so many sums at a time."""


def listed(grid: Grid, m: int, needs_m: bool, meter: Meter) -> int:
    """How many choices of tokens up to m, one of them m if that is needed, have negative sums for all
    outputs.

    Takes numerators of every output, free [j, p, t] and last [j].  Raises `InputError` where the tree grows
    too wide.
    """
    free, last = grid.free, grid.last
    rest = [_rest(free[:, p:], m) for p in range(free.shape[1])]
    open_ = (np.arange(len(last)) != m) & (rest[0][int(needs_m)] + last >= 0)
    free, rest = free[open_], [(some[open_], with_m[open_]) for some, with_m in rest]
    sums, holds = last[open_][None], np.array([not needs_m])
    found = 0
    for p in range(free.shape[1]):
        left = free.shape[1] - 1 - p
        if sums.size * (m + 1) > LIMIT:
            raise InputError(f"maximum {m}: more than {LIMIT} sums of tokens at a time, too many to list")
        sums = (sums[:, None] + free[:, p].T).reshape(len(sums) * (m + 1), len(free))  # [node, j]
        holds = (holds[:, None] | (np.arange(m + 1) == m)).reshape(-1)
        meter.each("listing", sums.size, times=2)
        if not left:
            return found + int((holds & (sums < 0).all(1)).sum())
        some, with_m = rest[p + 1]
        sure = (sums + np.where(holds[:, None], some, with_m) < 0).all(1)
        found += int((sure & holds).sum()) * (m + 1) ** left
        found += int((sure & ~holds).sum()) * ((m + 1) ** left - m**left)
        sums, holds = sums[~sure], holds[~sure]
    return found


def _rest(free: Whole, m: int) -> tuple[Whole, Whole]:
    """The largest sums of what is left, free [j, p, t]: of any tokens, and of tokens of which one is m."""
    most = free.max(2)
    return most.sum(1), most.sum(1) + (free[:, :, m] - most).max(1)
