"""Targets: what the receiver must be able to restore, and what correcting a prediction costs.

- :class:`GridTarget`: every coordinate to a grid of step delta; the correction is an integer residual;
- :class:`CategoricalTarget`: the model's output distribution; the correction is KL(p_M ‖ q_E) in bits, the
  expected extra cost of coding the model's outputs with the explanation's prediction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .grid import rounded
from .keyed import Sharing, keyed, rough_bits, split
from .law import Rate
from .ledger import Line
from .lengths import Floats, kt_bernoulli
from .residual import CELLS, DISTANCES, folded, linear_residuals, nearest_cell, plain, shortest_residuals
from .tally import Histogram


class CorrectionTally(Protocol):
    """Sufficient statistics of a correction: they add, and have a length."""

    def __add__(self, other: CorrectionTally) -> CorrectionTally: ...

    @property
    def rough(self) -> float:
        """A quick length, for choosing steps."""

    def lines(self) -> list[Line]:
        """What the correction costs on the data that were tallied."""

    def rates(self, data: int) -> dict[str, tuple[Rate, ...]]:
        """Linear codes of the correction, per datum."""

    def shares(self, blocks: list[CorrectionTally]) -> Floats:
        """How the bits fall on blocks of the data."""


class Target(Protocol):
    """What a message must restore."""

    @property
    def name(self) -> str:
        """What is restored: grid, outcomes or answers."""

    @property
    def delta(self) -> float | None:
        """The step of the grid, where there is one."""

    def compare(self, predicted: Tensor, truth: Tensor) -> CorrectionTally:
        """Tally what has to be sent so that the receiver, who has ``predicted``, gets ``truth``."""


@dataclass(frozen=True, eq=False)
class ResidualTally:
    """Residuals by coordinate and by the fraction of the prediction (:mod:`residual`), and the integer
    moments behind the fraction of variance unexplained."""

    placed: Histogram
    width: int
    rows: int
    sums: tuple[int, ...]
    squares: int

    def __add__(self, other: CorrectionTally) -> ResidualTally:
        assert isinstance(other, ResidualTally)
        return ResidualTally(
            self.placed + other.placed,
            self.width,
            self.rows + other.rows,
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            self.squares + other.squares,
        )

    @cached_property
    def square_error(self) -> int:
        """Sum of squared residuals."""
        symbols = split(self.placed)[1]
        return sum(s * s * n for s, n in zip(symbols.tolist(), self.placed.counts.tolist(), strict=True))

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained, about the mean, on the grid."""
        variance = self.squares - sum(s * s for s in self.sums) / max(self.rows, 1)
        return self.square_error / variance if variance > 0 else math.nan

    @cached_property
    def residuals(self) -> Histogram:
        """Residuals by coordinate alone."""
        return plain(self.placed)

    @cached_property
    def _linear(self) -> list[Sharing]:
        return list(linear_residuals(self.placed, self.width))

    @property
    def rough(self) -> float:
        """A quick length, for choosing steps."""
        by_fraction = rough_bits(folded(self.placed), self.width, DISTANCES)
        return min(rough_bits(self.residuals, self.width), by_fraction)

    def lines(self) -> list[Line]:
        """One line: the residual under the shortest sharing of stream codes."""
        way = shortest_residuals(self.placed, self.width)
        bits = way.header + way.bits(self.placed)
        return [Line("residual", "correction", way.label, bits, way.header)]

    def rates(self, data: int) -> dict[str, tuple[Rate, ...]]:
        """Frozen codes: linear in the data."""
        ways = ((w.label, w.header, w.bits(self.placed) / data) for w in self._linear)
        return {"residual": tuple(Rate(*way) for way in ways)}

    def shares(self, blocks: list[CorrectionTally]) -> Floats:
        """Bits of each block under the frozen code of all."""
        way = min(self._linear, key=lambda w: w.header + w.bits(self.placed))
        return np.array([way.bits(b.placed) for b in blocks if isinstance(b, ResidualTally)])


@dataclass(frozen=True)
class GridTarget:
    """Every coordinate to a grid of step ``delta``."""

    delta: float
    name = "grid"

    def compare(self, predicted: Tensor, truth: Tensor) -> ResidualTally:
        """``predicted`` and ``truth`` [rows, d], real numbers."""
        return residuals(predicted.flatten(0, -2), truth.flatten(0, -2), self.delta)


def residuals(predicted: Tensor, truth: Tensor, step: float) -> ResidualTally:
    """The tally of what predictions miss of the truth on its grid, by their cells; both [rows, d]."""
    wanted = rounded(truth, step)
    nearest, cell = nearest_cell(predicted, step)
    rows, width = wanted.shape
    keys = torch.arange(width, device=wanted.device) * CELLS + cell
    placed = keyed(keys.flatten(), (wanted - nearest).long().flatten())
    sums = tuple(map(int, wanted.sum(0).tolist()))
    power = sum(map(int, wanted.square_().sum(0).tolist()))
    return ResidualTally(placed, width, rows, sums, power)


MICRO = 2**20  # KL is tallied in integers of 2⁻²⁰ bits, so that sums do not depend on order


@dataclass(frozen=True)
class DivergenceTally:
    """Σ KL in 2⁻²⁰ bits over the rows where it is finite, and how many rows are not."""

    outcomes: int
    rows: int = 0
    finite: int = 0
    infinite: int = 0
    extra: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: CorrectionTally) -> DivergenceTally:
        assert isinstance(other, DivergenceTally)
        return DivergenceTally(
            self.outcomes, self.rows + other.rows, self.finite + other.finite, self.infinite + other.infinite
        )

    @property
    def kl(self) -> float:
        """Mean KL in bits per row; inf where any row is infinite."""
        return math.inf if self.infinite else self.finite / MICRO / max(self.rows, 1)

    @property
    def bits(self) -> float:
        """Finite code: KL where finite; a flag per row and the raw output where not."""
        if not self.infinite:
            return self.finite / MICRO
        flags = float(kt_bernoulli(self.infinite, self.rows))
        return self.finite / MICRO + flags + self.infinite * math.log2(self.outcomes)

    @property
    def rough(self) -> float:
        """The length itself."""
        return self.bits

    def lines(self) -> list[Line]:
        """One line, an estimate: KL is an expectation."""
        code = "KL" if not self.infinite else f"KL, {self.infinite} rows infinite: flag and raw output"
        return [Line("divergence", "correction", code, self.bits, 0.0, "estimate")]

    def rates(self, data: int) -> dict[str, tuple[Rate, ...]]:
        """Linear in the data."""
        return {"divergence": (Rate("KL", 0.0, self.bits / data),)}

    def shares(self, blocks: list[CorrectionTally]) -> Floats:
        """KL of each block."""
        return np.array([b.bits for b in blocks if isinstance(b, DivergenceTally)])


@dataclass(frozen=True)
class CategoricalTarget:
    """The model's distribution over outcomes, given by logits [rows, outcomes]."""

    delta: None = None
    name = "outcomes"

    def compare(self, predicted: Tensor, truth: Tensor) -> DivergenceTally:
        """KL(truth ‖ predicted) of every row; −inf logits are outcomes of probability 0."""
        bits = kl_bits(truth.flatten(0, -2), predicted.flatten(0, -2))
        finite = torch.isfinite(bits)
        micro = (bits[finite] * MICRO).round().long().sum()
        lost = int((~finite).sum())
        return DivergenceTally(int(truth.shape[-1]), len(bits), int(micro), lost)


def kl_bits(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(p ‖ q) in bits of every row of logits [rows, outcomes], float64; inf where q gives 0 and p not."""
    log_p, log_q = p_logits.double().log_softmax(-1), q_logits.double().log_softmax(-1)
    p = log_p.exp()
    terms = torch.where(p > 0, p * (log_p - log_q), torch.zeros_like(p))
    return terms.sum(-1).clamp_min(0) / math.log(2)
