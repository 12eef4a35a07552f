"""JumpReLU SAEs (Rajamanoharan et al. 2024, arXiv 2407.14435): thresholds learnt through a kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from assay.explanations.sae.weights import SAE
from assay.models.zoo import Progress
from torch import Tensor, nn

from .topk_sae import SparseModel, TopKRecipe, train


@dataclass(frozen=True)
class JumpReLURecipe(TopKRecipe):
    """``k`` is the mean number of active features that is aimed at; ``sparsity`` weighs the way to it."""

    sparsity: float = 1.0
    bandwidth: float = 0.05
    start: float = 0.05


class _Step(torch.autograd.Function):
    """[x > θ] [rows, d]; the gradient for θ comes from the rectangle kernel (the paper, eq. 11 and 12)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor, value: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(x, threshold, value)
        ctx.bandwidth = bandwidth
        return (x > threshold).to(x) * value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, Tensor, None]:
        x, threshold, value = ctx.saved_tensors
        near = ((x - threshold).abs() < ctx.bandwidth / 2).to(x) / ctx.bandwidth
        # At the threshold the value that is lost is the threshold itself, or 1 where steps are counted.
        lost = torch.where(value == 1.0, value, threshold.expand_as(x))
        return None, -(near * lost * grads[0]).sum(0), (x > threshold) * grads[0], None


class _JumpReLU(SparseModel):
    def __init__(self, x: Tensor, recipe: JumpReLURecipe, generator: torch.Generator) -> None:
        super().__init__(x, recipe, generator)
        self.sparsity, self.bandwidth = recipe.sparsity, recipe.bandwidth
        self.threshold = nn.Parameter(x.new_full((recipe.d_sae,), recipe.start))

    def chosen(self, pre: Tensor) -> Tensor:
        """Those above their thresholds."""
        return self._step(pre, pre)

    def penalty(self, x: Tensor, pre: Tensor) -> Tensor:
        """(L0 / k − 1)², where more features fire than are aimed at or fewer."""
        l0 = self._step(pre, torch.ones_like(pre)).sum(1).mean()
        return self.sparsity * (l0 / self.recipe.k - 1).square()

    def _step(self, pre: Tensor, value: Tensor) -> Tensor:
        threshold = self.threshold.clamp_min(0.0)
        stepped: Tensor = _Step.apply(pre, threshold, value, self.bandwidth)  # type: ignore[no-untyped-call]
        return stepped

    def finished(self, scale: float, site: str) -> SAE:
        """With thresholds in the data's own units."""
        norm = self.W_dec.detach().norm(dim=1)
        threshold = self.threshold.detach().clamp_min(0.0) * norm * scale
        made = super().finished(scale, site)
        return replace(made, architecture="jumprelu", k=None, threshold=threshold)


def train_jumprelu(
    x: Tensor, recipe: JumpReLURecipe, site: str = "", progress: Progress | None = None
) -> SAE:
    """Train on activations [rows, d], drawn with replacement; decoder rows come out at unit norm."""
    return train(_JumpReLU, x, recipe, site, progress)
