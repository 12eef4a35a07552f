"""Parts on their grids, and what sending them costs.

How a tensor travels is its *method*: written out, as a mask and what it keeps, as factors of low rank and a
residual, through a second dictionary, or as the same as a tensor before it. What the receiver knows of the
tensor says which methods there are to choose from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .lengths import Floats, elias_delta, signed_delta
from .low_rank import low_rank_way
from .part_codes import SlicePrices, boolean_way, known_range, numeric_ways, step_exponent
from .part_tensors import Combination, PartError, Parts, PartTensor, Reference, Through
from .second_dictionary import combined, precisions
from .streams import Frozen, shortest
from .tally import Histogram, Ints

CACHED = 2**18  # entries that are worked on at a time


@dataclass(frozen=True, eq=False)
class PartWay:
    """One way to code a tensor: ``header`` once, then ``bits`` [C + 1] for each part's slices.

    ``telling`` is what the bitstream needs: a :class:`Written`, :class:`Masked`, :class:`LowRank`,
    :class:`Through` or :class:`Reference`.
    """

    name: str
    header: float
    bits: Floats
    telling: object = None

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

    tensors: tuple[PartTensor, ...]
    ways: tuple[tuple[PartWay, ...], ...]
    header: float
    numbers: Ints
    precision: int
    grids: tuple[Grid, ...]

    @cached_property
    def restored(self) -> Mapping[str, Tensor]:
        """What the receiver makes of the grids, by name."""
        return {t.name: restored(t, grid) for t, grid in zip(self.tensors, self.grids, strict=True)}

    def total(self, usage: Ints) -> float:
        """Bits when the parts with positive usage are sent."""
        return self.header + math.fsum(way.total(_sent(usage)) for way in self.chosen(usage))

    def chosen(self, usage: Ints) -> list[PartWay]:
        """The shortest way for each tensor."""
        return [min(ways, key=lambda way: way.total(_sent(usage))) for ways in self.ways]

    def headers(self, usage: Ints) -> float:
        """Bits that are paid before the first number."""
        return self.header + math.fsum(way.header for way in self.chosen(usage))

    def settled(self) -> SentParts:
        """The same, each tensor told in the way that is shortest where all parts are sent."""
        everyone = np.ones(len(self.numbers) - 1, dtype=np.int64)
        return replace(self, ways=tuple((way,) for way in self.chosen(everyone)))


def _sent(usage: Ints) -> Floats:
    """1 for each part that is sent, the remainder last."""
    return np.append(usage > 0, True).astype(np.float64)


def send_parts(parts: Parts, precision: int, thorough: bool = True) -> SentParts:
    """Quantise every tensor to ``precision`` bits on a dyadic grid of its own, and price it.

    The precision is told once; each tensor tells its method, the exponent of its step and its codes.
    Factors of low rank, and levels in what rounds to zero, are looked for unless it has to be quick.
    """
    if not 2 <= precision <= 32:
        raise PartError(f"the precision of parts is 2 to 32 bits, got {precision}")
    numbers = np.zeros(parts.count + 1, dtype=np.int64)
    grids: list[Grid] = []
    ways = []
    for index, tensor in enumerate(parts.tensors):
        grids.append(_on_grid(tensor, precision))
        priced = [*_ways(tensor, grids[-1], precision, thorough), *_repeated(parts, index, grids)]
        methods = parts.methods(index)
        told = [_by_part(way, tensor.owners, parts.count + 1, methods) for way in priced]
        if thorough and tensor.through is not None and len(tensor.values):
            told.append(_through(tensor, tensor.through, grids[-1], parts.count, methods))
        ways.append(tuple(told))
        np.add.at(numbers, tensor.owners, priced[0].numbers)
    return SentParts(
        parts.tensors,
        tuple(ways),
        float(elias_delta(precision)),
        numbers,
        precision,
        tuple(grids),
    )


def restored(tensor: PartTensor, grid: Grid) -> Tensor:
    """What the receiver makes of a grid: the shape, kind and device of the tensor are known to it."""
    told = grid.integers[:1].copy() if grid.integers.strides[0] == 0 else grid.integers
    integers = torch.from_numpy(told).reshape(len(told), *tensor.values.shape[1:]).to(tensor.values.device)
    values = integers.bool() if tensor.is_structure else integers.double() * 2.0**grid.exponent
    return values.expand(tensor.values.shape)


def method_bits(method: int, methods: int) -> int:
    """Bits that name one of so many methods: a truncated unary code."""
    return min(method + 1, methods - 1)


def _by_part(way: SlicePrices, owner: Ints, parts: int, methods: Sequence[type]) -> PartWay:
    bits = np.bincount(owner, way.bits, minlength=parts).astype(np.float64)
    named = method_bits(methods.index(type(way.telling)), len(methods))
    return PartWay(way.name, named + way.header, bits, way.telling)


def _on_grid(tensor: PartTensor, precision: int) -> Grid:
    """The integers of a tensor; slices that are all alike are rounded once."""
    values, mask = tensor.values, tensor.mask
    if tensor.alike:
        values, mask = values[:1], None if mask is None else mask[:1]
    exponent = 0 if tensor.is_structure else step_exponent(values, precision)
    integers = values.long() if tensor.is_structure else _rounded(values, exponent)
    if mask is not None:
        integers = integers * mask
    flat = integers.reshape(len(values), math.prod(values.shape[1:])).cpu().numpy()
    if tensor.alike:
        flat = np.broadcast_to(flat, (len(tensor.values), flat.shape[1]))
    return Grid(tensor.name, flat, exponent, tensor.owners)


def _rounded(values: Tensor, exponent: int) -> Tensor:
    """round(values / 2^exponent) as int64, some slices at a time: what is in the cache is rounded fast."""
    integers = torch.empty(values.shape, dtype=torch.int64, device=values.device)
    size = max(1, CACHED // max(values[:1].numel(), 1))
    for first in range(0, len(values), size):
        block = slice(first, first + size)
        integers[block] = (values[block].double() * 2.0**-exponent).round_()
    return integers


def _ways(tensor: PartTensor, grid: Grid, precision: int, thorough: bool) -> list[SlicePrices]:
    """The ways to tell a tensor by itself."""
    first = slice(0, 1) if tensor.alike else slice(None)
    flat = grid.integers[first]
    if tensor.is_structure:
        ways = [boolean_way(flat != 0, tensor.frame)]
    else:
        given = None if tensor.mask is None else tensor.mask[first].reshape(flat.shape).cpu().numpy()
        told = float(signed_delta(grid.exponent))
        ways = list(numeric_ways(flat, given, known_range(precision), tensor.frame, thorough))
        if thorough and tensor.spectrum is not None:
            found = low_rank_way(tensor.spectrum, flat, grid.exponent, min(way.total for way in ways))
            ways += [found] if found else []
        ways = [_dearer(way, told) for way in ways]
    return [_for_all(way, len(grid.integers)) for way in ways]


def _dearer(way: SlicePrices, told: float) -> SlicePrices:
    return replace(way, header=way.header + told)


def _for_all(way: SlicePrices, slices: int) -> SlicePrices:
    """Prices of one slice for all that are like it."""
    bits, numbers = np.broadcast_to(way.bits, slices), np.broadcast_to(way.numbers, slices)
    return replace(way, bits=bits, numbers=numbers)


def _through(
    tensor: PartTensor, through: Combination, grid: Grid, parts: int, methods: Sequence[type]
) -> PartWay:
    """The tensor through a second dictionary: its rows are told once, codes and residual slice by slice."""
    told = precisions(through, grid.integers, grid.exponent)
    rows, codes = (
        send_parts(Parts(parts, (each,)), precision).settled()
        for each, precision in zip(through.tensors(tensor.owner, parts), told, strict=True)
    )
    left = residual(rows.grids[0], codes.grids[0], grid)
    code = shortest(Histogram.of(left), frozen=True)
    assert isinstance(code, Frozen)
    symbols, where = np.unique(left, return_inverse=True)
    each = code.prices(symbols)[where].reshape(left.shape).sum(1)
    ways = (rows.ways[0][0], codes.ways[0][0])
    header = float(signed_delta(grid.exponent)) + rows.header + codes.header + code.header
    return PartWay(
        f"through {len(through.rows)} rows of {told[0]} bits, {code.name}",
        method_bits(methods.index(Through), len(methods)) + header + math.fsum(way.header for way in ways),
        ways[0].bits + ways[1].bits + np.bincount(tensor.owners, each, minlength=parts + 1),
        Through(rows, codes, code),
    )


def residual(rows: Grid, codes: Grid, grid: Grid) -> Ints:
    """What is left of a grid beside a combination of rows."""
    return grid.integers - combination(rows, codes, grid.exponent)


def combination(rows: Grid, codes: Grid, exponent: int) -> Ints:
    """Integers [slices, d] at an exponent from the grids of a second dictionary and of codes."""
    second = rows.integers.reshape(codes.integers.shape[1], -1)
    return combined(codes.integers, second, rows.exponent + codes.exponent - exponent)


def _repeated(parts: Parts, index: int, grids: list[Grid]) -> Iterator[SlicePrices]:
    """The tensor as one that was told before, if it is."""
    if Reference not in parts.methods(index):
        return
    references, mine = parts.references(index), grids[index]
    for reference in references:
        other = grids[reference.earlier]
        same = reference.of(other.integers, parts.tensors[index].values.shape)
        if other.exponent == mine.exponent and np.array_equal(same, mine.integers):
            nothing = np.zeros(len(mine.integers))
            name = f"same as {other.name}"
            yield SlicePrices(name, math.log2(len(references)), nothing, nothing.astype(np.int64), reference)
            return
