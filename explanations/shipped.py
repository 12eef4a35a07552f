"""Explanations that ship with the zoo: really trained, each with the recipe that makes it again."""

from __future__ import annotations

from pathlib import Path

import torch
from assay.models import Dataset, Network, Scope, collect, load
from assay.models.zoo import Progress
from torch import Tensor

from .components import Components
from .errors import ExplanationError
from .recipes.topk_sae import TopKRecipe, train_topk
from .sae import SAE
from .saelens import load_saelens, save_saelens
from .stored import load_components

FOLDER = Path(__file__).parent / "weights"
SITE = "blocks.1.hook_resid_post"
SAES = {
    "byte-lm-sae-256": TopKRecipe(d_sae=256, k=24),
    "byte-lm-sae-1024": TopKRecipe(d_sae=1024, k=24),
    "byte-lm-sae-2048": TopKRecipe(d_sae=2048, k=24),
}


def names() -> tuple[str, ...]:
    """Every shipped explanation."""
    return tuple(SAES)


def shipped_sae(name: str) -> SAE:
    """A shipped SAE; raises :class:`ExplanationError` with the known names."""
    if name not in SAES:
        raise ExplanationError(f"no shipped SAE {name!r}; there are {', '.join(SAES)}")
    return load_saelens(FOLDER / name)


def training_activations(sequences: int = 4096, seed: int = 0) -> Tensor:
    """Activations of byte-lm at the SAEs' site on text of its training part: [rows, 128]."""
    from assay.models.zoo.byte_lm import corpus, windows

    network = load("zoo:byte-lm")
    drawn = windows(corpus("train"), sequences, torch.Generator().manual_seed(seed))[:, :-1]
    scope = Scope("bytes of Python source", "uniform over starts in training files")
    dataset = Dataset("byte-lm training text", drawn, None, "sequence", scope)
    return collect(network, dataset, SITE).values


def train(name: str, progress: Progress | None = None, out: Path = FOLDER) -> SAE:
    """Train a shipped SAE again by its recipe and write its SAELens folder."""
    sae = train_topk(training_activations(), SAES[name], SITE, progress)
    save_saelens(sae, out / name)
    return sae


COMPONENTS = ("tms-5-2-spd", "byte-lm-spd")


def shipped_components(name: str, network: Network) -> Components:
    """Shipped parameter components of a zoo network."""
    return load_components(FOLDER / f"{name}.safetensors", network)
