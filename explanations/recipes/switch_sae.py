"""Switch SAEs (Mudide et al. 2024, arXiv 2410.08201): TopK within the expert that a router chooses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from assay.explanations.sae.router import Router
from assay.explanations.sae.weights import SAE
from assay.models.zoo import Progress
from torch import Tensor, nn

from .topk_sae import SparseModel, TopKRecipe, train


@dataclass(frozen=True)
class SwitchRecipe(TopKRecipe):
    """``experts`` share the features evenly; ``balance`` weighs the loss that keeps all of them busy."""

    experts: int = 8
    balance: float = 0.1


class _Switch(SparseModel):
    def __init__(self, x: Tensor, recipe: SwitchRecipe, generator: torch.Generator) -> None:
        super().__init__(x, recipe, generator)
        self.experts, self.balance = recipe.experts, recipe.balance
        drawn = torch.randn(x.shape[1], recipe.experts, generator=generator).to(x)
        # Rows have norm 1 here: columns of norm √d spread the odds of directions drawn at random.
        self.router = nn.Parameter(drawn / drawn.norm(dim=0) * x.shape[1] ** 0.5)
        self.b_router = nn.Parameter(x.mean(0))

    def _odds(self, x: Tensor) -> Tensor:
        return ((x - self.b_router) @ self.router).softmax(-1)

    def pre(self, x: Tensor) -> Tensor:
        """Features of the chosen expert alone, times its probability."""
        odds = self._odds(x)
        p, expert = odds.max(-1, keepdim=True)
        mine = torch.zeros_like(odds).scatter(-1, expert, p)
        size = self.W_enc.shape[1] // self.experts
        return super().pre(x) * mine.repeat_interleave(size, dim=-1)

    def penalty(self, x: Tensor, pre: Tensor) -> Tensor:
        """Load balance: experts · Σ_e (share of rows) (mean probability); 1 when even (the paper, eq. 5)."""
        odds = self._odds(x)
        share = torch.nn.functional.one_hot(odds.argmax(-1), self.experts).float().mean(0)
        return self.balance * self.experts * (share * odds.mean(0)).sum()

    def finished(self, scale: float, site: str) -> SAE:
        """With the router in the data's own units."""
        router = Router(self.router.detach() / scale, self.b_router.detach() * scale)
        return replace(super().finished(scale, site), router=router)


def train_switch(x: Tensor, recipe: SwitchRecipe, site: str = "", progress: Progress | None = None) -> SAE:
    """Train on activations [rows, d], drawn with replacement; decoder rows come out at unit norm."""
    return train(_Switch, x, recipe, site, progress)
