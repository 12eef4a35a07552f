"""``sum-of-8``, ``word-of-6``, ``brackets-of-40``: automata that networks learned to follow by multiplying.

All learn from short words, with squared error against one-hot answers. The error makes them keep
representations whole (for sums: a few frequencies, all of modulus near one), where cross-entropy would leave
off as soon as answers are right. Nothing but that is needed for them to go on to words of any length.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.network import Network
from assay.models.products import ComplexProduct, MatrixProduct, ProductConfig
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry, classified
from .training import AdamW, Progress, minimise


@dataclass(frozen=True)
class Recipe:
    """What is learned, from how many words a step, of at most how many symbols, and how."""

    config: ProductConfig
    batch: int
    longest: int
    descent: AdamW


def descent(steps: int) -> AdamW:
    """What all recipes have in common."""
    return AdamW(steps, lr=0.01, schedule="cosine", betas=(0.9, 0.98), clip=1.0)


SUM_OF_8 = Recipe(ProductConfig("Z59", 8, 16), 512, 4, descent(4000))
WORD_OF_6 = Recipe(ProductConfig("S4", 6, 24), 256, 4, descent(2500))
BRACKETS_OF_40 = Recipe(ProductConfig("D3", 40, 5), 256, 8, descent(2000))


def train(recipe: Recipe, seed: int, progress: Progress | None = None) -> Network:
    """Train on words of 1 to `recipe.longest` symbols, a length a step (some ten to thirty seconds)."""
    generator, config = torch.Generator().manual_seed(seed), recipe.config
    task = config.task
    module = (ComplexProduct if task.cyclic else MatrixProduct)(config)
    module.initialise(generator)
    length = 0

    def loss() -> Tensor:
        nonlocal length
        length = length % recipe.longest + 1
        words = torch.randint(task.symbols, (recipe.batch, length), generator=generator)
        answers = F.one_hot(task.run(words), task.states).float()
        errors: Tensor = module(words) - answers
        return errors.square().sum(1).mean()

    minimise(module, loss, recipe.descent, progress)
    return network(module)


def network(module: ComplexProduct | MatrixProduct) -> Network:
    """A module as a network that reads words."""
    config = module.config
    size = (config.length,)
    return Network(_name(config), module, "categorical", "token", size, config.task.symbols)


def data(config: ProductConfig, n: int, seed: int) -> Dataset:
    """Uniform words [n, K], labelled with the state that they lead to."""
    generator, task = torch.Generator().manual_seed(seed), config.task
    words = torch.randint(task.symbols, (n, config.length), generator=generator)
    condition = f"words of {config.length} symbols of {config.automaton}"
    scope = Scope(condition=condition, distribution="uniform and independent")
    return Dataset(_name(config), words, task.run(words), "sequence", scope)


def _name(config: ProductConfig) -> str:
    word = {"Z": "sum", "S": "word", "D": "brackets"}[config.automaton[0]]
    return f"{word}-of-{config.length}"


def _entry(name: str, about: str, recipe: Recipe) -> Entry:
    return Entry(
        name=name,
        about=about,
        train=lambda seed, progress: train(recipe, seed, progress),
        data=lambda n, seed: data(recipe.config, n, seed),
        measure=classified,
        recipe={
            **dataclasses.asdict(recipe.descent),
            **dataclasses.asdict(recipe.config),
            "batch": recipe.batch,
            "trained_lengths": f"1 to {recipe.longest}",
            "loss": "squared error against one-hot answers",
        },
    )


ENTRIES = (
    _entry("sum-of-8", "recurrent network of complex products for sums of 8 numbers modulo 59", SUM_OF_8),
    _entry("word-of-6", "recurrent network of matrix products for words of 6 permutations of 4", WORD_OF_6),
    _entry(
        "brackets-of-40", "recurrent network of matrix products for 40 brackets up to depth 3", BRACKETS_OF_40
    ),
)
