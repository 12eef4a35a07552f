"""Structure: Boolean masks told as sets within sets, and what that costs.

A mask is told level by level, each level a group of its axes: which blocks hold anything (layers, say), then
which blocks inside these (heads), at last which entries. A block that holds something tells how many of its
blocks do, and which: log2 C(exist, hold). One level of all axes is the plain enumerative code. Where the
receiver knows which entries exist (edges that point forwards), only these are counted.

The cost of a level depends on two sets of axes alone, those told before and those told now; so the best order
and grouping is a shortest path in the lattice of sets of axes, and all of them are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .lengths import Floats, elias_delta, elias_gamma, log2_binomial
from .streams import StreamCode, shortest
from .tally import Histogram, Ints

Bools = NDArray[np.bool_]
COUNTS = ("delta", "uniform", "stream")  # how a level tells how many
COUNT_CHOICE = math.log2(len(COUNTS))
MOST_AXES = 4  # the last axes of a mask with more are one
STRIKING = 4.0  # standard deviations of χ² that chance does not reach
FEW_COUNTS = 16  # a code fitted to fewer counts is not worth its header


@dataclass(frozen=True)
class Level:
    """One step down: the axes told, how the counts of held blocks are told (``code`` for a stream)."""

    axes: tuple[int, ...]
    counts: str
    code: StreamCode | None = None

    @property
    def header(self) -> float:
        """Bits that name the code of the counts, and its parameters."""
        return COUNT_CHOICE + (self.code.header if self.code else 0.0)


@dataclass(frozen=True, eq=False)
class Frame:
    """What both ends know of a mask [slices, *shape]: its shape, who owns slices, which entries exist.

    Where one part owns all slices they are told together, and the first axis is one like the others;
    else each slice stands for itself. ``exists`` [*shape] is Boolean, or None where every entry does.
    """

    slices: int
    shape: tuple[int, ...]
    joined: bool
    exists: Bools | None = None

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """Sizes of the axes that levels are made of; none is 1 unless it is the only one."""
        given = ((self.slices,) if self.joined else ()) + self.shape
        sizes = [size for size in given if size != 1] or [1]
        last = () if len(sizes) < MOST_AXES else (math.prod(sizes[MOST_AXES - 1 :]),)
        return (*sizes[: MOST_AXES - 1], *last)

    @property
    def tells_union(self) -> bool:
        """Whether what any slice keeps may be told before the slices."""
        return not self.joined and self.slices > 1

    def spread(self, mask: Bools) -> Bools:
        """A mask [slices, entries] as [groups, *axes]."""
        return mask.reshape(1 if self.joined else len(mask), *self.axes)

    def existing(self) -> Bools | None:
        """Which entries exist, as [1, *axes]."""
        if self.exists is None:
            return None
        each = self.exists[None]
        if self.joined:
            each = np.broadcast_to(each, (self.slices, *self.exists.shape))
        return each.reshape(1, *self.axes)


@dataclass(frozen=True, eq=False)
class Structure:
    """How a mask is told: its levels, and those of the union of all slices where that comes first."""

    levels: tuple[Level, ...]
    union: tuple[Level, ...] | None = None

    @property
    def label(self) -> str:
        """The axes, level by level: ``0>12`` is rows first."""
        own = ">".join("".join(str(axis) for axis in level.axes) for level in self.levels)
        return own if self.union is None else f"union, {own}"


@dataclass(frozen=True, eq=False)
class MaskPrice:
    """Bits of a mask: once, and for each group (a slice, or all slices of one owner)."""

    structure: Structure
    header: float
    bits: Floats

    @property
    def total(self) -> float:
        """Bits when everything is sent."""
        return self.header + float(self.bits.sum())


def price_mask(mask: Bools, frame: Frame, flat: bool = False) -> MaskPrice:
    """The shortest way to tell a mask [slices, entries], the choice included; bits are [slices].

    Bits of slices that are told together stand at the first. ``flat`` looks at one level only.
    """
    exists = frame.existing()
    array = frame.spread(mask)
    best = _Lattice(array, exists).shortest(flat)
    if frame.tells_union:
        best = min(_with_union(best, array, exists), key=lambda price: price.total)
    bits = np.zeros(len(mask))
    bits[: len(best.bits)] = best.bits
    return replace(best, bits=bits)


def _with_union(plain: MaskPrice, array: Bools, exists: Bools | None) -> Iterator[MaskPrice]:
    """The plain way and, where no slice keeps some entries, the union first; a bit tells them apart."""
    yield replace(plain, header=1.0 + plain.header)
    union: Bools = np.asarray(array.any(0, keepdims=True))
    everything = union.size if exists is None else int(exists.sum())
    if union.sum() < everything:
        whole, inside = _Lattice(union, exists).shortest(), _Lattice(array, union).shortest()
        structure = Structure(inside.structure.levels, whole.structure.levels)
        yield MaskPrice(structure, 1.0 + whole.total + inside.header, inside.bits)


def looks_even(mask: Bools, frame: Frame) -> bool:
    """Whether the counts of a mask along each axis spread as those of random sets do, by χ²."""
    array = frame.spread(mask)
    if array.ndim == 2:
        return True  # of one axis there is one level
    groups, size = len(array), array[0].size if len(array) else 0
    density = array.reshape(groups, -1).mean(1) if size else np.zeros(groups)
    for axis in range(1, array.ndim if size and 0 < density.mean() < 1 else 1):
        others = tuple(a for a in range(1, array.ndim) if a != axis)
        held = np.count_nonzero(array, axis=others).reshape(groups, -1)
        each = size / array.shape[axis]
        spread = np.maximum(each * density * (1 - density), 1e-9)[:, None]
        chi = float(((held - each * density[:, None]) ** 2 / spread).sum())
        if abs(chi - held.size) > STRIKING * math.sqrt(2 * held.size):
            return False
    return True


def order_bits(axes: int, levels: int) -> float:
    """Bits that name the levels: how many (Elias gamma), and the level of each axis."""
    return 0.0 if axes == 1 else float(elias_gamma(levels)) + axes * math.log2(levels)


Path = tuple[tuple[int, int], ...]
"""Steps of (axes told before, axes told now and before), as bit masks."""


@dataclass(eq=False)
class _Lattice:
    """Sets of axes as bit masks; ``array`` and ``exists`` are [groups or 1, *axes]."""

    array: Bools
    exists: Bools | None
    _held: dict[int, Ints] = field(default_factory=dict)
    _there: dict[int, Ints] = field(default_factory=dict)

    @property
    def _all(self) -> int:
        return (1 << self.array.ndim - 1) - 1

    def shortest(self, flat: bool = False) -> MaskPrice:
        """The shortest of all paths from no axes to all axes; or the one step, ``flat``."""
        whole: Path = ((0, self._all),)
        if flat:
            return self._price(whole)
        bound, axes = self._promise(0, self._all, math.inf), self.array.ndim - 1
        best: dict[tuple[int, int], tuple[float, Path]] = {(0, 0): (0.0, ())}
        for told in range(1, self._all + 1):
            for before in _proper_subsets(told):
                step = self._promise(before, told, bound)
                for length in range(axes if step < math.inf else 0):
                    if (before, length) not in best:
                        continue
                    total, path = best[before, length]
                    longer = (total + step, (*path, (before, told)))
                    best[told, length + 1] = min(best.get((told, length + 1), longer), longer)
        ends = [(t + order_bits(axes, n), path) for (told, n), (t, path) in best.items() if told == self._all]
        return min((self._price(path) for path in {whole, min(ends)[1]}), key=lambda price: price.total)

    def _price(self, path: Path) -> MaskPrice:
        """What a path costs once its codes are fitted."""
        header, bits, levels = order_bits(self.array.ndim - 1, len(path)), np.zeros(len(self.array)), []
        for before, told in path:
            group, room, held = self._step(before, told)
            level, counts = _counted(held, room, int(before > 0), _axes(told & ~before))
            bits += np.bincount(group, _subset_bits(room, held) + counts, minlength=len(bits))
            header += level.header
            levels.append(level)
        return MaskPrice(Structure(tuple(levels)), header, bits)

    def _promise(self, before: int, told: int, bound: float) -> float:
        """Bits of a step if a code fits its counts as well as one can; inf where that exceeds the bound."""
        _, room, held = self._step(before, told)
        bits = COUNT_CHOICE + float(_subset_bits(room, held).sum())
        if bits < bound:
            bits += min(
                _could_be(held), *(float(prices.sum()) for prices in _plain(held, room, int(before > 0)))
            )
        return bits if bits <= bound else math.inf

    def _step(self, before: int, told: int) -> tuple[Ints, Ints, Ints]:
        """For each block of ``before`` that holds something: its group, how many blocks it has, and holds."""
        parents = self._blocks(before) > 0 if before else np.ones(self._blocks(0).shape, dtype=bool)
        held = self._children(self._blocks, before, told)[parents]
        return parents.nonzero()[0], self._width(before, told, parents), held

    def _width(self, before: int, told: int, parents: Bools) -> Ints:
        """How many blocks every parent has."""
        if self.exists is None:
            size = math.prod(self.array.shape[axis + 1] for axis in _axes(told & ~before))
            return np.full(int(parents.sum()), size, dtype=np.int64)
        there = self._children(self._existing, before, told)
        return np.broadcast_to(there, parents.shape)[parents]

    def _children(self, blocks: object, before: int, told: int) -> Ints:
        """How many blocks of ``told`` hold something, for each block of ``before``."""
        assert callable(blocks)
        if told == self._all:
            return np.asarray(blocks(before))
        axes = tuple(axis + 1 for axis in _axes(told & ~before))
        return np.asarray((blocks(told) > 0).sum(axes, keepdims=True))

    def _blocks(self, axes: int) -> Ints:
        """How many entries each block of these axes keeps."""
        return _summed(self.array, axes, self._held)

    def _existing(self, axes: int) -> Ints:
        """How many entries of each block exist."""
        assert self.exists is not None
        return _summed(self.exists, axes, self._there)


def _summed(array: Bools, axes: int, known: dict[int, Ints]) -> Ints:
    """Sums of a Boolean array over all axes but these, from sums over fewer; axis 0 stays."""
    whole = (1 << array.ndim - 1) - 1
    if axes not in known:
        if axes == whole:
            known[axes] = array.view(np.int8)
        else:
            missing = _axes(whole & ~axes)
            # the longest missing axis first is the cheapest: what is left is shortest
            first = max(missing, key=lambda axis: array.shape[axis + 1])
            more = _summed(array, axes | 1 << first, known)
            known[axes] = np.asarray(more.sum(first + 1, keepdims=True, dtype=np.int64))
    return known[axes]


def _proper_subsets(told: int) -> Iterator[int]:
    return (subset for subset in range(told) if subset & told == subset)


def _axes(bits: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(MOST_AXES) if bits >> axis & 1)


def _plain(held: Ints, room: Ints, least: int) -> tuple[Floats, Floats]:
    """Prices of counts ``least``..``room`` under codes that are not fitted: Elias delta, all alike."""
    deltas = elias_delta(held - least + 1).astype(np.float64)
    return deltas, np.log2(np.maximum(room - least + 1, 1))


def _counted(held: Ints, room: Ints, least: int, axes: tuple[int, ...]) -> tuple[Level, Floats]:
    """The level with the shortest code of its counts, and the price of each count."""
    plain = dict(zip(COUNTS, _plain(held, room, least), strict=False))
    name = min(plain, key=lambda name: plain[name].sum())
    total = float(plain[name].sum())
    if _could_be(held) < total:
        code = shortest(Histogram.of(held), frozen=True)
        prices = code.prices(held)  # type: ignore[attr-defined]
        if code.header + prices.sum() < total:
            return Level(axes, "stream", code), prices
    return Level(axes, name), plain[name]


def _could_be(held: Ints) -> float:
    """Bits that no code fitted to these counts stays below: their entropy, and the least of a header."""
    if len(held) < FEW_COUNTS:
        return math.inf
    counts = np.bincount(held)
    counts = counts[counts > 0]
    return float((counts * np.log2(len(held) / counts)).sum()) + min(4 * len(counts), 16) + 5


def _subset_bits(room: Ints, held: Ints) -> Floats:
    """log2 C(room, held), each pair looked up once."""
    if len(held) < FEW_COUNTS:
        return np.asarray(log2_binomial(room, held))
    span = int(held.max()) + 1
    pairs, where = np.unique(room * span + held, return_inverse=True)
    return np.asarray(log2_binomial(pairs // span, pairs % span)[where])


def uniform_subset_bits(exist: int, kept: int) -> float:
    """A set of ``kept`` of ``exist``, its size under a uniform code.

    >>> round(uniform_subset_bits(32_000, 68), 1)    # ACDC's Greater-Than circuit: 697.4 + 15
    712.3
    """
    return math.log2(exist + 1) + float(log2_binomial(exist, kept))
