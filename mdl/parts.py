"""Parts: the numbers that an explanation sends about its mechanism, and what they cost.

A :class:`PartTensor` stacks slices of one role (all decoder rows, say); ``owner`` says which part each slice
belongs to. Parts are numbered 0..C−1; the owner C is the remainder, which is always sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .lengths import Floats, elias_delta, log2_binomial, signed_delta
from .streams import Frozen, Range, candidates
from .tally import Histogram, Ints

SHORT_RANGE = 2**17


class PartError(ValueError):
    """Parts that do not fit together."""


@dataclass(frozen=True, eq=False)
class PartTensor:
    """One role of the parts: ``values`` [slices, …], the part of each slice, and which entries exist.

    Entries outside ``mask`` are 0 and not sent; the mask itself is, enumeratively. Boolean ``values`` are
    structure: sent enumeratively as well.
    """

    name: str
    values: Tensor
    owner: Tensor
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.owner.shape != self.values.shape[:1]:
            raise PartError(f"{self.name}: {self.values.shape[0]} slices, owners {tuple(self.owner.shape)}")
        if self.mask is not None and self.mask.shape != self.values.shape:
            raise PartError(f"{self.name}: mask {tuple(self.mask.shape)}, values {tuple(self.values.shape)}")
        if self.values.is_floating_point() and not bool(torch.isfinite(self.values).all()):
            raise PartError(f"{self.name}: a part holds NaN or infinite numbers")


@dataclass(frozen=True, eq=False)
class Parts:
    """All that an explanation may send about its mechanism: ``count`` optional parts and a remainder."""

    count: int
    tensors: tuple[PartTensor, ...]

    def __post_init__(self) -> None:
        for tensor in self.tensors:
            if (
                len(tensor.owner)
                and not 0 <= int(tensor.owner.min()) <= int(tensor.owner.max()) <= self.count
            ):
                raise PartError(f"{tensor.name}: owners must lie in 0..{self.count}")


def one_part(name: str, values: Tensor, owner: int, mask: Tensor | None = None) -> PartTensor:
    """One tensor that belongs to one part."""
    one = None if mask is None else mask[None]
    return PartTensor(name, values[None], torch.tensor([owner]), one)


@dataclass(frozen=True, eq=False)
class PartWay:
    """One way to code a tensor: ``header`` once, then ``bits`` [C + 1] for each part's slices.

    ``code`` is the code of the numbers, after a mask of what is not zero where the way is ``sparse``.
    """

    name: str
    header: float
    bits: Floats
    code: Frozen | None = None
    sparse: bool = False

    def total(self, used: Floats) -> float:
        """Bits when part c is sent with probability ``used[c]``."""
        return self.header + float(self.bits @ used)


@dataclass(frozen=True, eq=False)
class Grid:
    """A tensor as integers [slices, entries] times 2^exponent, and the part of each slice."""

    name: str
    integers: Ints
    exponent: int
    owner: Ints


@dataclass(frozen=True, eq=False)
class SentParts:
    """Parts on their grids: what the receiver restores, and the ways to code each tensor.

    Which way is taken depends on how many parts are sent; the choice is in each way's header.
    """

    restored: Mapping[str, Tensor]
    ways: tuple[tuple[PartWay, ...], ...]
    header: float
    numbers: Ints
    precision: int
    grids: tuple[Grid, ...]

    def total(self, usage: Ints) -> float:
        """Bits when the parts with positive usage are sent."""
        return self.header + math.fsum(way.total(_sent(usage)) for way in self.chosen(usage))

    def chosen(self, usage: Ints) -> list[PartWay]:
        """The shortest way for each tensor."""
        return [min(ways, key=lambda way: way.total(_sent(usage))) for ways in self.ways]

    def headers(self, usage: Ints) -> float:
        """Bits that are paid before the first number."""
        return self.header + math.fsum(way.header for way in self.chosen(usage))


def _sent(usage: Ints) -> Floats:
    """1 for each part that is sent, the remainder last."""
    return np.append(usage > 0, True).astype(np.float64)


def send_parts(parts: Parts, precision: int) -> SentParts:
    """Quantise every tensor to ``precision`` bits on a dyadic grid of its own, and price it.

    The precision is told once; each tensor tells the exponent of its step and its stream code.
    """
    if not 2 <= precision <= 32:
        raise PartError(f"the precision of parts is 2 to 32 bits, got {precision}")
    numbers = np.zeros(parts.count + 1, dtype=np.int64)
    restored, ways, grids = {}, [], []
    for tensor in parts.tensors:
        owner = tensor.owner.cpu().numpy()
        restored[tensor.name], grid, priced = _send_tensor(tensor, owner, precision)
        ways.append(tuple(_by_part(way, owner, parts.count + 1) for way in priced))
        grids.append(grid)
        np.add.at(numbers, owner, priced[0].numbers)
    return SentParts(restored, tuple(ways), float(elias_delta(precision)), numbers, precision, tuple(grids))


def known_range(precision: int) -> Range:
    """The integers that ``precision`` bits hold, alike on both sides of zero."""
    top = 2 ** (precision - 1) - 1
    return Range(-top, top, known=True)


@dataclass(frozen=True, eq=False)
class _Slices:
    """Prices of a tensor's slices under one code."""

    name: str
    header: float
    bits: Floats
    numbers: Ints
    code: Frozen | None = None
    sparse: bool = False


def _by_part(way: _Slices, owner: Ints, parts: int) -> PartWay:
    bits = np.bincount(owner, way.bits, minlength=parts).astype(np.float64)
    return PartWay(way.name, way.header, bits, way.code, way.sparse)


def _send_tensor(tensor: PartTensor, owner: Ints, precision: int) -> tuple[Tensor, Grid, list[_Slices]]:
    """Restored values, their integers, and the ways to tell them."""
    slices = len(tensor.values)
    if tensor.values.dtype == torch.bool:
        flat = tensor.values.reshape(slices, -1).cpu().numpy()
        ways = [_Slices("mask", 0.0, _structure(flat), np.zeros(slices, dtype=np.int64), None, True)]
        return tensor.values, Grid(tensor.name, flat.astype(np.int64), 0, owner), ways
    exponent = step_exponent(tensor.values, precision)
    integers = (tensor.values.double() * 2.0**-exponent).round()
    if tensor.mask is not None:
        integers = integers * tensor.mask
    flat = integers.reshape(slices, -1).long().cpu().numpy()
    ways = _ways(flat, tensor.mask, known_range(precision), 1.0 + float(signed_delta(exponent)))
    return integers * 2.0**exponent, Grid(tensor.name, flat, exponent, owner), ways


def _ways(flat: Ints, mask: Tensor | None, known: Range, told: float) -> list[_Slices]:
    """Slices [slices, entries] written out, or as a mask and what it keeps; ``told`` in any case."""
    given = np.ones(flat.shape, dtype=bool) if mask is None else mask.reshape(len(flat), -1).cpu().numpy()
    ways = list(_priced(flat, given, mask is not None, known, told))
    if (flat[given] == 0).any():
        ways += _priced(flat, flat != 0, True, known, told)
    return ways


def _priced(
    flat: Ints, keep: NDArray[np.bool_], sparse: bool, known: Range, told: float
) -> Iterator[_Slices]:
    """The frozen codes of the kept entries; a sparse way pays for the mask as well."""
    numbers = keep.sum(1)
    structure = _structure(keep) if sparse else np.zeros(len(flat))
    tally, price = _counted(flat, keep, known) if _few(flat, known) else _gathered(flat, keep, known)
    for code in candidates(tally, known):
        if isinstance(code, Frozen):
            bits = structure + price(code)
            yield _Slices(_named(code, sparse), told + code.header, bits, numbers, code, sparse)


Price = Callable[[Frozen], Floats]


def _few(flat: Ints, known: Range) -> bool:
    """Whether counting the symbols of each slice takes less room than the slices themselves."""
    return len(flat) * known.size <= flat.size


def _counted(flat: Ints, keep: NDArray[np.bool_], known: Range) -> tuple[Histogram, Price]:
    """Bits per slice from counts [slices, symbols]: one pass over the entries for all codes."""
    cell = flat - known.lo + np.arange(len(flat))[:, None] * known.size
    counts = np.bincount(cell.ravel() if keep.all() else cell[keep], minlength=len(flat) * known.size)
    counts = counts.reshape(len(flat), known.size)
    total = counts.sum(0)
    seen = total.nonzero()[0]
    compact = counts[:, seen].astype(np.float64)
    return Histogram(seen + known.lo, total[seen]), lambda code: compact @ code.prices(seen + known.lo)


def _gathered(flat: Ints, keep: NDArray[np.bool_], known: Range) -> tuple[Histogram, Price]:
    """Bits per slice from the price of each entry."""
    symbols, where = _indexed(flat, known)

    def price(code: Frozen) -> Floats:
        each = code.prices(symbols)[where]
        return np.asarray(each.sum(1) if keep.all() else np.where(keep, each, 0.0).sum(1))

    return _tally(flat[keep], known), price


def _named(code: Frozen, sparse: bool) -> str:
    return f"{code.name}, sparse" if sparse else code.name


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


def step_exponent(values: Tensor, precision: int) -> int:
    """The least e such that all values / 2^e round into the signed range of ``precision`` bits."""
    largest = float(values.abs().max()) if values.numel() else 0.0
    if largest == 0.0:
        return 0
    top = 2 ** (precision - 1) - 1
    return math.ceil(math.log2(largest / (top + 0.499)))


def _structure(flat: NDArray[np.bool_]) -> Floats:
    """Bits per slice of a mask [slices, entries]: how many are kept, and which."""
    kept = flat.sum(1)
    return np.asarray(log2_binomial(flat.shape[1], kept) + elias_delta(kept + 1))
