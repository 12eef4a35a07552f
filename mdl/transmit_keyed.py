"""Keyed streams on the wire: how codes are shared, the codes, then each group's symbols in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .keyed import Sharing, group_of, keyed, shortest_sharing
from .residual import BY_FRACTION, CELLS, DISTANCES, folded_keys, shortest_residuals
from .streams import StreamCode, shortest
from .tally import Histogram, Ints
from .transmit import stream, stream_code
from .wire import BitstreamError, Wire

SHARINGS = ("pooled", "classes", "separate", "pooled" + BY_FRACTION, "classes" + BY_FRACTION)


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
        keys = (np.arange(cell.shape[1]) * CELLS + cell).ravel()
        symbols = None if residual is None else residual.ravel()
        if not self.name.endswith(BY_FRACTION):
            return _in_groups(wire, group_of(keys // CELLS, self.code_of, 1), symbols, self.codes).reshape(
                cell.shape
            )
        folded, sign = folded_keys(keys)
        mirrored = None if symbols is None else sign * symbols
        owner = group_of(folded, self.code_of, DISTANCES)
        return (sign * _in_groups(wire, owner, mirrored, self.codes)).reshape(cell.shape)


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
        keys = (np.arange(width) * CELLS + cell).ravel()
        way = shortest_residuals(keyed(keys, residual.ravel()), width)
    return residual_codes(wire, way, width).told(wire, cell, residual)


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


def _in_groups(wire: Wire, owner: Ints, symbols: Ints | None, codes: Sequence[StreamCode]) -> Ints:
    """The symbols, group by group."""
    received = np.zeros(len(owner), dtype=np.int64)
    for g, code in enumerate(codes):
        mine = np.nonzero(owner == g)[0]
        received[mine] = stream(wire, None if symbols is None else symbols[mine], mine.size, code)
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
