"""Parts: the numbers that an explanation sends about its mechanism, and what they cost.

A :class:`PartTensor` stacks slices of one role (all decoder rows, say); ``owner`` says which part each slice
belongs to. Parts are numbered 0..C−1; the owner C is the remainder, which is always sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .lengths import Floats, elias_delta, log2_binomial, signed_delta
from .streams import Frozen, Range, StreamCode, shortest
from .tally import Histogram, Ints


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


def whole(name: str, values: Tensor, owner: int, mask: Tensor | None = None) -> PartTensor:
    """One tensor that belongs to one part."""
    one = None if mask is None else mask[None]
    return PartTensor(name, values[None], torch.tensor([owner]), one)


@dataclass(frozen=True, eq=False)
class SentParts:
    """Parts on their grids: what the receiver restores, and what each part costs.

    ``bits[c]`` is b_c; ``remainder`` and ``header`` are paid in any case.
    """

    restored: Mapping[str, Tensor]
    bits: Floats
    remainder: float
    header: float
    numbers: Ints

    @property
    def preamble(self) -> float:
        """Bits that every message pays."""
        return self.header + self.remainder

    def total(self, usage: Ints) -> float:
        """Bits when the parts with positive usage are sent."""
        return self.preamble + float(self.bits[usage > 0].sum())


def send_parts(parts: Parts, precision: int) -> SentParts:
    """Quantise every tensor to ``precision`` bits on a dyadic grid of its own, and price it.

    The precision is told once; each tensor tells the exponent of its step and its stream code.
    """
    if not 2 <= precision <= 32:
        raise PartError(f"the precision of parts is 2 to 32 bits, got {precision}")
    bits, numbers = np.zeros(parts.count + 1), np.zeros(parts.count + 1, dtype=np.int64)
    header, restored = float(elias_delta(precision)), {}
    for tensor in parts.tensors:
        owner = tensor.owner.cpu().numpy()
        if tensor.values.dtype == torch.bool:
            restored[tensor.name], price = tensor.values, _structure(tensor.values)
        else:
            restored[tensor.name], price, told, kept = _send_tensor(tensor, precision)
            header += told
            np.add.at(numbers, owner, kept)
        np.add.at(bits, owner, price)
    return SentParts(restored, bits[:-1], float(bits[-1]), header, numbers)


def _send_tensor(tensor: PartTensor, precision: int) -> tuple[Tensor, Floats, float, Ints]:
    """Restored values, bits per slice, header bits, numbers per slice."""
    exponent = step_exponent(tensor.values, precision)
    integers = (tensor.values.double() * 2.0**-exponent).round()
    flat = integers.reshape(len(integers), -1).long().cpu().numpy()
    keep = np.ones(flat.shape, dtype=bool)
    price = np.zeros(len(flat))
    if tensor.mask is not None:
        keep = tensor.mask.reshape(len(flat), -1).cpu().numpy()
        price += _structure(tensor.mask)
        integers = integers * tensor.mask
    top = 2 ** (precision - 1) - 1
    code = _code(flat[keep], Range(-top, top, known=True))
    prices = np.where(keep, code.prices(flat), 0.0)
    told = code.header + float(signed_delta(exponent))
    return integers * 2.0**exponent, price + prices.sum(1), told, keep.sum(1)


def _code(symbols: Ints, known: Range) -> Frozen:
    code: StreamCode = shortest(Histogram.of(symbols), known, frozen=True)
    assert isinstance(code, Frozen)
    return code


def step_exponent(values: Tensor, precision: int) -> int:
    """The least e such that all values / 2^e round into the signed range of ``precision`` bits."""
    largest = float(values.abs().max()) if values.numel() else 0.0
    if largest == 0.0:
        return 0
    top = 2 ** (precision - 1) - 1
    return math.ceil(math.log2(largest / (top + 0.499)))


def _structure(mask: Tensor) -> Floats:
    """Bits per slice of a Boolean tensor: how many are kept, and which."""
    flat = mask.reshape(len(mask), -1).cpu().numpy()
    kept = flat.sum(1)
    return np.asarray(log2_binomial(flat.shape[1], kept) + elias_delta(kept + 1))


def remainder(names: Sequence[str], values: Mapping[str, Tensor], count: int) -> tuple[PartTensor, ...]:
    """The named tensors as parts that are always sent."""
    return tuple(whole(name, values[name], count) for name in names)
