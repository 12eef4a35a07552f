"""Components that need no training: singular vectors, and the planted mechanism of a toy model."""

from __future__ import annotations

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network, Superposition

from .decomposed import Components
from .importance import Always, Reads


def svd_components(network: Network, weights: tuple[str, ...], name: str = "SVD parts") -> Components:
    """Singular vectors as components, always active: the dense baseline."""
    own = network.parameters()
    if unknown := [weight for weight in weights if weight not in own or own[weight].ndim != 2]:
        raise ExplanationError(f"components: {network.name!r} has no weight matrix {', '.join(unknown)}")
    factors = {}
    for weight in weights:
        U, S, Vh = torch.linalg.svd(own[weight].detach().double(), full_matrices=False)
        factors[weight] = ((U * S.sqrt()).T.contiguous(), S.sqrt()[:, None] * Vh)
    return Components(network, factors, Always(), name, {"from": "svd"})


def planted_components(network: Network, weight: str = "W", name: str = "true components") -> Components:
    """The planted mechanism of a toy model of superposition: one part per feature, its column of W."""
    if not isinstance(network.module, Superposition):
        raise ExplanationError(f"components: {network.name!r} has no planted components that we know of")
    W = network.parameters()[weight].detach()
    eye = torch.eye(W.shape[1], dtype=W.dtype, device=W.device)
    return Components(network, {weight: (W.T.contiguous(), eye)}, Reads(), name, {"from": "known truth"})
