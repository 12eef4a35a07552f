"""Circuits of weights: a subset of the entries of all matrices that is said to do the work.

One part, always active: the mask is sent enumeratively, then the weights that were kept. What was pruned is
zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import Rebuilt, always
from assay.mdl import Parts, one_part
from assay.models import Network
from torch import Tensor


class EdgeCircuit:
    """A network with some of its weights kept (Boolean masks by name) and the others zero."""

    kind = "circuit"
    donor = "zero"
    open_ended = False

    def __init__(
        self,
        network: Network,
        masks: Mapping[str, Tensor],
        name: str = "circuit",
        about: Mapping[str, object] | None = None,
    ) -> None:
        own = network.parameters()
        for weight, mask in masks.items():
            if weight not in own or own[weight].shape != mask.shape:
                raise ExplanationError(f"circuit: mask {weight} {tuple(mask.shape)} fits no weight")
        self.network, self.masks, self.name, self.about = network, dict(masks), name, dict(about or {})
        self._rebuilt = Rebuilt(network)

    def parts(self) -> Parts:
        """All weights as one part, with the masks of those that are pruned."""
        own, pruned = self.network.parameters(), {n: m for n, m in self.masks.items() if not bool(m.all())}
        return Parts(1, tuple(one_part(n, value, 0, pruned.get(n)) for n, value in own.items()))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Always."""
        return always(self.network, x, 1)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with the kept weights."""
        return self._rebuilt(restored)(x)

    def recipe(self) -> dict[str, object]:
        """How many edges of how many, and how they were found."""
        kept, of = counts(self.masks)
        return {"kind": self.kind, "edges": kept, "of": of, **self.about}


def counts(masks: Mapping[str, Tensor]) -> tuple[int, int]:
    """How many entries are kept, of how many."""
    return sum(int(mask.sum()) for mask in masks.values()), sum(mask.numel() for mask in masks.values())


def prune_by_magnitude(network: Network, keep: float, name: str = "circuit") -> EdgeCircuit:
    """Keep the largest ``keep`` (0..1) of all matrix entries by magnitude; vectors are kept whole."""
    matrices = {n: v for n, v in network.parameters().items() if v.ndim > 1}
    masks = largest({n: value.abs() for n, value in matrices.items()}, keep)
    return EdgeCircuit(network, masks, name, {"method": "magnitude", "keep": keep})


def largest(scores: Mapping[str, Tensor], keep: float) -> dict[str, Tensor]:
    """Masks of the largest fraction of all scores together."""
    if not 0 < keep <= 1:
        raise ExplanationError(f"circuit: keep must be in (0, 1], got {keep}")
    every = torch.cat([score.flatten() for score in scores.values()])
    least = every.sort(descending=True).values[max(1, round(keep * len(every))) - 1]
    return {name: score >= least for name, score in scores.items()}
