"""SAEs that ship with the zoo: really trained, each with the recipe that makes it again."""

from __future__ import annotations

from pathlib import Path

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.recipes.meta_sae import train_meta
from assay.explanations.recipes.switch_sae import SwitchRecipe, train_switch
from assay.explanations.recipes.topk_sae import TopKRecipe, train_topk
from assay.models import Dataset, Scope, collect, load
from assay.models.zoo import Progress
from torch import Tensor

from .formats.saelens import load_saelens, save_saelens
from .stored import load_stored, save_sae
from .weights import SAE

FOLDER = Path(__file__).parent.parent / "weights"
SITE = "blocks.1.hook_resid_post"
META_OF = "byte-lm-sae-2048"
SAES: dict[str, TopKRecipe] = {
    "byte-lm-sae-256": TopKRecipe(d_sae=256, k=24),
    "byte-lm-sae-1024": TopKRecipe(d_sae=1024, k=24),
    "byte-lm-sae-2048": TopKRecipe(d_sae=2048, k=24),
    "byte-lm-switch-768": SwitchRecipe(d_sae=768, k=24, experts=8, steps=1500, batch=1024),
}
METAS = {"byte-lm-meta-256": TopKRecipe(d_sae=256, k=8, steps=1500, batch=1024)}


def shipped_sae(name: str) -> SAE:
    """A shipped SAE; raises :class:`ExplanationError` with the known names."""
    known = {**SAES, **METAS}
    if name not in known:
        raise ExplanationError(f"no shipped SAE {name!r}; there are {', '.join(known)}")
    single = FOLDER / f"{name}.safetensors"
    return load_stored(single) if _in_one_file(name) else load_saelens(FOLDER / name)


def _in_one_file(name: str) -> bool:
    """SAELens has no layout for a router, nor a hook point for decoder rows."""
    return name in METAS or isinstance(SAES[name], SwitchRecipe)


def training_activations(sequences: int = 4096, seed: int = 0) -> Tensor:
    """Activations of byte-lm at the SAEs' site on text of its training part: [rows, 128]."""
    from assay.models.zoo.byte_lm import corpus, windows

    network = load("zoo:byte-lm")
    drawn = windows(corpus("train"), sequences, torch.Generator().manual_seed(seed))[:, :-1]
    scope = Scope("bytes of Python source", "uniform over starts in training files")
    dataset = Dataset("byte-lm training text", drawn, None, "sequence", scope)
    return collect(network, dataset, SITE).values


def train_shipped(name: str, progress: Progress | None = None, out: Path = FOLDER) -> SAE:
    """Train a shipped SAE again by its recipe and write its file or folder below ``out``."""
    made = _trained(name, progress)
    if _in_one_file(name):
        out.mkdir(parents=True, exist_ok=True)
        save_sae(made, out / f"{name}.safetensors")
    else:
        save_saelens(made, out / name)
    return made


def _trained(name: str, progress: Progress | None) -> SAE:
    if name in METAS:
        return train_meta(shipped_sae(META_OF), METAS[name], progress)
    recipe = SAES[name]
    if isinstance(recipe, SwitchRecipe):
        return train_switch(training_activations(), recipe, SITE, progress)
    return train_topk(training_activations(), recipe, SITE, progress)
