"""The support on the wire, code by code as :mod:`support` prices them."""

from __future__ import annotations

import numpy as np

from . import wire as on
from .active import Active
from .dependence import BEFORE, NONE, Dependence
from .streams import shortest
from .support import SupportCost
from .tally import Histogram, Ints
from .transmit import flag_rows, stream, stream_code
from .transmit_sets import sets, sparse_flags
from .transmit_tree import Tree
from .wire import BitstreamError, Wire

SUPPORTS = (
    "constant", "free", "enumerative", "per-part", "frequencies", "dependent", "dependent frequencies",
    "unused",
)  # fmt: skip


def support(wire: Wire, active: Active | None, cost: SupportCost | None, rows: int, parts: int) -> Active:
    """Which parts are active, under a code of :mod:`support` that is named first."""
    index = None if cost is None else np.array([SUPPORTS.index(cost.name)])
    chosen = int(wire.uniform(index, 8, 1)[0])
    match SUPPORTS[chosen]:
        case "constant":
            first = None if active is None else active.between(0, 1)
            once = _sized(wire, first, 1, parts).part
            return Active(np.repeat(np.arange(rows), once.size), np.tile(once, rows), rows, parts)
        case "free":
            return _sized(wire, active, rows, parts)
        case "enumerative":
            sizes = None if active is None else active.sizes
            code = stream_code(wire, None if sizes is None else shortest(Histogram.of(sizes)))
            return sets(wire, active, _at_most(stream(wire, sizes, rows, code), parts), parts)
        case "per-part":
            return flag_rows(wire, active, rows, parts)
        case "frequencies":
            return _frequencies(wire, active, rows, parts)
        case "dependent":
            tree = None if cost is None else cost.dependence
            return Tree(*parents(wire, tree, parts), rows).adaptive(wire, active)
        case "dependent frequencies":
            tree = None if cost is None else cost.dependence
            return Tree(*parents(wire, tree, parts), rows).told(wire, active, tree)
    raise BitstreamError("an unknown code of the support")


def _sized(wire: Wire, active: Active | None, rows: int, parts: int) -> Active:
    sizes = on.natural(wire, None if active is None else active.sizes + 1, rows) - 1
    return sets(wire, active, _at_most(sizes, parts), parts)


def _at_most(sizes: Ints, parts: int) -> Ints:
    if sizes.size and not 0 <= int(sizes.min()) <= int(sizes.max()) <= parts:
        raise BitstreamError(f"a row with {int(sizes.max())} of {parts} parts: the stream is damaged")
    return sizes


def _frequencies(wire: Wire, active: Active | None, rows: int, parts: int) -> Active:
    on.natural(wire, None if active is None else np.array([max(rows, 1)]), 1)
    counts = on.natural(wire, None if active is None else active.counts + 1, parts) - 1
    p = _at_most(counts, rows) / max(rows, 1)
    several, always = np.nonzero((counts > 0) & (counts < rows))[0], np.nonzero(counts == rows)[0]
    told = None
    if active is not None:
        number = np.full(parts, -1)
        number[several] = np.arange(several.size)
        mine = number[active.part] >= 0
        told = np.sort(number[active.part[mine]] * rows + active.row[mine])
    found = sparse_flags(wire, told, np.full(several.size, rows), p[several])
    row = np.concatenate([found % max(rows, 1), np.tile(np.arange(rows), always.size)])
    part = np.concatenate([several[found // max(rows, 1)], np.repeat(always, rows)])
    return Active.at(row, part, rows, parts)


def parents(wire: Wire, tree: Dependence | None, parts: int) -> tuple[Ints, int]:
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
