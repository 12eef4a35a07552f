"""``max-of-4``: a one-layer attention-only transformer that answers with the largest of its tokens.

The model of Gross, Agrawal, Kwa et al. 2024 (Compact Proofs of Model Performance via Mechanistic
Interpretability, arXiv 2406.11779): one head, no layer norm, no biases, read at the last position.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.network import Network
from assay.models.transformer import Transformer, TransformerConfig
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry, classified
from .training import AdamW, Progress, minimise

RECIPE = AdamW(steps=3000, lr=1e-3, weight_decay=0.01)
BATCH = 128
WIDTH = 32


def architecture(k: int, v: int, width: int = WIDTH) -> TransformerConfig:
    """The transformer for k tokens out of v."""
    return TransformerConfig(
        n_layers=1,
        d_model=width,
        n_heads=1,
        d_head=width,
        d_vocab=v,
        n_ctx=k,
        normalization=None,
        attn_only=True,
        biases=False,
        readout="last",
    )


def train(seed: int, progress: Progress | None = None, k: int = 4, v: int = 64) -> Network:
    """Train on the cross-entropy of the maximum of k uniform tokens below v (some five seconds)."""
    generator = torch.Generator().manual_seed(seed)
    module = Transformer(architecture(k, v))
    module.initialise(0.8 / math.sqrt(WIDTH), generator)

    def loss() -> Tensor:
        tokens = torch.randint(v, (BATCH, k), generator=generator)
        return F.cross_entropy(module(tokens), tokens.amax(1))

    minimise(module, loss, RECIPE, progress)
    return Network(f"max-of-{k}", module, "categorical", "token", (k,), vocabulary=v)


def data(n: int, seed: int, k: int = 4, v: int = 64) -> Dataset:
    """Uniform sequences of k tokens below v, labelled with their maximum."""
    tokens = torch.randint(v, (n, k), generator=torch.Generator().manual_seed(seed))
    scope = Scope(condition=f"tokens in 0..{v - 1}, length {k}", distribution="uniform and independent")
    return Dataset(f"max-of-{k}", tokens, tokens.amax(1), "sequence", scope)


ENTRIES = (
    Entry(
        name="max-of-4",
        about="one-layer attention-only transformer for the largest of 4 tokens out of 64",
        train=train,
        data=data,
        measure=classified,
        recipe={
            **dataclasses.asdict(RECIPE),
            "batch": BATCH,
            "k": 4,
            "v": 64,
            "initialisation": "normal, standard deviation 0.8 / sqrt(32)",
            "loss": "cross-entropy",
        },
    ),
)
