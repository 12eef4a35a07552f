"""The support on the wire, code by code as :mod:`support` prices them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from . import wire as on
from .dependence import BEFORE, NONE, Dependence
from .lengths import Floats
from .streams import shortest
from .support import SupportCost
from .tally import Histogram, Ints
from .transmit import blocks, flag_rows, stream, stream_code
from .wire import BitstreamError, Wire

SUPPORTS = (
    "constant", "free", "enumerative", "per-part", "frequencies", "dependent", "dependent frequencies",
    "unused",
)  # fmt: skip
DATA_GROWTH = 10  # positions of a datum may differ in kind, so the counts are brought up to date after each


def support(wire: Wire, active: Ints | None, cost: SupportCost | None, rows: int, parts: int) -> Ints:
    """Which parts are active: 0/1 [rows, parts], under a code of :mod:`support` that is named first."""
    index = None if cost is None else np.array([SUPPORTS.index(cost.name)])
    chosen = int(wire.uniform(index, 8, 1)[0])
    match SUPPORTS[chosen]:
        case "constant":
            first = None if active is None else active[:1]
            return np.repeat(_sized(wire, first, 1, parts), rows, axis=0)
        case "free":
            return _sized(wire, active, rows, parts)
        case "enumerative":
            sizes = None if active is None else active.sum(1)
            code = stream_code(wire, None if sizes is None else shortest(Histogram.of(sizes)))
            return on.subsets(wire, active, stream(wire, sizes, rows, code), parts)
        case "per-part":
            return flag_rows(wire, active, rows, parts)
        case "frequencies":
            return _frequencies(wire, active, rows, parts)
        case "dependent":
            tree = None if cost is None else cost.dependence
            return _Tree(*_parents(wire, tree, parts), rows).adaptive(wire, active)
        case "dependent frequencies":
            tree = None if cost is None else cost.dependence
            return _Tree(*_parents(wire, tree, parts), rows).told(wire, active, tree)
    raise BitstreamError("an unknown code of the support")


def _sized(wire: Wire, active: Ints | None, rows: int, parts: int) -> Ints:
    sizes = on.natural(wire, None if active is None else active.sum(1) + 1, rows) - 1
    return on.subsets(wire, active, _at_most(sizes, parts), parts)


def _at_most(sizes: Ints, parts: int) -> Ints:
    if sizes.size and int(sizes.max()) > parts:
        raise BitstreamError(f"a row with {int(sizes.max())} of {parts} parts: the stream is damaged")
    return sizes


def _frequencies(wire: Wire, active: Ints | None, rows: int, parts: int) -> Ints:
    on.natural(wire, None if active is None else np.array([max(rows, 1)]), 1)
    counts = on.natural(wire, None if active is None else active.sum(0) + 1, parts) - 1
    p = _at_most(counts, rows) / max(rows, 1)
    open_parts = np.nonzero((counts > 0) & (counts < rows))[0]
    received = np.zeros((rows, parts), dtype=np.int64)
    received[:, counts == rows] = 1
    given = None if active is None else active[:, open_parts].ravel()
    told = wire.bernoulli(given, np.tile(p[open_parts], rows))
    received[:, open_parts] = told.reshape(rows, open_parts.size)
    return received


def _parents(wire: Wire, tree: Dependence | None, parts: int) -> tuple[Ints, int]:
    """The parent of each part, and the number of positions of a datum."""
    given = None if tree is None else tree.parent
    counts = None
    if given is not None and tree is not None:
        edges, past = (given != NONE).sum(), (given == BEFORE).sum()
        counts = np.array([edges + 1, past + 1, tree.positions])
    edges, past, positions = on.natural(wire, counts, 3) - np.array([1, 1, 0])
    if not 0 <= past <= edges <= parts:
        raise BitstreamError(f"{edges} of {parts} parts with a parent, {past} with a past")
    parent = np.full(parts, NONE)
    told = None if given is None else (given != NONE)[None].astype(np.int64)
    children = on.subsets(wire, told, np.array([edges]), parts)[0].nonzero()[0]
    told = None if given is None else (given[children] == BEFORE)[None].astype(np.int64)
    own = on.subsets(wire, told, np.array([past]), int(edges))[0] == 1
    parent[children[own]] = BEFORE
    others = children[~own]
    parent[others] = wire.uniform(None if given is None else given[others], parts, others.size)
    return parent, int(positions)


def _levels(parent: Ints) -> list[Ints]:
    """Parts in an order in which parents come first."""
    depth = np.where(parent < 0, 0, -1)
    while (depth < 0).any():
        ready = np.nonzero((depth < 0) & (depth[np.maximum(parent, 0)] >= 0))[0]
        if not ready.size:
            raise BitstreamError("parts that are each other's parents: the stream is damaged")
        depth[ready] = depth[parent[ready]] + 1
    return [np.nonzero(depth == level)[0] for level in range(int(depth.max(initial=-1)) + 1)]


@dataclass
class _Tree:
    """Rows under known parents."""

    parent: Ints
    positions: int
    rows: int

    def stretches(self) -> Iterator[Ints]:
        """Rows that are sent together: of some data all first positions, then all second ones, and so on."""
        data = -(-self.rows // self.positions)
        for block in blocks(data, DATA_GROWTH):
            firsts = np.arange(block.start, block.stop) * self.positions
            for place in range(min(self.positions, self.rows)):
                rows = firsts + place
                yield rows[rows < self.rows]

    def context(self, received: Ints, rows: Ints, parts: Ints) -> Ints:
        """0/1 [rows, parts]: whether the parent of each is active."""
        parent = self.parent[parts]
        on_row = received[np.ix_(rows, np.maximum(parent, 0))]
        past = received[np.ix_(np.maximum(rows - 1, 0), parts)] * (rows % self.positions > 0)[:, None]
        return np.where(parent == BEFORE, past, np.where(parent == NONE, 0, on_row))

    def rows_of(
        self, wire: Wire, active: Ints | None, received: Ints, rows: Ints, parts: Ints, p: Floats
    ) -> Ints:
        """Send these parts on these rows at probabilities p [parts, 2]; returns the contexts."""
        state = self.context(received, rows, parts)
        chance = p[np.arange(parts.size), state].ravel()
        given = None if active is None else active[np.ix_(rows, parts)].ravel()
        received[np.ix_(rows, parts)] = wire.bernoulli(given, chance).reshape(state.shape)
        return state

    def adaptive(self, wire: Wire, active: Ints | None) -> Ints:
        """KT in each of the two contexts."""
        received = np.zeros((self.rows, self.parent.size), dtype=np.int64)
        ones, seen = np.full((self.parent.size, 2), 0.5), np.ones((self.parent.size, 2))
        levels = _levels(self.parent)
        for rows in self.stretches():
            p = ones / seen
            for parts in levels:
                state = self.rows_of(wire, active, received, rows, parts, p[parts])
                here = received[np.ix_(rows, parts)]
                for context in (0, 1):
                    seen[parts, context] += (state == context).sum(0)
                    ones[parts, context] += ((state == context) & (here == 1)).sum(0)
        return received

    def told(self, wire: Wire, active: Ints | None, tree: Dependence | None) -> Ints:
        """The counts, then everything at their frequencies."""
        seen, ones = self._counts(wire, tree)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.nan_to_num(ones / seen)
        received = np.zeros((self.rows, self.parent.size), dtype=np.int64)
        for rows in self.stretches():
            for parts in _levels(self.parent):
                self.rows_of(wire, active, received, rows, parts, p[parts])
        return received

    def _counts(self, wire: Wire, tree: Dependence | None) -> tuple[Ints, Ints]:
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
