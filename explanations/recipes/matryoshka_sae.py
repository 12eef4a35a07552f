"""Matryoshka SAEs (Bussmann et al. 2025, arXiv 2503.17547): every prefix of the features is an SAE itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from assay.explanations.sae.weights import SAE
from assay.models.zoo import Progress
from torch import Tensor

from .topk_sae import SparseModel, TopKRecipe, train


@dataclass(frozen=True)
class MatryoshkaRecipe(TopKRecipe):
    """``prefixes`` are the nested widths, the last of them ``d_sae``."""

    prefixes: tuple[int, ...] = ()


class _Matryoshka(SparseModel):
    def __init__(self, x: Tensor, recipe: MatryoshkaRecipe, generator: torch.Generator) -> None:
        super().__init__(x, recipe, generator)
        self.prefixes = recipe.prefixes or (recipe.d_sae,)

    def unexplained(self, x: Tensor, a: Tensor) -> Tensor:
        """The mean over the nested widths."""
        variance = (x - x.mean(0)).square().sum()
        errors = [x - (a[:, :w] @ self.W_dec[:w] + self.b_dec) for w in self.prefixes]
        return torch.stack([error.square().sum() / variance for error in errors]).mean()

    def finished(self, scale: float, site: str) -> SAE:
        """With its nested widths."""
        return replace(super().finished(scale, site), prefixes=self.prefixes)


def train_matryoshka(
    x: Tensor, recipe: MatryoshkaRecipe, site: str = "", progress: Progress | None = None
) -> SAE:
    """Train on activations [rows, d], drawn with replacement; decoder rows come out at unit norm."""
    return train(_Matryoshka, x, recipe, site, progress)
