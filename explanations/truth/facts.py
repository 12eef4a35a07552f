"""A bigram memory as one part for each fact: the outer product of its value and its key."""

from __future__ import annotations

import torch
from assay.explanations.components import ByWeight, Components
from assay.models.programs import BigramMemory
from torch import Tensor

__all__ = ["fact_components"]


class StrongestReader(ByWeight):
    """The one component that reads most is needed: a fact's own key reads 1, every other less."""

    def __call__(self, weight: str, inner: Tensor, read: Tensor | None = None) -> Tensor:
        """Inner activations [..., C] to Boolean [..., C]."""
        return torch.nn.functional.one_hot(inner.argmax(-1), inner.shape[-1]).bool()

    def recipe(self) -> dict[str, object]:
        """The rule's name."""
        return {"active": "strongest reader"}


def fact_components(memory: BigramMemory, name: str = "one part a fact") -> Components:
    """W = Σ_i v_i k_iᵀ, of which one datum needs the part of its own key alone."""
    return Components(
        memory.network,
        {memory.memory: (memory.values, memory.keys)},
        StrongestReader(),
        name,
        {"from": "known truth"},
    )
