"""``tms-5-2`` and ``tms-40-10``: toy models of superposition (Elhage et al. 2022).

y = ReLU(Wᵀ W x + b) rebuilds sparse features from fewer dimensions.  Trained well, the five columns of W in
``tms-5-2`` are the corners of a regular pentagon, and each column is one true component of the mechanism.
"""

from __future__ import annotations

import dataclasses
from functools import partial

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.network import Network
from assay.models.toys import Superposition, SuperpositionConfig
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry
from .training import AdamW, Progress, minimise

RECIPE = AdamW(steps=10_000, lr=5e-3, schedule="cosine", warmup=100)
BATCH = 2048
P_ACTIVE = 0.05


def features(n: int, n_features: int, generator: torch.Generator) -> Tensor:
    """Sparse features [n, n_features]: each is active with probability .05 and then uniform on [0, 1)."""
    size = torch.rand(n, n_features, generator=generator)
    return size * (torch.rand(n, n_features, generator=generator) < P_ACTIVE)


def train(config: SuperpositionConfig, seed: int, progress: Progress | None) -> Network:
    """Train on mean squared error, all features of the same importance."""
    generator = torch.Generator().manual_seed(seed)
    module = Superposition(config)
    torch.nn.init.xavier_normal_(module.W, generator=generator)

    def loss() -> Tensor:
        x = features(BATCH, config.n_features, generator)
        return F.mse_loss(module(x), x)

    minimise(module, loss, RECIPE, progress)
    return Network(_name(config), module, "regression", "real", (config.n_features,))


def data(config: SuperpositionConfig, n: int, seed: int) -> Dataset:
    """Fresh features, at least one of them active, which are their own labels.

    An input of zeros says nothing of the mechanism, and at .05 it would be most of the data.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: list[Tensor] = []
    while sum(map(len, drawn)) < n:
        x = features(max(n, 64), config.n_features, generator)
        drawn.append(x[(x > 0).any(1)])
    x = torch.cat(drawn)[:n]
    scope = Scope(
        condition=f"x in [0, 1]^{config.n_features}, x ≠ 0",
        distribution=f"each feature is active with probability {P_ACTIVE}, then uniform on [0, 1); "
        "at least one is active",
    )
    return Dataset(_name(config), x, x, "sample", scope)


def measure(network: Network, dataset: Dataset) -> dict[str, float]:
    """Mean squared error, and its ratio to the labels' mean square."""
    assert dataset.labels is not None
    error = F.mse_loss(network(dataset.inputs).cpu(), dataset.labels)
    return {"mse": float(error), "relative_mse": float(error / dataset.labels.square().mean())}


def _name(config: SuperpositionConfig) -> str:
    return f"tms-{config.n_features}-{config.n_hidden}"


def _entry(n_features: int, n_hidden: int, seed: int) -> Entry:
    config = SuperpositionConfig(n_features, n_hidden)
    return Entry(
        name=_name(config),
        about=f"toy model of superposition: {n_features} sparse features through {n_hidden} dimensions",
        train=partial(train, config),
        data=partial(data, config),
        measure=measure,
        recipe={**dataclasses.asdict(RECIPE), "batch": BATCH, "p_active": P_ACTIVE, "loss": "mse"},
        seed=seed,
    )


ENTRIES = (_entry(5, 2, seed=0), _entry(40, 10, seed=0))
