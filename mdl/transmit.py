"""Streams on the wire, code by code as :mod:`streams` prices them.

Adaptive codes learn in blocks that grow by one part in forty: the probabilities of a block are the KT
estimate from all blocks before it. Symbols travel in a scrambled order, so that a block is like those before
it even where the data drift. That comes within a few bits of learning symbol by symbol, and runs at the speed
of a static code.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import wire as on
from .active import Active
from .streams import STEEPEST, WIDEST, Adaptive, Discretised, Frozen, Range, Raw, StreamCode, Table, Universal
from .tally import Histogram, Ints
from .transmit_sets import sparse_flags
from .wire import BitstreamError, Wire

FAMILIES = ("adaptive", "raw", "table", "laplace", "gaussian", "gamma", "delta", "exponential")
GROWTH = 40


def blocks(count: int, growth: int = GROWTH) -> Iterator[slice]:
    """Consecutive stretches: one symbol, then ever longer ones, by one part in ``growth``."""
    start = 0
    while start < count:
        stop = min(count, start + 1 + start // growth)
        yield slice(start, stop)
        start = stop


def scrambled(count: int) -> Ints:
    """An order of 0 … count − 1 by chance, the same on every machine.

    Places are sorted by the numbers of the counter-based generator Philox 4×64 (Salmon et al., SC 2011).
    """
    return np.argsort(np.random.Philox(key=0).random_raw(count), kind="stable").astype(np.int64)


def stream_code(wire: Wire, code: StreamCode | None, known: Range | None = None) -> StreamCode:
    """Tell which code follows: family, range where it is not known, parameters."""
    index = None if code is None else np.array([FAMILIES.index(code.name)])
    family = FAMILIES[int(wire.uniform(index, len(FAMILIES), 1)[0])]
    if family in ("gamma", "delta"):
        return Universal(family)
    given = None if code is None else code.range  # type: ignore[attr-defined]
    span = known if known is not None and family != "adaptive" else _range(wire, given)
    if family == "raw":
        return Raw(span)
    if span.size > WIDEST:
        raise BitstreamError(f"a range of {span.size} integers under a code for at most {WIDEST}")
    if family == "adaptive":
        return Adaptive(span)
    if family == "table":
        return Table(span, _counts(wire, None if code is None else code.tally, span))  # type: ignore[attr-defined]
    if family in ("laplace", "gaussian", "exponential"):
        told = None if code is None else np.array([code.scale - STEEPEST, code.spike])  # type: ignore[attr-defined]
        scale, spike = wire.uniform(told, 256, 2)
        return Discretised(family, int(scale) + STEEPEST, int(spike), span)
    raise BitstreamError(f"unknown stream code {family!r}")


def _range(wire: Wire, span: Range | None) -> Range:
    lo = int(on.integer(wire, None if span is None else np.array([span.lo]), 1)[0])
    size = int(on.natural(wire, None if span is None else np.array([span.size]), 1)[0])
    return Range(lo, lo + size - 1)


def _counts(wire: Wire, tally: Histogram | None, span: Range) -> Histogram:
    dense = None
    if tally is not None:
        dense = np.zeros(span.size, dtype=np.int64)
        dense[tally.symbols - span.lo] = tally.counts
    told = on.natural(wire, None if dense is None else dense + 1, span.size) - 1
    seen = told.nonzero()[0]
    if (told < 0).any() or not 0 < sum(told[seen].tolist()) < 2**62:
        raise BitstreamError("a table of counts that add up to nothing, or to more than there can be")
    return Histogram(seen + span.lo, told[seen])


def flags(wire: Wire, given: Ints | None, count: int) -> Ints:
    """Flags [count] under one adaptive code."""
    told = None if given is None else Active.of(given[:, None])
    return flag_rows(wire, told, count, 1).dense()[:, 0]


def flag_rows(wire: Wire, given: Active | None, rows: int, parts: int) -> Active:
    """Which parts are active on each row, each part under a KT estimator of its own."""
    ones, found = np.full(parts, 0.5), [np.zeros(0, dtype=np.int64)]
    for block in blocks(rows):
        size = block.stop - block.start
        told = None
        if given is not None:
            here = given.between(block.start, block.stop)
            told = np.sort(here.part * size + here.row)
        place = sparse_flags(wire, told, np.full(parts, size), ones / (block.start + 1))
        ones += np.bincount(place // size, minlength=parts)
        found.append((place % size + block.start) * parts + place // size)
    place = np.concatenate(found)
    return Active.at(place // max(parts, 1), place % max(parts, 1), rows, parts)


def stream(wire: Wire, symbols: Ints | None, count: int, code: StreamCode) -> Ints:
    """The symbols under a code that both ends know."""
    if isinstance(code, Adaptive):
        return _adaptive(wire, symbols, count, code.range)
    if isinstance(code, Universal):
        return on.integer(wire, symbols, count, gamma=code.name == "gamma")
    assert isinstance(code, Frozen)
    span: Range = code.range  # type: ignore[attr-defined]
    shifted = None if symbols is None else symbols - span.lo
    if isinstance(code, Raw):
        return wire.uniform(shifted, span.size, count) + span.lo
    probabilities = np.exp2(-code.prices(np.arange(span.lo, span.hi + 1)))
    return wire.categorical(shifted, probabilities, count) + span.lo


def _adaptive(wire: Wire, symbols: Ints | None, count: int, span: Range) -> Ints:
    """KT over the range and an escape; what escaped follows as signed integers."""
    counts, order = np.full(span.size + 1, 0.5), scrambled(count)
    shifted = beyond = None
    if symbols is not None:
        symbols = symbols[order]
        holds = span.holds(symbols)
        strays = symbols[~holds]
        beyond = np.where(strays > span.hi, strays - span.hi - 1, strays - span.lo)
        shifted = np.where(holds, symbols - span.lo, span.size)
    received = np.zeros(count, dtype=np.int64)
    for block in blocks(count):
        given = None if shifted is None else shifted[block]
        here = wire.categorical(given, counts / counts.sum(), block.stop - block.start)
        received[block] = here
        counts += np.bincount(here, minlength=span.size + 1)
    where = np.nonzero(received == span.size)[0]
    told = on.integer(wire, beyond, where.size)
    received += span.lo
    received[where] = np.where(told >= 0, told + span.hi + 1, told + span.lo)
    unscrambled = np.empty_like(received)
    unscrambled[order] = received
    return unscrambled
