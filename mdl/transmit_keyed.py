"""Keyed streams on the wire: how codes are shared, the codes, then each group's symbols in order."""

from __future__ import annotations

import numpy as np

from .keyed import Sharing, group_of, keyed, shortest_sharing
from .residual import BY_FRACTION, CELLS, DISTANCES, folded_keys, shortest_residuals
from .streams import shortest
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
    return _grouped(wire, keys, symbols, count, way, 1, name)


def placed(wire: Wire, cell: Ints, residual: Ints | None) -> Ints:
    """Residuals [rows, d]; ``cell`` [rows, d] is where the prediction of each lies."""
    width = cell.shape[1]
    keys = (np.arange(width) * CELLS + cell).ravel()
    symbols = None if residual is None else residual.ravel()
    way = None if symbols is None else shortest_residuals(keyed(keys, symbols), width)
    name = _chosen(wire, way)
    if not name.endswith(BY_FRACTION):
        return _grouped(wire, keys // CELLS, symbols, width, way, 1, name).reshape(cell.shape)
    folded, sign = folded_keys(keys)
    mirrored = None if symbols is None else sign * symbols
    told = _grouped(wire, folded, mirrored, width, way, DISTANCES, name.removesuffix(BY_FRACTION))
    return (sign * told).reshape(cell.shape)


def _chosen(wire: Wire, way: Sharing | None) -> str:
    """The name of the sharing, in three bits."""
    index = None if way is None else np.array([SHARINGS.index(way.name)])
    chosen = int(wire.uniform(index, 8, 1)[0])
    if chosen >= len(SHARINGS):
        raise BitstreamError("an unknown sharing of codes")
    return SHARINGS[chosen]


def _grouped(
    wire: Wire, keys: Ints, symbols: Ints | None, count: int, way: Sharing | None, contexts: int, name: str
) -> Ints:
    """The codes of all groups, then the symbols group by group."""
    code_of = _owners(wire, name, None if way is None else way.code_of, count)
    owner = group_of(keys, code_of, contexts)
    groups = range((int(code_of.max(initial=0)) + 1) * contexts)
    codes = [stream_code(wire, None if way is None else way.codes[g]) for g in groups]
    received = np.zeros(len(keys), dtype=np.int64)
    for g in groups:
        mine = np.nonzero(owner == g)[0]
        received[mine] = stream(wire, None if symbols is None else symbols[mine], mine.size, codes[g])
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
