"""Sparse flags and sparse subsets on the wire: a few symbols for each one, none for each zero.

Flags that are 1 with the same probability p are told as a tree: whether a stretch of s of them holds a one,
which has the probability 1 − (1 − p)^s; if so, whether its first half does, and so on. That is as long as
flag by flag: the product of the answers' probabilities is that of the flags.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .active import Active
from .lengths import Floats, log2_binomial
from .structure import Bools
from .tally import Ints
from .wire import LEAST, BitstreamError, Wire, subsets

FEW = 2**10  # so many flags are told one by one
MOST_ONES = 2**28
CELLS = 2**22  # of a matrix of rows that are told column by column


def sparse_flags(wire: Wire, given: Ints | None, lengths: Ints, p: Floats) -> Ints:
    """Where the ones lie, ascending, in sequences laid end to end: ``lengths`` [n] flags at p [n] each."""
    starts, total = np.cumsum(lengths) - lengths, int(lengths.sum())
    chance = np.clip(p, LEAST, 1 - LEAST)
    if total <= FEW:
        flags = None
        if given is not None:
            flags = np.zeros(total, dtype=np.int64)
            flags[given] = 1
        return np.nonzero(wire.bernoulli(flags, np.repeat(chance, lengths)))[0]
    there = lengths > 0
    return _tree(wire, given, starts[there], lengths[there], np.log1p(-chance[there]))


def _tree(wire: Wire, given: Ints | None, start: Ints, size: Ints, log_q: Floats) -> Ints:
    """The ones below nodes of ``size`` flags from ``start``, each flag 0 with the probability exp(log_q)."""
    held = _asked(wire, given, start, size, -np.expm1(size * log_q))
    start, size, log_q = start[held], size[held], log_q[held]
    leaves = []
    while start.size:
        if start.size > MOST_ONES:
            raise BitstreamError(f"more than {MOST_ONES} active parts")
        leaves.append(start[size == 1])
        more = size > 1
        start, size, log_q = start[more], size[more], log_q[more]
        half = size // 2
        left = _asked(wire, given, start, half, np.expm1(half * log_q) / np.expm1(size * log_q))
        middle, rest = start + half, size - half
        right = ~left  # one of the halves holds a one
        right[left] = _asked(wire, given, middle[left], rest[left], -np.expm1(rest[left] * log_q[left]))
        start = np.concatenate([start[left], middle[right]])
        size = np.concatenate([half[left], rest[right]])
        log_q = np.concatenate([log_q[left], log_q[right]])
    return np.sort(np.concatenate(leaves)) if leaves else np.zeros(0, dtype=np.int64)


def _asked(wire: Wire, given: Ints | None, start: Ints, size: Ints, p: Floats) -> Bools:
    """Whether each stretch holds a one."""
    told = None
    if given is not None:
        told = (np.searchsorted(given, start + size) > np.searchsorted(given, start)).astype(np.int64)
    holds: Bools = wire.bernoulli(told, p) == 1
    return holds


def sets(wire: Wire, given: Active | None, sizes: Ints, parts: int) -> Active:
    """Sets of known ``sizes`` [rows] among so many parts, at log2 C(parts, size) bits each."""
    if int(sizes.sum()) > MOST_ONES:
        raise BitstreamError(f"more than {MOST_ONES} active parts")
    rows, largest = len(sizes), int(sizes.max(initial=0))
    if largest * int(parts).bit_length() < parts:
        return _by_gaps(wire, given, sizes, parts)
    told = []
    for block in _blocks(rows, parts):
        members = None if given is None else given.between(block.start, block.stop).dense()
        row, part = subsets(wire, members, sizes[block], parts).nonzero()
        told.append((row + block.start, part))
    joined = [np.concatenate(each) for each in zip(*told, strict=True)] if told else [sizes[:0], sizes[:0]]
    return Active(joined[0], joined[1], rows, parts)


def _blocks(rows: int, parts: int) -> Iterator[slice]:
    """Rows that are told together, so that their matrix stays small."""
    size = max(1, CELLS // max(parts, 1))
    for first in range(0, rows, size):
        yield slice(first, min(first + size, rows))


def _by_gaps(wire: Wire, given: Active | None, sizes: Ints, parts: int) -> Active:
    """Small sets: of each row its first part, then its second among those behind it, and so on."""
    left, free = np.array(sizes), np.zeros(len(sizes), dtype=np.int64)
    first = np.cumsum(sizes) - sizes
    found = np.zeros(int(sizes.sum()), dtype=np.int64)
    for place in range(int(sizes.max(initial=0))):
        here = np.nonzero(left > 0)[0]
        entry = first[here] + place
        gap = None if given is None else given.part[entry] - free[here]
        found[entry] = free[here] + _gaps(wire, gap, left[here], parts - free[here])
        free[here] = found[entry] + 1
        left[here] -= 1
    return Active(np.repeat(np.arange(len(sizes)), sizes), found, len(sizes), parts)


def _gaps(wire: Wire, given: Ints | None, members: Ints, columns: Ints) -> Ints:
    """How many columns lie before the first of so many members, which may be anywhere: by bisection.

    There are g or more with the probability C(columns − g, members) / C(columns, members).
    """
    low, high = np.zeros_like(columns), columns - members + 1
    above, below = np.ones(len(columns)), np.zeros(len(columns))
    going, every = np.nonzero(high > 1)[0], log2_binomial(columns, members)
    while going.size:
        middle = (low[going] + high[going]) // 2
        at = np.exp2(log2_binomial(columns[going] - middle, members[going]) - every[going])
        wide = above[going] - below[going]
        p = np.where(wide > 0, (above[going] - at) / np.where(wide > 0, wide, 1.0), 0.5)
        nearer = wire.bernoulli(None if given is None else (given[going] < middle).astype(np.int64), p) == 1
        near, far = going[nearer], going[~nearer]
        high[near], below[near] = middle[nearer], at[nearer]
        low[far], above[far] = middle[~nearer], at[~nearer]
        going = going[high[going] - low[going] > 1]
    return low
