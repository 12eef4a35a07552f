"""Meta-SAEs (Leask et al. 2025, arXiv 2502.04878): an SAE on the decoder directions of another."""

from __future__ import annotations

from assay.explanations.sae.folding import unit_rows
from assay.explanations.sae.weights import SAE
from assay.models.zoo import Progress

from .topk_sae import TopKRecipe, train_topk


def train_meta(sae: SAE, recipe: TopKRecipe, progress: Progress | None = None) -> SAE:
    """Train on the decoder rows of an SAE at unit norm, each a combination of k meta rows."""
    return train_topk(unit_rows(sae).W_dec, recipe, "", progress)
