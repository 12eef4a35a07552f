"""Explanations that ship with the zoo: really trained, each with the recipe that makes it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from assay.models import Network, load
from assay.models.zoo import Progress
from torch import Tensor

from .components import Components, load_components, save_components
from .errors import ExplanationError
from .recipes.spd import SPDRecipe, decompose
from .sae import SAE
from .sae.shipped import FOLDER, METAS, SAES, train_shipped


@dataclass(frozen=True)
class Decomposition:
    """A shipped decomposition: of which weights of which network, on which inputs, by which recipe."""

    network: str
    weights: tuple[str, ...]
    draw: Callable[[torch.Generator], Tensor]
    recipe: SPDRecipe


def _features(generator: torch.Generator) -> Tensor:
    from assay.models.zoo.tms import features

    x = features(2048, 5, generator)
    return x[(x > 0).any(1)]


def _text(generator: torch.Generator) -> Tensor:
    from assay.models.zoo.byte_lm import corpus, windows

    return windows(corpus("train"), 8, generator)[:, :-1]


COMPONENTS = {
    "tms-5-2-spd": Decomposition(
        "tms-5-2",
        ("W",),
        _features,
        SPDRecipe(C=20, steps=16_000, lr=1e-3, importance=2.5e-2, faithfulness=30.0, gate_hidden=16),
    ),
    "byte-lm-spd": Decomposition(
        "byte-lm",
        ("blocks.1.mlp.W_in", "blocks.1.mlp.W_out"),
        _text,
        SPDRecipe(
            C=160, steps=1500, lr=2e-3, importance=2e-3, faithfulness=100.0, gate_hidden=4, start="singular"
        ),
    ),
}


def names() -> tuple[str, ...]:
    """Every shipped explanation."""
    return (*SAES, *METAS, *COMPONENTS)


def shipped_components(name: str, network: Network) -> Components:
    """Shipped parameter components, for the network that they decompose."""
    if name not in COMPONENTS:
        raise ExplanationError(f"no shipped components {name!r}; there are {', '.join(COMPONENTS)}")
    return load_components(FOLDER / f"{name}.safetensors", network)


def train(name: str, progress: Progress | None = None, out: Path = FOLDER) -> SAE | Components:
    """Train a shipped explanation again by its recipe and write its file or folder below ``out``."""
    if name in SAES or name in METAS:
        return train_shipped(name, progress, out)
    if name not in COMPONENTS:
        raise ExplanationError(f"no shipped explanation {name!r}; there are {', '.join(names())}")
    how = COMPONENTS[name]
    generator = torch.Generator().manual_seed(how.recipe.seed)
    network = load(f"zoo:{how.network}")
    made = decompose(
        network, how.weights, lambda: how.draw(generator), how.recipe, "SPD components", progress
    )
    out.mkdir(parents=True, exist_ok=True)
    save_components(made, out / f"{name}.safetensors")
    return made
