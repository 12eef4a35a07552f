"""Small networks of products: made by hand from representations, and disturbed, so that some words fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import permutations

import pytest
import torch
from assay.models.automata import automaton
from assay.models.products import ComplexProduct, MatrixProduct, ProductConfig
from assay.models.zoo.words import network
from assay.proofs.words import Subject


@cache
def sums(n: int, length: int, frequencies: tuple[int, ...], noise: float, seed: int = 0) -> Subject:
    """Factors of these frequencies, disturbed."""
    module = ComplexProduct(ProductConfig(f"Z{n}", length, len(frequencies)))
    angles = 2 * torch.pi * torch.arange(n)[:, None] * torch.tensor(frequencies) / n
    turns = torch.stack([angles.cos(), angles.sin()], dim=-1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        module.Z.copy_(turns + noise * torch.randn(turns.shape, generator=generator))
        answers = turns.permute(1, 2, 0)
        module.W.copy_(answers + noise * torch.randn(answers.shape, generator=generator))
    return Subject(network(module))


@cache
def products(name: str, length: int, noise: float, seed: int = 0) -> Subject:
    """The transitions of an automaton in a random basis, disturbed; of a group its regular representation."""
    task = automaton(name)
    m, generator = task.states, torch.Generator().manual_seed(seed)
    module = MatrixProduct(ProductConfig(task.name, length, m))
    turn = torch.eye(m) + 0.2 * torch.randn(m, m, generator=generator)
    steps = torch.nn.functional.one_hot(task.table.T, m).float()  # [x, s, the state after x]
    with torch.no_grad():
        moved = torch.linalg.inv(turn) @ steps @ turn
        module.M.copy_(moved + noise * torch.randn(moved.shape, generator=generator))
        module.start.copy_(turn[0])
        module.U.copy_(torch.linalg.inv(turn))
    return Subject(network(module))


@pytest.fixture(scope="session")
def summing() -> Callable[..., Subject]:
    """Networks that add."""
    return sums


@pytest.fixture(scope="session")
def permuting() -> Callable[..., Subject]:
    """Networks that multiply permutations."""
    return lambda degree, *rest: products(f"S{degree}", *rest)


@pytest.fixture(scope="session")
def bracketing() -> Callable[..., Subject]:
    """Networks that count brackets."""
    return lambda depth, *rest: products(f"D{depth}", *rest)


@pytest.fixture(scope="session")
def multiply() -> Callable[[int, list[int]], int]:
    """The product of permutations, by hand: a second way to the tables."""

    def product(degree: int, word: list[int]) -> int:
        listed = list(permutations(range(degree)))
        reached = tuple(range(degree))
        for x in word:
            reached = tuple(listed[x][i] for i in reached)
        return listed.index(reached)

    return product
