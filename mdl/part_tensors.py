"""What an explanation sends about its mechanism: tensors of numbers and of structure, and whose they are.

A :class:`PartTensor` stacks slices of one role (all decoder rows, say); ``owner`` says which part each slice
belongs to. Parts are numbered 0..C−1; the owner C is the remainder, which is always sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .low_rank import LowRank, Spectrum, is_matrix
from .part_codes import Masked, Written
from .streams import Frozen
from .structure import Frame
from .tally import Ints

if TYPE_CHECKING:
    from .parts import SentParts


class PartError(ValueError):
    """Parts that do not fit together."""


@dataclass(frozen=True, eq=False)
class Combination:
    """Slices as sparse combinations: ``codes`` [slices, m] times ``rows`` [m, d], of a second dictionary.

    They need not be the slices: what is left is told. The receiver knows m.
    """

    codes: Tensor
    rows: Tensor

    def scaled(self, by: Tensor) -> Combination:
        """The combinations of slices times ``by`` [slices], on the CPU."""
        return Combination(self.codes.cpu() * by[:, None], self.rows.cpu())

    def tensors(self, owner: Tensor, remainder: int) -> tuple[PartTensor, PartTensor]:
        """The rows, which belong to the remainder, and the codes, slice by slice."""
        return one_part("rows", self.rows, remainder), PartTensor("codes", self.codes, owner)


@dataclass(frozen=True, eq=False)
class PartTensor:
    """One role of the parts: ``values`` [slices, …], the part of each slice, and which entries exist.

    Entries outside ``mask`` are 0 and not sent; the mask itself is. Boolean ``values`` are structure, sent as
    masks are. ``allowed`` [… of a slice] are the entries that exist at all, known to the receiver as shapes
    are (edges that point forwards, say); the others are 0 and cost nothing. Slices that are vectors may be
    told ``through`` a second dictionary, where that is shorter.
    """

    name: str
    values: Tensor
    owner: Tensor
    mask: Tensor | None = None
    allowed: Tensor | None = None
    through: Combination | None = None

    def __post_init__(self) -> None:
        if self.owner.shape != self.values.shape[:1]:
            raise PartError(f"{self.name}: {self.values.shape[0]} slices, owners {tuple(self.owner.shape)}")
        if self.mask is not None and self.mask.shape != self.values.shape:
            raise PartError(f"{self.name}: mask {tuple(self.mask.shape)}, values {tuple(self.values.shape)}")
        if not self._finite():
            raise PartError(f"{self.name}: a part holds NaN or infinite numbers")
        if self.allowed is not None:
            self._check_allowed(self.allowed)
        if self.through is not None:
            self._check_through(self.through)

    def _finite(self) -> bool:
        """Whether all values are finite: NaN and infinity show in the extremes."""
        if not (self.values.is_floating_point() and self.values.numel()):
            return True
        return all(bool(torch.isfinite(end)) for end in self.values.aminmax())

    def _check_through(self, through: Combination) -> None:
        plain = self.mask is None and self.allowed is None and not self.is_structure
        if not plain or self.values.ndim != 2:
            raise PartError(f"{self.name}: only whole vectors of numbers are told through a dictionary")
        codes, rows = tuple(through.codes.shape), tuple(through.rows.shape)
        slices, d = self.values.shape
        if len(codes) != 2 or codes[0] != slices or rows != (codes[1], d):
            raise PartError(
                f"{self.name}: codes {codes} of rows {rows} do not make values {tuple(self.values.shape)}"
            )

    def _check_allowed(self, allowed: Tensor) -> None:
        if allowed.dtype != torch.bool or allowed.shape != self.values.shape[1:]:
            got, want = (allowed.dtype, tuple(allowed.shape)), tuple(self.values.shape[1:])
            raise PartError(f"{self.name}: allowed is {got[0]} {got[1]}, expected torch.bool {want}")
        outside = ~allowed.to(self.values.device)
        kept = self.values if self.mask is None else self.mask
        if strays := int((kept[:, outside] != 0).sum()):
            raise PartError(f"{self.name}: {strays} entries are not zero where nothing is allowed")

    @property
    def is_structure(self) -> bool:
        """Whether the values are Boolean."""
        return self.values.dtype == torch.bool

    @property
    def second(self) -> int:
        """How many rows the dictionary has that it may be told through; 0 where there is none."""
        return 0 if self.through is None else len(self.through.rows)

    @cached_property
    def owners(self) -> Ints:
        """``owner`` as an array [slices]."""
        return self.owner.cpu().numpy()

    @cached_property
    def alike(self) -> bool:
        """Whether all slices, of several owners, are views of one (a lookup table's copies)."""
        several = len(self.values) > 1 and not self.frame.joined
        return several and all(t is None or t.stride(0) == 0 for t in (self.values, self.mask))

    @cached_property
    def frame(self) -> Frame:
        """What the receiver knows of its masks."""
        allowed = None if self.allowed is None else self.allowed.cpu().numpy()
        one_owner = bool((self.owners == self.owners[:1]).all())
        return Frame(len(self.values), tuple(self.values.shape[1:]), one_owner, allowed)

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """Singular values of its slices; None where they are no matrices or too large."""
        if self.is_structure or self.alike or not is_matrix(self.values.shape[1:]):
            return None
        if not self.values.numel():
            return None
        return Spectrum.of(self.values if self.mask is None else self.values * self.mask)


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

    def references(self, index: int) -> list[Reference]:
        """Which tensors before this one it may be the same as: of its shape, and sent whenever it is sent."""
        tensor = self.tensors[index]
        shape = tuple(tensor.values.shape)
        turned = (shape[0], shape[2], shape[1]) if len(shape) == 3 else None
        return [
            Reference(earlier, way)
            for earlier, other in enumerate(self.tensors[:index])
            for way, like in ((False, shape), (True, turned))
            if tuple(other.values.shape) == like and self._goes_with(other, tensor)
        ]

    def _goes_with(self, other: PartTensor, tensor: PartTensor) -> bool:
        """Whether one tensor is of the same kind as another, and each of its slices sent with the other's."""
        always = (other.owners == self.count) | (other.owners == tensor.owners)
        return other.is_structure == tensor.is_structure and bool(always.all())

    def methods(self, index: int) -> list[type]:
        """How a tensor may travel, by what the receiver knows of it."""
        return self._methods[index]

    @cached_property
    def _methods(self) -> list[list[type]]:
        methods = []
        for index, tensor in enumerate(self.tensors):
            known: list[type] = [Masked] if tensor.is_structure else [Written, Masked]
            if not tensor.is_structure and is_matrix(tuple(tensor.values.shape[1:])):
                known.append(LowRank)
            if tensor.through is not None:
                known.append(Through)
            methods.append([*known, Reference] if self.references(index) else known)
        return methods


def one_part(
    name: str, values: Tensor, owner: int, mask: Tensor | None = None, allowed: Tensor | None = None
) -> PartTensor:
    """One tensor that belongs to one part; ``mask`` and ``allowed`` have its shape."""
    one = None if mask is None else mask[None]
    return PartTensor(name, values[None], torch.tensor([owner]), one, allowed)


@dataclass(frozen=True)
class Reference:
    """A tensor that equals an earlier one, or its slices ``turned`` (transposed): nothing more is sent."""

    earlier: int
    turned: bool

    def of(self, integers: Ints, shape: tuple[int, ...]) -> Ints:
        """The integers [slices, entries] of a tensor of this shape, from those of the earlier one."""
        if not self.turned:
            return integers
        turned = integers.reshape(shape[0], shape[2], shape[1]).transpose(0, 2, 1)
        return turned.reshape(integers.shape)


@dataclass(frozen=True, eq=False)
class Through:
    """A tensor told as ``codes`` of the ``rows`` of a second dictionary, and what is left under one code."""

    rows: SentParts
    codes: SentParts
    residual_code: Frozen
