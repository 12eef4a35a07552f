"""Parts on the wire, tensor by tensor as :mod:`parts` prices them; the same code for both ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from . import wire as on
from .low_rank import MOST_BITS, LowRank, is_exact, product
from .part_codes import Masked, Written, known_range
from .part_tensors import Parts, PartTensor, Reference, Through
from .parts import Grid, PartWay, SentParts, combination
from .parts import restored as on_tensor
from .streams import Frozen, Range
from .structure import Bools
from .tally import Ints
from .transmit import stream, stream_code
from .transmit_structure import mask
from .wire import BitstreamError, Wire

FARTHEST = 1100  # exponents of float64 steps


def precision_told(wire: Wire, sent: SentParts | None) -> int:
    """Bits of a number of the parts."""
    given = None if sent is None else np.array([sent.precision])
    precision = int(on.natural(wire, given, 1)[0])
    if not 2 <= precision <= 32:
        raise BitstreamError(f"a precision of {precision} bits")
    return precision


def parts_told(
    wire: Wire, skeleton: Parts, precision: int, used: Ints, sent: SentParts | None
) -> tuple[Grid, ...]:
    """The grids of all tensors; slices of parts with a zero in ``used`` [C] arrive as zeros.

    Of ``skeleton`` shapes, owners, kinds and allowed entries are used, which both ends know.
    """
    told = [None] * len(skeleton.tensors) if sent is None else sent.chosen(used)
    used = np.append(used > 0, True)
    grids: list[Grid] = []
    for index, way in enumerate(told):
        knows = None if sent is None or way is None else Told(way, sent.grids[index])
        grids.append(tensor_told(wire, skeleton, index, precision, used, knows, grids))
    return tuple(grids)


def restored(skeleton: Parts, grids: Sequence[Grid]) -> dict[str, Tensor]:
    """The tensors that the receiver makes of its grids."""
    return {t.name: on_tensor(t, grid) for t, grid in zip(skeleton.tensors, grids, strict=True)}


@dataclass(frozen=True, eq=False)
class Told:
    """What the sender knows of a tensor: the way it goes, its integers."""

    way: PartWay
    grid: Grid


def tensor_told(
    wire: Wire,
    skeleton: Parts,
    index: int,
    precision: int,
    used: Ints,
    told: Told | None,
    before: Sequence[Grid],
) -> Grid:
    """One tensor, after those ``before`` it."""
    tensor = skeleton.tensors[index]
    sending = np.nonzero(used[tensor.owners])[0]
    method = _method(wire, skeleton.methods(index), told)
    name, exponent = tensor.name, 0
    if method is Reference:
        telling = told.way.telling if told is not None else None
        reference = _reference(wire, skeleton.references(index), telling)
        other = before[reference.earlier]
        integers = np.zeros((len(tensor.owners), math.prod(tensor.frame.shape)), dtype=np.int64)
        integers[sending] = reference.of(other.integers, tuple(tensor.values.shape))[sending]
        return Grid(name, integers, other.exponent, tensor.owners)
    if not tensor.is_structure:
        exponent = int(on.integer(wire, None if told is None else np.array([told.grid.exponent]), 1)[0])
        if abs(exponent) > FARTHEST:
            raise BitstreamError(f"{name}: a step of 2^{exponent}")
    ways = {Written: _written, Masked: _masked, LowRank: _low_rank}
    if method is Through:
        integers = _through(wire, tensor, skeleton.count, used, exponent, told)
    else:
        integers = ways[method](_End(wire, tensor, known_range(precision), sending, exponent), told)
    return Grid(name, integers, exponent, tensor.owners)


def _method(wire: Wire, methods: list[type], told: Told | None) -> type:
    """Which of the methods: as many ones as there are before it, and a zero unless it is the last."""
    index = None if told is None else methods.index(type(told.way.telling))
    for here in range(len(methods) - 1):
        if not on.bits(wire, None if index is None else np.array([int(index > here)]), 1)[0]:
            return methods[here]
    return methods[-1]


def _reference(wire: Wire, references: list[Reference], telling: object) -> Reference:
    given = None if telling is None else np.array([references.index(telling)])  # type: ignore[arg-type]
    return references[int(wire.uniform(given, len(references), 1)[0])]


@dataclass(frozen=True, eq=False)
class _End:
    """One end of the wire, and what it knows of the tensor: the slices that are sent, the exponent."""

    wire: Wire
    tensor: PartTensor
    known: Range
    sending: Ints
    exponent: int

    def blank(self) -> Ints:
        """Integers [slices, entries] before anything arrives."""
        return np.zeros((len(self.tensor.owners), math.prod(self.tensor.frame.shape)), dtype=np.int64)

    def numbers(self, keep: Bools, code: Frozen, told: Told | None) -> Ints:
        """The integers where ``keep`` [slices, entries] says so, under one code."""
        integers = self.blank()
        given = None if told is None else told.grid.integers[keep]
        integers[keep] = stream(self.wire, given, int(keep.sum()), code)
        return integers

    def code(self, code: object, known: Range | None) -> Frozen:
        """The code of a stream of integers."""
        arrived = stream_code(self.wire, code, known)  # type: ignore[arg-type]
        if not isinstance(arrived, Frozen):
            raise BitstreamError(f"{self.tensor.name} under a code that parts do not use")
        return arrived


def _written(end: _End, told: Told | None) -> Ints:
    """Every entry that exists."""
    telling = None if told is None else told.way.telling
    code = end.code(getattr(telling, "code", None), end.known)
    keep = np.zeros(end.blank().shape, dtype=bool)
    exists = end.tensor.frame.exists
    keep[end.sending] = True if exists is None else exists.reshape(-1)
    return end.numbers(keep, code, told)


def _masked(end: _End, told: Told | None) -> Ints:
    """Which entries are kept, and these; structure is nothing but the mask."""
    kept = structure = telling = None
    if told is not None:
        telling = told.way.telling
        assert isinstance(telling, Masked)
        structure = telling.structure
        kept = told.grid.integers != 0 if telling.given is None else telling.given
    keep = mask(end.wire, kept, structure, end.tensor.frame, end.sending)
    if end.tensor.is_structure:
        return keep.astype(np.int64)
    return end.numbers(keep, end.code(getattr(telling, "code", None), end.known), told)


def _low_rank(end: _End, told: Told | None) -> Ints:
    """The factors of every matrix that is sent, and the residual."""
    given = None if told is None else told.way.telling
    assert given is None or isinstance(given, LowRank)
    *_, a, b = end.tensor.frame.shape
    each = math.prod(end.tensor.frame.shape[:-2])
    numbers = None if given is None else np.array([given.rank, given.precision])
    rank, precision = (int(n) for n in on.natural(end.wire, numbers, 2))
    if rank > min(a, b) or not is_exact(rank, precision):
        raise BitstreamError(f"{end.tensor.name}: factors of rank {rank} and {precision} bits")
    exponents = on.integer(end.wire, None if given is None else np.array(given.exponents), 2)
    code = end.code(None if given is None else given.factor_code, known_range(precision))
    matrices = (end.sending[:, None] * each + np.arange(each)).ravel()
    left = _factor(end.wire, None if given is None else given.left[matrices], (len(matrices), a, rank), code)
    right = _factor(
        end.wire, None if given is None else given.right[matrices], (len(matrices), rank, b), code
    )
    integers = end.blank()
    predicted = product(left, right, int(exponents.sum()) - end.exponent)
    predicted = predicted.reshape(integers[end.sending].shape)
    residual_code = end.code(None if given is None else given.residual_code, None)
    residual = None if told is None else (told.grid.integers[end.sending] - predicted).ravel()
    integers[end.sending] = predicted + stream(end.wire, residual, predicted.size, residual_code).reshape(
        predicted.shape
    )
    return integers


def _factor(wire: Wire, given: Ints | None, shape: tuple[int, ...], code: Frozen) -> Ints:
    flat = None if given is None else given.ravel()
    return stream(wire, flat, math.prod(shape), code).reshape(shape)


def _through(
    wire: Wire, tensor: PartTensor, parts: int, used: Ints, exponent: int, told: Told | None
) -> Ints:
    """The rows of the second dictionary, the codes of the slices that are sent, and what is left of these."""
    given = None if told is None else told.way.telling
    assert given is None or isinstance(given, Through)
    assert tensor.through is not None
    grids: list[Grid] = []
    for inner, sent in zip(
        tensor.through.tensors(tensor.owner, parts),
        (None, None) if given is None else (given.rows, given.codes),
        strict=True,
    ):
        skeleton, precision = Parts(parts, (inner,)), precision_told(wire, sent)
        if precision > MOST_BITS:
            raise BitstreamError(f"{tensor.name}: a second dictionary of {precision} bits")
        grids += parts_told(wire, skeleton, precision, used[:-1], sent)
    integers = combination(grids[0], grids[1], exponent)
    sending = used[tensor.owners] > 0
    end = _End(wire, tensor, known_range(MOST_BITS), np.nonzero(sending)[0], exponent)
    code = end.code(None if given is None else given.residual_code, None)
    left = None if told is None else (told.grid.integers - integers)[sending].ravel()
    arrived = stream(wire, left, int(sending.sum()) * integers.shape[1], code)
    integers[sending] += arrived.reshape(-1, integers.shape[1])
    return integers
