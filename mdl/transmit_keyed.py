"""Keyed streams on the wire: how codes are shared, the codes, then each group's symbols in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .keyed import Sharing, group_of, keyed, shortest_sharing
from .residual import BY_FRACTION, CELLS, DISTANCES, folded_keys, shortest_residuals
from .streams import StreamCode, shortest
from .tally import Histogram, Ints
from .transmit import stream, stream_code
from .wire import BitstreamError, Wire

SHARINGS = ("pooled", "classes", "separate", "pooled" + BY_FRACTION, "classes" + BY_FRACTION)

TOGETHER = 2**22  # numbers that are worked on at a time


def shared(wire: Wire, keys: Ints, symbols: Ints | None, count: int) -> Ints:
    """Symbols that each belong to one of ``count`` keys, which both ends know."""
    way = None if symbols is None else shortest_sharing(keyed(keys, symbols), count)
    name = _chosen(wire, way)
    if name.endswith(BY_FRACTION):
        raise BitstreamError("coefficients do not have fractions")
    code_of = _owners(wire, name, None if way is None else way.code_of, count)
    codes = _codes(wire, way, code_of, 1)
    return _in_groups(wire, group_of(keys, code_of, 1), symbols, codes)


@dataclass(frozen=True, eq=False)
class ResidualCodes:
    """How residuals are coded, once both ends know it: several stretches of rows can be told with it."""

    name: str
    code_of: Ints
    codes: tuple[StreamCode, ...]

    def told(self, wire: Wire, cell: Ints, residual: Ints | None) -> Ints:
        """Residuals [rows, d]; ``cell`` [rows, d] is where the prediction of each lies."""
        width = cell.shape[1]
        keys, sign = np.arange(width * CELLS), None
        if self.name.endswith(BY_FRACTION):
            owner = group_of(folded_keys(keys)[0], self.code_of, DISTANCES)
            sign = np.int8(1) - np.int8(2) * (cell.ravel() >= DISTANCES)  # mirrored, as folded_keys has it
        else:
            owner = group_of(keys // CELLS, self.code_of, 1)
        table = owner.astype(np.min_scalar_type(len(self.codes))).reshape(width, CELLS)
        groups = np.empty(cell.shape, dtype=table.dtype)
        for rows in stretches(*cell.shape):
            groups[rows] = table[np.arange(width), cell[rows]]
        symbols = None if residual is None else residual.ravel()
        return _in_groups(wire, groups.ravel(), symbols, self.codes, sign).reshape(cell.shape)


def stretches(rows: int, width: int) -> Iterator[slice]:
    """Rows that are worked on together, so that what is made of them takes little room."""
    size = max(1, TOGETHER // max(width, 1))
    for first in range(0, rows, size):
        yield slice(first, min(first + size, rows))


def residual_codes(wire: Wire, way: Sharing | None, width: int) -> ResidualCodes:
    """Tell how the residuals of so many coordinates are coded."""
    name = _chosen(wire, way)
    contexts = DISTANCES if name.endswith(BY_FRACTION) else 1
    code_of = _owners(wire, name.removesuffix(BY_FRACTION), None if way is None else way.code_of, width)
    return ResidualCodes(name, code_of, _codes(wire, way, code_of, contexts))


def placed(wire: Wire, cell: Ints, residual: Ints | None) -> Ints:
    """Residuals [rows, d] with the codes that are shortest for them; see :class:`ResidualCodes`."""
    way, width = None, cell.shape[1]
    if residual is not None:
        way = shortest_residuals(_tally(cell, residual), width)
    return residual_codes(wire, way, width).told(wire, cell, residual)


def _tally(cell: Ints, residual: Ints) -> Histogram:
    """Residuals [rows, d] by coordinate and cell, as :mod:`residual` counts them."""
    total, column = Histogram(), np.arange(cell.shape[1]) * CELLS
    for rows in stretches(*cell.shape):
        keys, symbols = (column + cell[rows]).ravel(), residual[rows].ravel()
        total = total + keyed(torch.from_numpy(keys), torch.from_numpy(symbols))
    return total


def _chosen(wire: Wire, way: Sharing | None) -> str:
    """The name of the sharing, in three bits."""
    index = None if way is None else np.array([SHARINGS.index(way.name)])
    chosen = int(wire.uniform(index, 8, 1)[0])
    if chosen >= len(SHARINGS):
        raise BitstreamError("an unknown sharing of codes")
    return SHARINGS[chosen]


def _codes(wire: Wire, way: Sharing | None, code_of: Ints, contexts: int) -> tuple[StreamCode, ...]:
    """The codes of all groups."""
    groups = range((int(code_of.max(initial=0)) + 1) * contexts)
    return tuple(stream_code(wire, None if way is None else way.codes[g]) for g in groups)


def _in_groups(
    wire: Wire, owner: Ints, symbols: Ints | None, codes: Sequence[StreamCode], sign: Ints | None = None
) -> Ints:
    """The symbols, group by group; ``sign`` times them is what travels."""
    received = np.zeros(len(owner), dtype=np.int64) if symbols is None else symbols
    for g, code in enumerate(codes):
        mine = np.nonzero(owner == g)[0]
        turn = 1 if sign is None else sign[mine]
        given = None if symbols is None else turn * symbols[mine]
        received[mine] = turn * stream(wire, given, mine.size, code)
    return received


def _owners(wire: Wire, name: str, code_of: Ints | None, count: int) -> Ints:
    """The class of every key."""
    if name == "pooled":
        return np.zeros(count, dtype=np.int64)
    if name == "separate":
        return np.arange(count)
    code = stream_code(wire, None if code_of is None else shortest(Histogram.of(code_of)))
    told = stream(wire, code_of, count, code)
    if told.size and not 0 <= int(told.min()) <= int(told.max()) < max(count, 1):
        raise BitstreamError("a class that does not exist")
    return told
