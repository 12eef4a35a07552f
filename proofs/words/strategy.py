"""What these strategies are, and what they are applied to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from assay.models import Network
from assay.models.automata import automaton
from assay.proofs.faults import InputError
from assay.proofs.strategies import Meter
from assay.proofs.strategies.bounding import AnyStrategy, Semantics

from .counting import certified
from .fourier import Waves, frequencies, outlying
from .pairs import Pairs, basis
from .reading import Shape, read

__all__ = ["BruteForce", "Explained", "Strategy", "Subject", "outcomes"]

Form = Literal["fourier", "pairs"]
LIMIT = 1 << 26
BATCH = 1 << 16


@dataclass(frozen=True)
class Subject:
    """A network that multiplies, and the arithmetic that is claimed about."""

    network: Network
    semantics: Semantics = "real"

    def __post_init__(self) -> None:
        if self.semantics == "float32" and self.network.dtype != torch.float32:
            raise InputError(
                f"network {self.network.name!r}: weights are {self.network.dtype}, expected torch.float32"
            )

    @cached_property
    def shape(self) -> Shape:
        """The sizes.  Raises `InputError`."""
        return read(self.network)


class Strategy(AnyStrategy[Subject, Shape], Protocol):
    """A way to bound from below how many words a network is right on."""

    def suits(self, shape: Shape) -> bool:
        """Whether it is about such networks."""


@dataclass(frozen=True)
class Explained:
    """A bound by an explanation of how factors multiply: `fourier`, with some symbols apart, or `pairs`.

    Attributes:
        apart: how many symbols, those with the largest errors, are a class of their own.
    """

    form: Form
    apart: int = 0

    @property
    def name(self) -> str:
        """The form and how many symbols are apart: pairs, fourier-4-apart."""
        return self.form + (f"-{self.apart}-apart" if self.apart else "")

    @property
    def argument(self) -> str:
        """The rules."""
        rules = {
            "fourier": "product of factors, triangle, larger amplitude, Cauchy-Schwarz, answers read off",
            "pairs": "atoms, growth of atoms",
        }
        return rules[self.form] + (", words by symbols apart" if self.apart else "")

    semantics: tuple[Semantics, ...] = ("real", "float32")

    def suits(self, shape: Shape) -> bool:
        """Fourier modes are of sums."""
        return not self.apart if self.form == "pairs" else shape.complex and self.apart < shape.n

    def cost(self, shape: Shape) -> int:
        """The largest parts: every weight, or every pair of states and factors."""
        if self.form == "fourier":
            return 50 * shape.n * shape.d
        width = shape.d * (1 + shape.complex)
        return shape.states * shape.n * width * (2 * width + 3)

    def unexplained(self, shape: Shape) -> int:
        """What each weight leaves over, and margins by difference; or pairs of states, and of answers."""
        return (
            (2 * shape.d + 1) * shape.n if self.form == "fourier" else (shape.n + shape.states) * shape.states
        )

    def told(self, subject: Subject) -> tuple[int, ...]:
        """The numbers that the verifier is told: frequencies, or the symbols of the basis."""
        network = subject.network
        return frequencies(network) if self.form == "fourier" else basis(network)

    def set_apart(self, subject: Subject) -> tuple[int, ...]:
        """The symbols that are apart."""
        return outlying(subject.network, self.told(subject), self.apart) if self.apart else ()

    def bits(self, subject: Subject) -> float:
        """The length of what is told, in bits: frequencies and which symbols are apart; or the basis."""
        n, states, told = subject.shape.n, subject.shape.states, self.told(subject)
        width = len(told)
        if self.form == "fourier":
            return (width + 1) * math.log2(n) + math.log2(math.comb(n, self.apart))
        rank = sum(b < states for b in told)
        return math.log2((width + 1) * math.comb(states, rank) * math.comb(width, rank))

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many of the n^K words are certified."""
        network, shape, float32 = subject.network, subject.shape, subject.semantics == "float32"
        if not self.suits(shape):
            raise InputError(
                f"strategy {self.name}: {shape.automaton}, {shape.n} symbols, expected sums of more"
            )
        told, apart = self.told(subject), self.set_apart(subject)
        if self.form == "pairs":
            return certified(shape, (), Pairs(network, shape, told, float32, meter).answers, meter)
        waves = Waves(network, shape, told, apart, float32, meter)
        return certified(shape, apart, waves.answers, meter)


class BruteForce:
    """Run the network on every word, as torch computes it here."""

    name = "brute-force"
    argument = "every word is run"
    semantics: tuple[Semantics, ...] = ("float32",)

    def suits(self, shape: Shape) -> bool:
        """Where there are not too many words."""
        return shape.sequences <= LIMIT

    def cost(self, shape: Shape) -> int:
        """One forward pass for each word."""
        meter = Meter()
        if shape.complex:
            meter.each("products", (shape.K - 1) * shape.d, times=6)
            meter.product("logits", 1, 2 * shape.d, shape.states)
        else:
            meter.product("products", shape.K, shape.d, shape.d)
            meter.product("logits", 1, shape.d, shape.states)
        meter.each("comparison", shape.states)
        return meter.total * shape.sequences

    def unexplained(self, shape: Shape) -> int:
        """Every logit of every word."""
        return shape.states * shape.sequences

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many words the network gets right.  Raises `InputError` if there are too many."""
        shape = subject.shape
        if not self.suits(shape):
            raise InputError(
                f"strategy {self.name}: {shape.n}^{shape.K} words are too many to list, "
                f"expected at most {LIMIT}"
            )
        meter.each("forward passes", self.cost(shape))
        return sum(int(right.sum()) for _, right in outcomes(subject))


def outcomes(subject: Subject) -> Sequence[tuple[torch.Tensor, torch.Tensor]]:
    """Every word, and whether the state it leads to has the one largest logit: [b, K] and [b], in batches."""
    return [_judged(subject, first) for first in range(0, subject.shape.sequences, BATCH)]


def _judged(subject: Subject, first: int) -> tuple[torch.Tensor, torch.Tensor]:
    shape = subject.shape
    numbers = torch.arange(first, min(first + BATCH, shape.sequences))
    words = numbers[:, None] // shape.n ** torch.arange(shape.K) % shape.n
    best = subject.network(words.to(subject.network.device)).cpu().topk(2, dim=-1)
    right = best.indices[:, 0] == automaton(shape.automaton).run(words)
    return words, right & (best.values[:, 0] > best.values[:, 1])
