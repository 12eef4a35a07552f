"""Small max-of-K transformers, trained for a moment, and as they come out of initialisation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from assay.models import Network, Transformer
from assay.models.zoo.max_of_k import architecture
from assay.models.zoo.training import AdamW, minimise
from assay.proofs.strategies import Subject
from torch.nn import functional as F


def untrained(k: int, v: int, seed: int, size: float = 0.8, width: int = 8) -> Transformer:
    module = Transformer(architecture(k, v, width))
    module.initialise(size, torch.Generator().manual_seed(seed))
    return module


@cache
def learned(k: int, v: int, steps: int = 300) -> Network:
    generator = torch.Generator().manual_seed(k)
    module = untrained(k, v, 0, 0.3)

    def loss() -> torch.Tensor:
        tokens = torch.randint(v, (128, k), generator=generator)
        return F.cross_entropy(module(tokens), tokens.amax(1))

    minimise(module, loss, AdamW(steps=steps, lr=0.02, schedule="linear"), None)
    return Network(f"max-of-{k}", module, "categorical", "token", (k,), vocabulary=v)


@pytest.fixture(scope="session")
def trained() -> Callable[..., Subject]:
    """A model of K positions and v tokens that is right on most sequences."""
    return lambda k, v, steps=300: Subject(learned(k, v, steps))


@pytest.fixture(scope="session")
def random_model() -> Callable[..., Subject]:
    """A model that was not trained: right here and there."""

    def make(k: int, v: int, seed: int, size: float = 0.8) -> Subject:
        network = Network("random", untrained(k, v, seed, size), "categorical", "token", (k,), vocabulary=v)
        return Subject(network)

    return make
