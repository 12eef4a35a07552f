"""Codes of a tensor's integers, slice by slice: written out, or as a mask and the numbers that it keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .lengths import Floats
from .streams import Frozen, Range, candidates
from .structure import Bools, Frame, MaskPrice, Structure, looks_even, price_mask
from .tally import Histogram, Ints

SHORT_RANGE = 2**17
CACHED = 2**18  # entries that are counted at a time


@dataclass(frozen=True, eq=False)
class Written:
    """Every entry that exists, under one code."""

    code: Frozen


@dataclass(frozen=True, eq=False)
class Masked:
    """Which entries are kept, then these under one code (none where the mask is all there is).

    ``given`` [slices, entries] is the explanation's own mask; without it, that of the integers not zero.
    """

    code: Frozen | None
    structure: Structure
    given: Bools | None = None


@dataclass(frozen=True, eq=False)
class SlicePrices:
    """Prices of a tensor's slices told in one way: ``header`` once, ``bits`` and ``numbers`` [slices]."""

    name: str
    header: float
    bits: Floats
    numbers: Ints
    telling: object

    @property
    def total(self) -> float:
        """Bits of all slices."""
        return self.header + float(self.bits.sum())


def known_range(precision: int) -> Range:
    """The integers that ``precision`` bits hold, alike on both sides of zero."""
    top = 2 ** (precision - 1) - 1
    return Range(-top, top, known=True)


def step_exponent(values: Tensor, precision: int) -> int:
    """The least e such that all values / 2^e round into the signed range of ``precision`` bits.

    At least −1022, the least exponent of a double with all its digits: numbers far below it round to zero.
    """
    largest = float(values.abs().max()) if values.numel() else 0.0
    if largest == 0.0:
        return 0
    top = 2 ** (precision - 1) - 1
    return max(math.ceil(math.log2(largest) - math.log2(top + 0.499)), -1022)


def to_precision(values: Tensor, precision: int) -> tuple[Ints, int]:
    """round(values / 2^e), and the least e at which that fits into ``precision`` bits."""
    exponent = step_exponent(values, precision)
    return (values.double() * 2.0**-exponent).round().long().cpu().numpy(), exponent


def numeric_ways(
    flat: Ints, given: Bools | None, known: Range, frame: Frame, thorough: bool
) -> Iterator[SlicePrices]:
    """Slices [slices, entries] of integers written out, or as a mask and what it keeps.

    Levels of masks are looked for where ``thorough``; in zeros that came of rounding, which seldom have a
    structure, where they are not spread evenly besides.
    """
    if given is None:
        exists = None if frame.exists is None else frame.exists.reshape(-1)
        yield from _written(flat, exists, known)
        zeros = (flat if exists is None else flat[:, exists]) == 0
    else:
        yield from _masked(flat, given, given, known, price_mask(given, frame, flat=not thorough))
        zeros = flat[given] == 0
    if zeros.any():
        keep = flat != 0
        even = not thorough or looks_even(keep, frame)
        yield from _masked(flat, keep, None, known, price_mask(keep, frame, flat=even))


def boolean_way(flat: Bools, frame: Frame) -> SlicePrices:
    """Slices [slices, entries] that are structure and nothing else."""
    price = price_mask(flat, frame)
    nothing = np.zeros(len(flat), dtype=np.int64)
    return SlicePrices(
        f"mask {price.structure.label}",
        price.header,
        price.bits,
        nothing,
        Masked(None, price.structure),
    )


def _written(flat: Ints, exists: Bools | None, known: Range) -> Iterator[SlicePrices]:
    """All entries, or those of each slice that exist."""
    keep = np.broadcast_to(True if exists is None else exists, flat.shape)
    numbers = np.full(len(flat), flat.shape[1] if exists is None else int(exists.sum()))
    for code, bits in _coded(flat, keep, known):
        yield SlicePrices(code.name, code.header, bits, numbers, Written(code))


def _masked(
    flat: Ints, keep: Bools, given: Bools | None, known: Range, mask: MaskPrice
) -> Iterator[SlicePrices]:
    for code, bits in _coded(flat, keep, known):
        yield SlicePrices(
            f"{code.name}, sparse {mask.structure.label}",
            mask.header + code.header,
            mask.bits + bits,
            keep.sum(1),
            Masked(code, mask.structure, given),
        )


Price = Callable[[Frozen], Floats]


def _coded(flat: Ints, keep: Bools, known: Range) -> Iterator[tuple[Frozen, Floats]]:
    """The frozen codes of the kept entries, and what each slice's entries cost."""
    tally, price = _counted(flat, keep, known) if _few(flat, known) else _gathered(flat, keep, known)
    for code in candidates(tally, known):
        if isinstance(code, Frozen):
            yield code, price(code)


def _few(flat: Ints, known: Range) -> bool:
    """Whether counting the symbols of each slice takes less room than the slices themselves."""
    return 0 < len(flat) * known.size <= flat.size


def _counted(flat: Ints, keep: Bools, known: Range) -> tuple[Histogram, Price]:
    """Bits per slice from counts [slices, symbols]: one pass over the entries for all codes."""
    every, size = bool(keep.all()), max(1, CACHED // max(flat.shape[1], 1))
    counts = np.concatenate(
        [
            _counts(flat[first : first + size], None if every else keep[first : first + size], known)
            for first in range(0, len(flat), size)
        ]
    )
    total = counts.sum(0)
    seen = total.nonzero()[0]
    compact = counts[:, seen].astype(np.float64)
    return Histogram(seen + known.lo, total[seen]), lambda code: compact @ code.prices(seen + known.lo)


def _counts(flat: Ints, keep: Bools | None, known: Range) -> Ints:
    """How often each slice holds each symbol [slices, symbols]."""
    cell = flat - known.lo + np.arange(len(flat))[:, None] * known.size
    counts = np.bincount(cell.ravel() if keep is None else cell[keep], minlength=len(flat) * known.size)
    return counts.reshape(len(flat), known.size)


def _gathered(flat: Ints, keep: Bools, known: Range) -> tuple[Histogram, Price]:
    """Bits per slice from the price of each entry."""
    symbols, where = _indexed(flat, known)

    def price(code: Frozen) -> Floats:
        each = code.prices(symbols)[where]
        return np.asarray(each.sum(1) if keep.all() else np.where(keep, each, 0.0).sum(1))

    return _tally(flat[keep], known), price


def _indexed(flat: Ints, known: Range) -> tuple[Ints, Ints]:
    """Symbols, and which of them stands where: by subtraction where the range is short."""
    if known.size <= SHORT_RANGE:
        return np.arange(known.lo, known.hi + 1), flat - known.lo
    symbols, where = np.unique(flat, return_inverse=True)
    return symbols, where.reshape(flat.shape)


def _tally(symbols: Ints, known: Range) -> Histogram:
    if known.size > SHORT_RANGE:
        return Histogram.of(symbols)
    counts = np.bincount(symbols - known.lo, minlength=known.size)
    seen = counts.nonzero()[0]
    return Histogram(seen + known.lo, counts[seen])
