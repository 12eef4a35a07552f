"""``digits``: a small MLP on scikit-learn's bundled 8 × 8 digits."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.network import Network
from assay.models.perceptron import perceptron
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry, classified
from .training import AdamW, Progress, minimise

WIDTHS = (64, 32, 10)
RECIPE = AdamW(steps=2000, lr=3e-3, schedule="cosine", weight_decay=0.1)
BATCH = 128
HELD_OUT = 360
SPLIT_SEED = 0


@cache
def _images() -> tuple[Tensor, Tensor]:
    """All 1,797 images [1797, 64], grey values in sixteenths of [0, 1], and their digits, shuffled."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return torch.tensor(bunch.data / 16, dtype=torch.float32)[order], torch.tensor(bunch.target)[order]


def train(seed: int, progress: Progress | None) -> Network:
    """Train on the cross-entropy of the 1,437 images that are not held out."""
    images, digits = (part[HELD_OUT:] for part in _images())
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = perceptron(WIDTHS)

    def loss() -> Tensor:
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        return F.cross_entropy(module(images[chosen]), digits[chosen])

    minimise(module, loss, RECIPE, progress)
    return Network("digits", module, "categorical", "real", (WIDTHS[0],))


def data(n: int, seed: int) -> Dataset:
    """Draw n of the 360 held-out images without putting back; all of them where n is larger."""
    images, digits = (part[:HELD_OUT] for part in _images())
    chosen = torch.randperm(HELD_OUT, generator=torch.Generator().manual_seed(seed))[:n]
    scope = Scope(condition="x in [0, 1]^64", distribution="held-out images of scikit-learn's digits")
    return Dataset("digits", images[chosen], digits[chosen], "sample", scope)


ENTRIES = (
    Entry(
        name="digits",
        about="MLP with 32 ReLU neurons on scikit-learn's 8 × 8 digits",
        train=train,
        data=data,
        measure=classified,
        recipe={**dataclasses.asdict(RECIPE), "batch": BATCH, "widths": WIDTHS, "loss": "cross-entropy"},
        card_data=HELD_OUT,
    ),
)
