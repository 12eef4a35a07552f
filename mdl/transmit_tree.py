"""The support on the wire under a tree of parents: parts after their parents, rows after the rows before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import wire as on
from .active import Active
from .dependence import BEFORE, NONE, Dependence
from .lengths import Floats
from .structure import Bools
from .tally import Ints
from .transmit import blocks
from .transmit_sets import sparse_flags
from .wire import BitstreamError, Wire

DATA_GROWTH = 10  # positions of a datum may differ in kind, so the counts are brought up to date after each


def _levels(parent: Ints) -> list[Ints]:
    """Parts in an order in which parents come first."""
    depth = np.where(parent < 0, 0, -1)
    while (depth < 0).any():
        ready = np.nonzero((depth < 0) & (depth[np.maximum(parent, 0)] >= 0))[0]
        if not ready.size:
            raise BitstreamError("parts that are each other's parents: the stream is damaged")
        depth[ready] = depth[parent[ready]] + 1
    return [np.nonzero(depth == level)[0] for level in range(int(depth.max(initial=-1)) + 1)]


@dataclass(frozen=True, eq=False)
class _Contexts:
    """Flags of some parts on some rows, at places part · rows + row, sorted by the state of the parents.

    ``on``, ascending: the places whose parent is active. A part's flags with its parent off, then those with
    it on, are two sequences, in each of which all flags have the same probability.
    """

    parts: int
    rows: int
    on: Ints

    @cached_property
    def sizes(self) -> Ints:
        """How many flags each part has with its parent off and on [parts, 2]."""
        on = np.bincount(self.on // self.rows, minlength=self.parts)
        return np.stack([self.rows - on, on], axis=1)

    @cached_property
    def starts(self) -> Ints:
        """Where the sequences begin, laid end to end [2 parts]."""
        return np.cumsum(self.sizes.ravel()) - self.sizes.ravel()

    @cached_property
    def first(self) -> Ints:
        """How many of ``on`` belong to the parts before each [parts]."""
        return np.cumsum(self.sizes[:, 1]) - self.sizes[:, 1]

    def in_sequences(self, place: Ints) -> Ints:
        """Where flags lie in the sequences, ascending."""
        is_on, part = np.isin(place, self.on), place // self.rows
        rank = np.searchsorted(self.on, place) - self.first[part]
        rank[~is_on] = place[~is_on] % self.rows - rank[~is_on]
        return np.sort(self.starts[2 * part + is_on] + rank)

    def places(self, found: Ints) -> tuple[Ints, Ints]:
        """The inverse; and how many of ``found`` each sequence has [parts, 2]."""
        # of sequences that begin together the last is the one that is not empty
        sequence = np.searchsorted(self.starts, found, side="right") - 1
        part, is_on, rank = sequence // 2, sequence % 2 == 1, found - self.starts[sequence]
        place = part * self.rows + rank
        place[is_on] = self.on[self.first[part[is_on]] + rank[is_on]]
        owner = self.on // self.rows
        # how many flags with the parent off lie before each with it on, offset by part so that all ascend
        off_before = self.on - (np.arange(self.on.size) - self.first[owner])
        skipped = np.searchsorted(off_before, place[~is_on], side="right") - self.first[part[~is_on]]
        place[~is_on] += skipped
        return place, np.bincount(sequence, minlength=2 * self.parts).reshape(-1, 2)


def _matrix(active: Active, begins: Ints, rows: Ints) -> Bools:
    """Some rows of active sets, as a matrix."""
    sizes = begins[rows + 1] - begins[rows]
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    matrix = np.zeros((len(rows), active.parts), dtype=bool)
    matrix[np.repeat(np.arange(len(rows)), sizes), active.part[np.repeat(begins[rows], sizes) + within]] = (
        True
    )
    return matrix


@dataclass
class Tree:
    """Rows under known parents."""

    parent: Ints
    positions: int
    rows: int

    def stretches(self) -> Iterator[tuple[Ints, int]]:
        """Rows that are sent together, and their position: of some data all first ones, then all second."""
        data = -(-self.rows // self.positions)
        for block in blocks(data, DATA_GROWTH):
            firsts = np.arange(block.start, block.stop) * self.positions
            for place in range(min(self.positions, self.rows)):
                rows = firsts + place
                yield rows[rows < self.rows], place

    def adaptive(self, wire: Wire, active: Active | None) -> Active:
        """KT in each of the two contexts."""
        ones, seen = np.full((self.parent.size, 2), 0.5), np.ones((self.parent.size, 2))
        return self._run(wire, active, ones, seen, learning=True)

    def told(self, wire: Wire, active: Active | None, tree: Dependence | None) -> Active:
        """The counts, then everything at their frequencies."""
        return self.at(wire, active, *self.counts(wire, tree))

    def at(self, wire: Wire, active: Active | None, seen: Ints, ones: Ints) -> Active:
        """Everything at the frequencies of counts [parts, 2] that both ends have."""
        return self._run(wire, active, ones.astype(np.float64), seen.astype(np.float64), learning=False)

    def _run(self, wire: Wire, active: Active | None, ones: Floats, seen: Floats, learning: bool) -> Active:
        """All stretches; where it is ``learning``, the counts are brought up to date after each."""
        count, levels, arrived = self.parent.size, _levels(self.parent), []
        begins = None if active is None else np.searchsorted(active.row, np.arange(self.rows + 1))
        before = np.zeros((0, count), dtype=bool)
        for rows, position in self.stretches():
            with np.errstate(divide="ignore", invalid="ignore"):
                p = np.nan_to_num(ones / seen)
            now, given = np.zeros((len(rows), count), dtype=bool), None
            if active is not None and begins is not None:
                given = _matrix(active, begins, rows)
            for parts in levels:
                on = self._on(now, before if position else None, parts)
                contexts = _Contexts(parts.size, len(rows), np.nonzero(on.T.ravel())[0])
                told = (
                    None if given is None else contexts.in_sequences(np.nonzero(given[:, parts].T.ravel())[0])
                )
                found = sparse_flags(wire, told, contexts.sizes.ravel(), p[parts].ravel())
                place, counts = contexts.places(found)
                now[place % len(rows), parts[place // len(rows)]] = True
                if learning:
                    seen[parts] += contexts.sizes
                    ones[parts] += counts
            row, part = now.nonzero()
            arrived.append(rows[row] * count + part)
            before = now
        every = np.concatenate(arrived) if arrived else np.zeros(0, dtype=np.int64)
        return Active.at(every // max(count, 1), every % max(count, 1), self.rows, count)

    def _on(self, now: Bools, before: Bools | None, parts: Ints) -> Bools:
        """Whether the parent of each part is active [rows, parts]."""
        parent = self.parent[parts]
        on: Bools = now[:, np.maximum(parent, 0)]
        on[:, parent == NONE] = False
        past = parts[parent == BEFORE]
        on[:, parent == BEFORE] = False if before is None else before[: len(now), past]
        return on

    def counts(self, wire: Wire, tree: Dependence | None) -> tuple[Ints, Ints]:
        """Rows [parts, 2] with the parent off and on, and those of them with the part active."""
        n = int(on.natural(wire, None if tree is None else np.array([max(self.rows, 1)]), 1)[0])
        total = on.natural(wire, None if tree is None else tree.ones.sum(1) + 1, self.parent.size) - 1
        children, past = np.nonzero(self.parent != NONE)[0], np.nonzero(self.parent == BEFORE)[0]
        both, state = np.zeros_like(total), np.where(self.parent >= 0, total[np.maximum(self.parent, 0)], 0)
        both[children] = (
            on.natural(wire, None if tree is None else tree.ones[children, 1] + 1, children.size) - 1
        )
        state[past] = on.natural(wire, None if tree is None else tree.seen[past, 1] + 1, past.size) - 1
        seen, ones = np.stack([n - state, state], 1), np.stack([total - both, both], 1)
        if ((ones < 0) | (ones > seen)).any():
            raise BitstreamError(
                "a part that is active more often than there are rows: the stream is damaged"
            )
        return seen, ones
