"""What sending a tensor costs, as a differentiable function of which of its numbers are likely to be sent.

At a fixed precision a tensor is a list of symbols. If symbol s is sent c_s times, in expectation, a table of
counts costs Σ c_s log2(n / c_s) bits, the entropy of what is sent; with weights that are shut among the zeros
this prices a mask and what it keeps at once. The ledger's real length of the whole tensor (its headers, and
codes that see more than counts) over this entropy calibrates the price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from assay.mdl import Parts, one_part
from assay.mdl.parts import send_parts
from assay.models import Network
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SoftTensor:
    """One weight as symbols [its shape], 0 standing for zero; ``scale`` is ledger bits per bit of entropy."""

    symbols: Tensor
    kinds: int
    bits: float
    scale: float

    @classmethod
    def of(cls, integers: Tensor, bits: float) -> SoftTensor:
        """Calibrated so that all of it costs ``bits``."""
        nonzero = integers[integers != 0]
        _, symbols = torch.unique(nonzero, return_inverse=True)
        placed = torch.zeros_like(integers).masked_scatter(integers != 0, symbols + 1)
        kinds = int(placed.max()) + 1 if placed.numel() else 1
        whole = float(entropy_bits(torch.bincount(placed.flatten(), minlength=kinds).float()))
        return cls(placed, kinds, bits, bits / whole if whole > 0 else 1.0)

    def entries(self, opened: Tensor) -> Tensor:
        """Bits where each entry is kept with a probability, and a zero is told in its place otherwise."""
        kept = opened.new_zeros(self.kinds).index_add(0, self.symbols.flatten(), opened.flatten())
        zeros = opened.numel() - kept[1:].sum()
        return self.scale * entropy_bits(torch.cat([zeros[None], kept[1:]]))

    def by_slice(self, axis: int) -> Tensor:
        """How often each symbol stands in each slice along an axis: [slices, kinds]."""
        rows = self.symbols.movedim(axis, 0)
        rows = rows.reshape(len(rows), -1)
        cell = rows + self.kinds * torch.arange(len(rows), device=rows.device)[:, None]
        return torch.bincount(cell.flatten(), minlength=len(rows) * self.kinds).reshape(len(rows), -1).float()


def entropy_bits(counts: Tensor) -> Tensor:
    """Σ c log2(n / c), with 0 log 0 = 0."""
    n = counts.sum().clamp_min(1e-9)
    return (counts * (n.log2() - counts.clamp_min(1e-9).log2())).sum()


def soft_tensors(network: Network, precision: int) -> tuple[dict[str, SoftTensor], Network]:
    """Every weight at a precision, as the ledger would code it, and the network so rounded."""
    own = network.parameters()
    parts = Parts(0, tuple(one_part(n, value, 0) for n, value in own.items()))
    sent = send_parts(parts, precision, thorough=False)
    told = dict(_told(own, sent.grids, sent.chosen(np.zeros(0, dtype=np.int64))))
    return told, network.with_weights({n: sent.restored[n][0].to(value) for n, value in own.items()})


def _told(own: dict[str, Tensor], grids: object, ways: object) -> Iterator[tuple[str, SoftTensor]]:
    for (name, value), grid, way in zip(own.items(), grids, ways, strict=True):  # type: ignore[call-overload]
        integers = torch.from_numpy(np.ascontiguousarray(grid.integers)).reshape(value.shape)
        yield name, SoftTensor.of(integers.to(value.device), way.total(np.ones(1)))
