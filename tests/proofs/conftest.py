"""Small networks whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from assay.models import Network
from torch import nn


@pytest.fixture
def random_network() -> Callable[..., Network]:
    """ReLU MLPs with torch's own initialisation."""

    def make(widths: list[int], seed: int, kind: str = "real") -> Network:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            for a, b in pairwise(widths):
                layers += [nn.Linear(a, b), nn.ReLU()]
            module = nn.Sequential(*layers[:-1])
        return Network("random", module, "regression", kind, (widths[0],))  # type: ignore[arg-type]

    return make


@pytest.fixture
def distance() -> Network:
    """|x1 - x2| / 10⁶ of two whole numbers, by hand."""
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(2) * 1e-6)
        module[1].weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        module[1].bias.zero_()
        module[3].weight.copy_(torch.ones(1, 2))
        module[3].bias.zero_()
    return Network("distance", module, "regression", "integer", (2,))


@pytest.fixture
def ramp() -> Callable[[float, float, float], Network]:
    """relu(weight · x + bias) + shift."""

    def make(weight: float, bias: float, shift: float) -> Network:
        module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
        with torch.no_grad():
            module[0].weight.fill_(weight)
            module[0].bias.fill_(bias)
            module[2].weight.fill_(1.0)
            module[2].bias.fill_(shift)
        return Network("ramp", module, "regression", "real", (1,))

    return make
