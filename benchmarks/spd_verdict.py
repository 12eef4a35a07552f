"""Good and broken decompositions told apart without ground truth: SPD runs on the toy model of superposition.

    python benchmarks/spd_verdict.py train CACHE [FIRST [RUNS]]

Runs have seeds FIRST, FIRST + 1, …; schedules go round ``STEPS`` by the seed, so that some are too short.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from assay.explanations import save_components
from assay.explanations.recipes.spd import SPDRecipe, decompose
from assay.models import Network, load
from assay.models.zoo.tms import features

STEPS = (16_000, 9_000, 5_000, 2_000)
RECIPE = SPDRecipe(C=20, steps=0, lr=1e-3, importance=2.5e-2, faithfulness=30.0, gate_hidden=16)


def recipe_of(seed: int) -> SPDRecipe:
    return replace(RECIPE, steps=STEPS[seed % len(STEPS)], seed=seed)


def train(network: Network, recipe: SPDRecipe, path: Path) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)

    def draw() -> torch.Tensor:
        x = features(2048, 5, generator)
        return x[(x > 0).any(1)]

    save_components(decompose(network, ("W",), draw, recipe, f"seed {recipe.seed}"), path)


def train_all(cache: Path, first: int, runs: int) -> None:
    network = load("zoo:tms-5-2")
    cache.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + runs):
        path = cache / f"{seed}.safetensors"
        if not path.exists():
            train(network, recipe_of(seed), path)
            print(f"seed {seed}: {recipe_of(seed).steps} steps", flush=True)


def main(argv: list[str]) -> None:
    cache = Path(argv[1])
    train_all(cache, *(int(number) for number in argv[2:]))


if __name__ == "__main__":
    main(sys.argv[1:])
