"""``resid-mlp``: computes x + ReLU(x) for 100 features with 50 neurons.

After Braun et al. 2025 (Attribution-based Parameter Decomposition, arXiv 2501.14926, section 3.2): a fixed
random embedding with unit rows, one MLP without biases, and the transposed embedding to read out.
"""

from __future__ import annotations

import dataclasses

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.network import Network
from assay.models.toys import ResidualMLP, ResidualMLPConfig
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry
from .training import AdamW, Progress, minimise

CONFIG = ResidualMLPConfig(n_features=100, d_embed=1000, d_mlp=50)
RECIPE = AdamW(steps=3000, lr=3e-3, schedule="cosine")
BATCH = 2048
P_ACTIVE = 0.01


def features(n: int, generator: torch.Generator) -> Tensor:
    """Sparse features [n, 100]: each is active with probability .01 and then uniform on [-1, 1)."""
    size = 2 * torch.rand(n, CONFIG.n_features, generator=generator) - 1
    return size * (torch.rand(n, CONFIG.n_features, generator=generator) < P_ACTIVE)


def labels(x: Tensor) -> Tensor:
    """x + ReLU(x), feature by feature."""
    return x + F.relu(x)


def train(seed: int, progress: Progress | None) -> Network:
    """Train the two MLP matrices on mean squared error; the embedding stays as it was drawn.

    The fixed embedding is multiplied through first: x W_E W_Eᵀ + ReLU(x (W_E W_in)) (W_out W_Eᵀ) is the same
    function with the same gradients, at a tenth of the work.
    """
    generator = torch.Generator().manual_seed(seed)
    module = _untrained(generator)
    W_E, mlp = module.embed.W_E, module.mlp
    gram = W_E @ W_E.T

    def loss() -> Tensor:
        x = features(BATCH, generator)
        written = F.relu(x @ (W_E @ mlp.W_in)) @ (mlp.W_out @ W_E.T)
        return F.mse_loss(x @ gram + written, labels(x))

    minimise(module, loss, RECIPE, progress)
    return Network("resid-mlp", module, "regression", "real", (CONFIG.n_features,))


def _untrained(generator: torch.Generator) -> ResidualMLP:
    module = ResidualMLP(CONFIG)
    with torch.no_grad():
        module.embed.W_E.normal_(generator=generator)
        module.embed.W_E.div_(module.embed.W_E.norm(dim=1, keepdim=True))
        for W in (module.mlp.W_in, module.mlp.W_out):
            W.normal_(0.0, W.shape[0] ** -0.5, generator=generator)
    return module


def data(n: int, seed: int) -> Dataset:
    """Fresh features and x + ReLU(x)."""
    x = features(n, torch.Generator().manual_seed(seed))
    scope = Scope(
        condition=f"x in [-1, 1]^{CONFIG.n_features}",
        distribution=f"each feature is active with probability {P_ACTIVE}, then uniform on [-1, 1)",
    )
    return Dataset("resid-mlp", x, labels(x), "sample", scope)


def measure(network: Network, dataset: Dataset) -> dict[str, float]:
    """Mean squared error, and its ratio to that of the best multiple of what the embedding alone reads out.

    Non-orthogonal embedding rows set a floor that no ReLU lifts: .00033 at these sizes.
    """
    assert dataset.labels is not None
    error = F.mse_loss(network(dataset.inputs).cpu(), dataset.labels)
    read_out = network.patched(dataset.inputs, {"hook_mlp_out": torch.zeros_like}).cpu()
    best = (read_out * dataset.labels).sum() / read_out.square().sum()
    return {
        "mse": float(error),
        "relative_to_linear": float(error / F.mse_loss(best * read_out, dataset.labels)),
    }


ENTRIES = (
    Entry(
        name="resid-mlp",
        about="residual MLP computing x + ReLU(x) for 100 sparse features with 50 neurons",
        train=train,
        data=data,
        measure=measure,
        recipe={**dataclasses.asdict(RECIPE), "batch": BATCH, "p_active": P_ACTIVE, "loss": "mse"},
    ),
)
