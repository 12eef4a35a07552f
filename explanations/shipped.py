"""Explanations that ship with the zoo: really trained, each with the recipe that makes it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from assay.models import Dataset, Network, Scope, collect, load
from assay.models.zoo import Progress
from torch import Tensor

from .components import Components, load_components, save_components
from .errors import ExplanationError
from .recipes.spd import SPDRecipe, decompose
from .recipes.topk_sae import TopKRecipe, train_topk
from .sae import SAE
from .sae.formats.saelens import load_saelens, save_saelens

FOLDER = Path(__file__).parent / "weights"
SITE = "blocks.1.hook_resid_post"
SAES = {
    "byte-lm-sae-256": TopKRecipe(d_sae=256, k=24),
    "byte-lm-sae-1024": TopKRecipe(d_sae=1024, k=24),
    "byte-lm-sae-2048": TopKRecipe(d_sae=2048, k=24),
}


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
    return (*SAES, *COMPONENTS)


def shipped_sae(name: str) -> SAE:
    """A shipped SAE; raises :class:`ExplanationError` with the known names."""
    if name not in SAES:
        raise ExplanationError(f"no shipped SAE {name!r}; there are {', '.join(SAES)}")
    return load_saelens(FOLDER / name)


def shipped_components(name: str, network: Network) -> Components:
    """Shipped parameter components, for the network that they decompose."""
    if name not in COMPONENTS:
        raise ExplanationError(f"no shipped components {name!r}; there are {', '.join(COMPONENTS)}")
    return load_components(FOLDER / f"{name}.safetensors", network)


def training_activations(sequences: int = 4096, seed: int = 0) -> Tensor:
    """Activations of byte-lm at the SAEs' site on text of its training part: [rows, 128]."""
    from assay.models.zoo.byte_lm import corpus, windows

    network = load("zoo:byte-lm")
    drawn = windows(corpus("train"), sequences, torch.Generator().manual_seed(seed))[:, :-1]
    scope = Scope("bytes of Python source", "uniform over starts in training files")
    dataset = Dataset("byte-lm training text", drawn, None, "sequence", scope)
    return collect(network, dataset, SITE).values


def train(name: str, progress: Progress | None = None, out: Path = FOLDER) -> SAE | Components:
    """Train a shipped explanation again by its recipe and write its file or folder below ``out``."""
    if name in SAES:
        sae = train_topk(training_activations(), SAES[name], SITE, progress)
        save_saelens(sae, out / name)
        return sae
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
