"""What stands in for a write that a reader is not to hear: nothing, a mean, or another datum's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network
from torch import Tensor

from .graph import Graph
from .streams import written

DonorName = Literal["zero", "mean", "mean-positional", "resample"]
CHUNK = 64
SEED_BITS = 32


@dataclass(frozen=True, eq=False)
class Donor:
    """A donor rule for a graph's sources.

    ``means`` [positions or 1, sources, d] for the two means; ``inputs`` [n, positions] and a ``seed`` for
    resampling: datum i borrows from datum π(i), with π drawn from the seed.
    """

    name: DonorName = "zero"
    means: Tensor | None = None
    inputs: Tensor | None = None
    seed: int = 0

    @classmethod
    def of(cls, name: str, network: Network, graph: Graph, inputs: Tensor, seed: int = 0) -> Donor:
        """The rule of that name on these inputs; raises :class:`ExplanationError` for an unknown name."""
        if name == "zero":
            return cls()
        if name == "mean":
            return cls("mean", mean_writes(network, graph, inputs).mean(0, keepdim=True))
        if name == "mean-positional":
            return cls("mean-positional", mean_writes(network, graph, inputs))
        if name == "resample":
            if not 0 <= seed < 2**SEED_BITS:
                raise ExplanationError(f"donor resample: the seed is 0 to 2^{SEED_BITS} - 1, got {seed}")
            return cls("resample", None, inputs, seed)
        raise ExplanationError(f"donor {name!r} is not one of {', '.join(get_args(DonorName))}")

    @property
    def positions(self) -> int:
        """How many positions the rule tells apart."""
        return 1 if self.means is None else self.means.shape[0]


def mean_writes(network: Network, graph: Graph, inputs: Tensor) -> Tensor:
    """Mean over inputs [n, positions] of what each source writes: [positions, sources, d]."""
    total = torch.zeros((), dtype=torch.float64, device=network.device)
    for tokens in torch.split(inputs.to(network.device), CHUNK):
        total = total + written(network.module, graph, tokens).double().sum(0)
    return (total / len(inputs)).to(network.dtype)


class Partners:
    """Which datum lends its writes to which: a permutation of the inputs, drawn from a seed."""

    def __init__(self, inputs: Tensor, seed: int) -> None:
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
        self._inputs = inputs.cpu()
        keys = [_key(row) for row in self._inputs]
        self._partner = dict(zip(reversed(keys), reversed(order.tolist()), strict=True))

    def of(self, tokens: Tensor) -> Tensor:
        """The lenders of tokens [data, positions]."""
        rows = [self._partner.get(_key(row)) for row in tokens.cpu()]
        if None in rows:
            raise ExplanationError(
                f"donor resample: datum {rows.index(None)} is not among the {len(self._inputs)} inputs "
                "that the permutation is about"
            )
        return self._inputs[rows].to(tokens.device)


def _key(row: Tensor) -> bytes:
    return row.long().contiguous().numpy().tobytes()
