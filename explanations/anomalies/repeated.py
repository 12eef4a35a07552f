"""Repeated data in the toy model of superposition: one datum is memorised, all others share a mechanism.

x' = ReLU(WᵀWx + b) rebuilds sparse x of length 1; one x* makes up a share eps of the training data. From
about eps = 0.4 / n on it gets directions of its own. Sources: Henighan et al. 2023, "Superposition,
memorization and double descent"; A. Jermyn's comment there on repeated data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from assay.explanations.components import Always, Components, planted_components
from assay.models import Network, Superposition, SuperpositionConfig
from assay.models.zoo import AdamW, minimise
from torch import Tensor

from .restriction import restricted

ACTIVE = 0.05


@dataclass(frozen=True)
class RepeatedData:
    """The task: n features through m dimensions, x* at weight ``eps``."""

    n: int = 200
    m: int = 2
    eps: float = 0.02
    steps: int = 2000
    batch: int = 512
    lr: float = 5e-3

    @property
    def threshold(self) -> float:
        """The weight from which on x* is expected to be memorised: 0.4 / n."""
        return 0.4 / self.n


@dataclass(frozen=True, eq=False)
class Memorised:
    """A trained toy and the datum [n] that was repeated."""

    task: RepeatedData
    network: Network
    star: Tensor

    @property
    def loss(self) -> float:
        """‖x' − x‖² of x*: 1 for an output of zeros."""
        error = self.network(self.star[None])[0] - self.star
        return float(error.square().sum())


def ordinary(task: RepeatedData, count: int, generator: torch.Generator, active: float = ACTIVE) -> Tensor:
    """Fresh data [count, n]: each feature active with this probability, uniform, then of length 1."""
    size = torch.rand(count, task.n, generator=generator)
    x = size * (torch.rand(count, task.n, generator=generator) < active)
    unit: Tensor = x / x.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return unit


def train_repeated(task: RepeatedData, seed: int) -> Memorised:
    """Minimise (1 − eps) E‖x' − x‖² + eps ‖x*' − x*‖² with AdamW; the same seed gives the same network."""
    generator = torch.Generator().manual_seed(seed)
    star = ordinary(task, 1, generator)
    module = Superposition(SuperpositionConfig(task.n, task.m))
    torch.nn.init.normal_(module.W, std=task.n**-0.5, generator=generator)

    def loss() -> Tensor:
        x = ordinary(task, task.batch, generator)
        others = (module(x) - x).square().sum(1).mean()
        total: Tensor = (1 - task.eps) * others + task.eps * (module(star) - star).square().sum()
        return total

    minimise(module, loss, AdamW(task.steps, task.lr, "cosine"), None)
    name = f"repeated-{task.n}-{task.m}"
    return Memorised(task, Network(name, module, "regression", "real", (task.n,)), star[0])


def features(toy: Memorised) -> Components:
    """One part for each feature, its column of W, all active: those that are absent are not explained."""
    return Components(toy.network, planted_components(toy.network).factors, Always(), "features")


def noisy(x: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Ordinary combinations plus Gaussian noise: ``noise`` is its length over theirs."""
    e = torch.randn(x.shape, generator=generator)
    moved: Tensor = x + noise * e * x.norm(dim=1, keepdim=True) / e.norm(dim=1, keepdim=True)
    return moved


def represented(W: Tensor) -> Tensor:
    """The features that the network represents: alone at strength 1, W rebuilds half of it or more: [k].

    ‖W_i‖² >= ½. It is a rule about the network; x* has no part in it.
    """
    return (W.square().sum(0) >= 0.5).nonzero().flatten()


def explanation(toy: Memorised) -> Components:
    """The minimal explanation: the represented features, and nothing else."""
    return restricted(features(toy), represented(toy.network.parameters()["W"]).cpu())


def available(toy: Memorised) -> Tensor:
    """The ordinary features that negatives are made of: column norms >= 1/2, not of x*: [k]."""
    W = toy.network.parameters()["W"]
    large: Tensor = W.norm(dim=0) >= 0.5
    return (large & (toy.star == 0)).nonzero().flatten()


def unusual(toy: Memorised, count: int, features: int, generator: torch.Generator) -> Tensor:
    """Pure unusual combinations of ordinary features [count, n]: so many available ones at once, no others.

    Strengths are uniform on [1/2, 1], so x may be longer than any ordinary one.
    """
    pool = available(toy)
    features = min(features, len(pool))
    which = pool[torch.rand(count, len(pool), generator=generator).argsort(1)[:, :features]]
    strength = 0.5 + torch.rand(count, features, generator=generator) / 2
    return torch.zeros(count, toy.task.n).scatter(1, which, strength)
