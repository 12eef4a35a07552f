"""Recurrent networks that read a word by multiplying: their state is a product, one factor for each symbol.

Linear recurrences whose transition depends on the input are what state-space models use to track a state
(Merrill et al. 2024, The Illusion of State in State-Space Models, arXiv 2404.08819): diagonal complex ones
for sums modulo a number, full matrices for groups that do not commute and for other automata.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .automata import Automaton, automaton
from .errors import InputError
from .hooks import HookPoint

__all__ = ["ComplexProduct", "MatrixProduct", "ProductConfig"]


@dataclass(frozen=True)
class ProductConfig:
    """The automaton that is followed, symbols in a word, and width of the state."""

    automaton: str
    length: int
    width: int

    def __post_init__(self) -> None:
        automaton(self.automaton)
        if not 2 <= self.length <= 1024 or not 1 <= self.width <= 4096:
            raise InputError(
                f"a product of {self.length} symbols, {self.width} wide; expected 2 to 1024 and 1 to 4096"
            )

    @property
    def task(self) -> Automaton:
        """The automaton: its symbols are read, its states are answers."""
        return automaton(self.automaton)


class ComplexProduct(nn.Module):
    """State h = Z[x_1] ⊙ … ⊙ Z[x_K], complex numbers; logits Re Σ_k h_k conj(V_kj).

    For n symbols and m answers Z [n, d, 2] and W [d, 2, m] hold real and imaginary parts, V = W[:, 0] +
    i W[:, 1].
    """

    def __init__(self, config: ProductConfig) -> None:
        super().__init__()
        self.config = config
        self.Z = nn.Parameter(torch.empty(config.task.symbols, config.width, 2))
        self.W = nn.Parameter(torch.empty(config.width, 2, config.task.states))
        self.hook_state = HookPoint()

    def initialise(self, generator: torch.Generator) -> None:
        """Factors of modulus one and random phase; answers at 1 / sqrt(d)."""
        with torch.no_grad():
            drawn = torch.randn(self.Z.shape, generator=generator)
            self.Z.copy_(nn.functional.normalize(drawn, dim=-1))
            self.W.copy_(torch.randn(self.W.shape, generator=generator) / self.config.width**0.5)

    def forward(self, words: Tensor) -> Tensor:
        """Logits [b, m] of words [b, K]."""
        real, imaginary = self.Z[words[:, 0]].unbind(-1)
        for symbol in words.unbind(1)[1:]:
            a, b = self.Z[symbol].unbind(-1)
            real, imaginary = real * a - imaginary * b, real * b + imaginary * a
        state = self.hook_state(torch.cat([real, imaginary], dim=-1))
        logits: Tensor = state @ self.W.transpose(0, 1).flatten(0, 1)
        return logits


class MatrixProduct(nn.Module):
    """State h = start M[x_1] … M[x_K], a row of d numbers; logits h U.

    For n symbols and m answers start [d], M [n, d, d] and U [d, m].
    """

    def __init__(self, config: ProductConfig) -> None:
        super().__init__()
        self.config = config
        n, m, d = config.task.symbols, config.task.states, config.width
        self.start = nn.Parameter(torch.empty(d))
        self.M = nn.Parameter(torch.empty(n, d, d))
        self.U = nn.Parameter(torch.empty(d, m))
        self.hook_state = HookPoint()

    def initialise(self, generator: torch.Generator) -> None:
        """Random rotations, so that long products neither vanish nor grow."""
        with torch.no_grad():
            self.start.copy_(torch.randn(self.start.shape, generator=generator))
            self.M.copy_(torch.linalg.qr(torch.randn(self.M.shape, generator=generator))[0])
            self.U.copy_(torch.randn(self.U.shape, generator=generator) / self.config.width**0.5)

    def forward(self, words: Tensor) -> Tensor:
        """Logits [b, m] of words [b, K]."""
        state = self.start.expand(len(words), 1, -1)
        for symbol in words.unbind(1):
            state = state @ self.M[symbol]
        logits: Tensor = self.hook_state(state[:, 0]) @ self.U
        return logits
