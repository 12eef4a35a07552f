"""Bigram memories: linear networks that hold more facts than they have dimensions.

Each of d facts is a key token and the token that follows it.  Keys k and answers are random unit vectors in
fewer dimensions; the memory is W = Σ_i v_i k_iᵀ, one outer product for each fact.  In closed form v_i is the
embedding of what follows (Kohonen 1972; Anderson 1972); a few steps on the cross-entropy then move the v_i so
that the facts no longer drown each other.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.errors import InputError
from assay.models.network import Network
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BigramMemory", "bigram_memory"]

SHARPNESS = 32.0
STEPS, RATE = 60, 0.01


@dataclass(frozen=True, eq=False)
class BigramMemory:
    """A network from one-hot keys [n, facts] to logits [n, facts], the facts, and its true factors.

    ``follows[i]`` is what key i is followed by; ``memory`` names the weight that is
    Σ_i outer(``values[i]``, ``keys[i]``), both [facts, dimensions].
    """

    network: Network
    follows: Tensor
    keys: Tensor
    values: Tensor
    memory: str = "memory.weight"

    @property
    def recalled(self) -> float:
        """The fraction of facts that the network answers rightly."""
        answers = self.network(torch.eye(len(self.follows))).argmax(-1)
        return float((answers == self.follows).double().mean())

    def data(self, n: int, seed: int) -> Dataset:
        """Uniform keys, one-hot, with what follows them."""
        drawn = torch.randint(len(self.follows), (n,), generator=torch.Generator().manual_seed(seed))
        inputs = torch.eye(len(self.follows))[drawn]
        scope = Scope(f"one of {len(self.follows)} keys", "uniform")
        return Dataset(self.network.name, inputs, self.follows[drawn], "sample", scope)


def bigram_memory(facts: int, dimensions: int, seed: int = 0, steps: int = STEPS) -> BigramMemory:
    """Store d bigrams in fewer dimensions: one-hot → keys → memory → logits, all linear, without biases.

    The followers are a permutation, so that every token is somebody's answer; ``steps`` of Adam on the whole
    list of facts move the values (0 leaves the closed form).
    """
    if not 0 < dimensions <= facts:
        raise InputError(f"a bigram memory needs 1 to {facts} dimensions for {facts} facts, got {dimensions}")
    generator = torch.Generator().manual_seed(seed)
    keys, tokens = (_unit(torch.randn(facts, dimensions, generator=generator)) for _ in range(2))
    follows = torch.randperm(facts, generator=generator)
    values = _fitted(keys, tokens, follows, steps)
    layers = {"keys": keys.T, "memory": values.T @ keys, "answers": SHARPNESS * tokens}
    module = nn.Sequential(OrderedDict((name, _linear(W)) for name, W in layers.items()))
    network = Network(f"bigrams-{facts}-{dimensions}", module, "categorical", "real", (facts,))
    return BigramMemory(network, follows, keys, values)


def _fitted(keys: Tensor, tokens: Tensor, follows: Tensor, steps: int) -> Tensor:
    """The values v_i after some steps from the closed form."""
    values = tokens[follows].clone().requires_grad_()
    optimiser = torch.optim.Adam([values], lr=RATE)
    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            logits = SHARPNESS * (keys @ keys.T) @ values @ tokens.T
            F.cross_entropy(logits, follows).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return values.detach()


def _unit(rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return unit


def _linear(W: Tensor) -> nn.Linear:
    layer = nn.Linear(W.shape[1], W.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(W)
    return layer
