"""``sum-of-8`` and ``word-of-6``: products of group elements, learned by networks that multiply.

Both learn from words of at most `LONGEST` symbols, with squared error against one-hot answers. The error
makes them keep a few representations of the group whole (for sums: a few frequencies, all of modulus near
one) where cross-entropy would leave as soon as answers are right. They then go on to longer words.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.groups import group
from assay.models.network import Network
from assay.models.products import ComplexProduct, MatrixProduct, ProductConfig
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry, classified
from .training import AdamW, Progress, minimise

LONGEST = 4


@dataclass(frozen=True)
class Recipe:
    """What is learned, how wide the state is, how many words a step sees, and how long training takes."""

    config: ProductConfig
    batch: int
    descent: AdamW


SUM_OF_8 = Recipe(ProductConfig("Z59", 8, 16), 512, AdamW(4000, 0.01, "cosine", betas=(0.9, 0.98), clip=1.0))
WORD_OF_6 = Recipe(ProductConfig("S4", 6, 24), 256, AdamW(2500, 0.01, "cosine", betas=(0.9, 0.98), clip=1.0))


def train(recipe: Recipe, seed: int, progress: Progress | None = None) -> Network:
    """Train on words of 1 to `LONGEST` symbols, a length a step (some ten to thirty seconds)."""
    generator, config = torch.Generator().manual_seed(seed), recipe.config
    elements = group(config.group)
    module = (ComplexProduct if elements.cyclic else MatrixProduct)(config)
    module.initialise(generator)
    length = 0

    def loss() -> Tensor:
        nonlocal length
        length = length % min(LONGEST, config.length) + 1
        words = torch.randint(config.order, (recipe.batch, length), generator=generator)
        answers = F.one_hot(elements.product(words), config.order).float()
        errors: Tensor = module(words) - answers
        return errors.square().sum(1).mean()

    minimise(module, loss, recipe.descent, progress)
    return network(module)


def network(module: ComplexProduct | MatrixProduct) -> Network:
    """A module as a network that reads words."""
    config = module.config
    word = "sum" if group(config.group).cyclic else "word"
    return Network(
        f"{word}-of-{config.length}", module, "categorical", "token", (config.length,), config.order
    )


def data(config: ProductConfig, n: int, seed: int) -> Dataset:
    """Uniform words [n, K], labelled with their product."""
    words = torch.randint(config.order, (n, config.length), generator=torch.Generator().manual_seed(seed))
    scope = Scope(
        condition=f"words of {config.length} elements of {config.group}",
        distribution="uniform and independent",
    )
    elements = group(config.group)
    name = "sum" if elements.cyclic else "word"
    return Dataset(f"{name}-of-{config.length}", words, elements.product(words), "sequence", scope)


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
            "trained_lengths": f"1 to {LONGEST}",
            "loss": "squared error against one-hot answers",
        },
    )


ENTRIES = (
    _entry("sum-of-8", "recurrent network of complex products for sums of 8 numbers modulo 59", SUM_OF_8),
    _entry("word-of-6", "recurrent network of matrix products for words of 6 permutations of 4", WORD_OF_6),
)
