"""Masks on the wire, level by level as :mod:`structure` prices them."""

from __future__ import annotations

import math

import numpy as np

from . import wire as on
from .structure import COUNTS, Bools, Frame, Level, Structure
from .tally import Ints
from .transmit import stream, stream_code
from .wire import BitstreamError, Wire


def mask(wire: Wire, given: Bools | None, structure: Structure | None, frame: Frame, sending: Ints) -> Bools:
    """A mask [slices, entries], told for the slices in ``sending``; the others arrive empty.

    The sender gives the whole mask: the union is one of all slices, sent or not. Slices that are told
    together are all sent, or none is.
    """
    arrived = np.zeros((frame.slices, math.prod(frame.shape)), dtype=bool)
    exists = frame.existing()
    if _union_first(wire, structure, frame):
        whole = None if given is None else np.asarray(frame.spread(given).any(0, keepdims=True))
        exists = _levels(
            wire, whole, None if structure is None else structure.union, exists, (1, *frame.axes)
        )
    groups = min(1, len(sending)) if frame.joined else len(sending)
    told = None if given is None else frame.spread(given if frame.joined else given[sending])[:groups]
    told = _levels(wire, told, None if structure is None else structure.levels, exists, (groups, *frame.axes))
    arrived[sending] = told.reshape(len(sending), arrived.shape[1])
    return arrived


def _union_first(wire: Wire, structure: Structure | None, frame: Frame) -> bool:
    if not frame.tells_union:
        return False
    given = None if structure is None else np.array([structure.union is not None])
    return bool(on.bits(wire, given, 1)[0])


def _levels(
    wire: Wire,
    given: Bools | None,
    levels: tuple[Level, ...] | None,
    exists: Bools | None,
    shape: tuple[int, ...],
) -> Bools:
    """A mask [groups, *axes] in its levels; only what ``exists`` [1, *axes] can be held."""
    order = _order(wire, levels, len(shape) - 1)
    axes = [0, *(axis + 1 for level in order for axis in level)]
    sizes = (shape[0], *(math.prod(shape[axis + 1] for axis in level) for level in order))
    there = np.broadcast_to(True if exists is None else exists, shape).transpose(axes).reshape(sizes)
    wanted = None if given is None else given.transpose(axes).reshape(sizes)
    held: Bools = np.ones(shape[0], dtype=bool)
    for depth in range(1, len(sizes)):
        below = tuple(range(depth + 1, len(sizes)))
        blocks = None if wanted is None else np.asarray(wanted.any(below))
        level = None if levels is None else levels[depth - 1]
        held = _step(wire, blocks, level, held, np.asarray(there.any(below)))
    return held.reshape([shape[axis] for axis in axes]).transpose(np.argsort(axes))


def _order(wire: Wire, levels: tuple[Level, ...] | None, axes: int) -> list[list[int]]:
    """Which axes each level tells."""
    if axes == 1:
        return [[0]]
    count = int(on.natural(wire, None if levels is None else np.array([len(levels)]), 1, gamma=True)[0])
    if count > axes:
        raise BitstreamError(f"a mask of {axes} axes in {count} levels")
    level_of = None
    if levels is not None:
        level_of = np.array(
            [next(i for i, lv in enumerate(levels) if axis in lv.axes) for axis in range(axes)]
        )
    told = wire.uniform(level_of, count, axes)
    order = [[axis for axis in range(axes) if told[axis] == i] for i in range(count)]
    if not all(order):
        raise BitstreamError("a mask with a level of no axes")
    return order


def _step(wire: Wire, blocks: Bools | None, level: Level | None, parents: Bools, there: Bools) -> Bools:
    """Which blocks [*parents, size] hold something, for parents [*parents] that do."""
    where = parents.nonzero()
    exist = there[where]
    widths = exist.sum(-1)
    given = None if blocks is None else blocks[where]
    least = 0 if parents.ndim == 1 else 1
    sizes = _counts(wire, None if given is None else given.sum(-1), level, least, widths)
    # what exists stands first in every row, in its order
    places = np.argsort(~exist, axis=-1, kind="stable")
    sorted_ = None if given is None else np.take_along_axis(given, places, -1).astype(np.int64)
    members = on.subsets(wire, sorted_, sizes, widths)
    found = np.zeros(exist.shape, dtype=bool)
    np.put_along_axis(found, places[:, : members.shape[1]], members == 1, -1)
    held = np.zeros(there.shape, dtype=bool)
    held[where] = found
    return held


def _counts(wire: Wire, given: Ints | None, level: Level | None, least: int, widths: Ints) -> Ints:
    """How many blocks are held by each parent that holds any: ``least`` to ``widths``."""
    index = None if level is None else np.array([COUNTS.index(level.counts)])
    name = COUNTS[int(wire.uniform(index, len(COUNTS), 1)[0])]
    if name == "stream":
        told = stream(wire, given, len(widths), stream_code(wire, None if level is None else level.code))
    elif name == "delta":
        told = on.natural(wire, None if given is None else given - least + 1, len(widths)) + least - 1
    else:
        told = np.zeros(len(widths), dtype=np.int64)
        for width in np.unique(widths):
            here = widths == width
            more = None if given is None else given[here] - least
            told[here] = wire.uniform(more, max(int(width) - least + 1, 1), int(here.sum())) + least
    if (told < least).any() or (told > widths).any():
        raise BitstreamError("a mask that holds more than there is")
    return told
