"""The bits of every datum's activations under an explanation that was fitted to trusted data.

Source of the idea: the discussions of mechanistic anomaly detection (P. Christiano 2022, "Mechanistic anomaly
detection and ELK"): an anomaly is what a short explanation of the trusted data does not shorten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Code, GridTarget, SiteExplanation, SiteProblem
from assay.mdl.calibrate import calibrate
from assay.mdl.site import Channel
from torch import Tensor

from .observations import Observations
from .prices import KeyedPrices, SupportPrices

if TYPE_CHECKING:
    from .output_bits import OutputBits

Fitted = TypeVar("Fitted", "SiteBits", "OutputBits")


@dataclass(frozen=True, eq=False)
class SiteBits:
    """A site explanation with its codes fixed: prices of rows, and what its parts cost.

    ``parts_bits`` is the stated budget: bits of the dictionary that trusted data use; ``trusted_bits`` is
    the whole message about the trusted data under these prices, dictionary included.
    """

    name: str
    channel: Channel
    support: SupportPrices
    values: KeyedPrices
    residual: KeyedPrices
    parts_bits: float
    trusted_bits: float

    @classmethod
    def fit(cls, explanation: SiteExplanation, trusted: Observations, delta: float) -> SiteBits:
        """Choose steps and codes on trusted activations, told on a grid of step ``delta``."""
        x = trusted.rows()
        problem = SiteProblem(x, GridTarget(delta), delta, trusted.positions)
        channel = Channel(explanation, delta, calibrate(explanation, problem, "auto", 512).knobs)
        return cls.of(channel, channel.integers(x), x)

    @classmethod
    def of(cls, channel: Channel, code: Code, x: Tensor) -> SiteBits:
        """Prices fitted to the trusted rows x [n, d] as they are told by a code."""
        counts = torch.bincount(code.part, minlength=code.parts)
        residual = channel.residual(x, code)
        fitted = cls(
            channel.explanation.name,
            channel,
            SupportPrices.fit(counts, code.rows),
            KeyedPrices.fit(code.part, code.value, channel.parts),
            KeyedPrices.fit(coordinates(residual), residual, channel.width),
            channel.sent.total(counts.cpu().numpy()),
            0.0,
        )
        told = float(fitted.bits(code, residual).sum())
        return cls(**{**vars(fitted), "trusted_bits": fitted.parts_bits + told})

    def score(self, seen: Observations) -> Tensor:
        """Bits of every datum [n], float64: the higher, the stranger."""
        return seen.by_datum(self.rows(seen.rows()))

    def rows(self, x: Tensor) -> Tensor:
        """Bits of every row of activations [rows, d]: active set, coefficients and residual."""
        return self.told(x)[1]

    @property
    def prices(self) -> SiteBits:
        """Itself: what a search for codes builds on has this name too."""
        return self

    def told(self, x: Tensor) -> tuple[Code, Tensor]:
        """The integers of rows x [rows, d], and their bits [rows]."""
        code = self.channel.integers(x)
        return code, self.bits(code, self.channel.residual(x, code))

    def bits(self, code: Code, residual: Tensor) -> Tensor:
        """Bits of each row of a code [rows], with what it leaves on the grid [rows, d]."""
        bits = self.support.prices(code.row, code.part, code.rows)
        bits = bits.index_add(0, code.row.cpu(), self.values.prices(code.part, code.value))
        return bits + self.residual.prices(coordinates(residual), residual).sum(1)


def coordinates(residual: Tensor) -> Tensor:
    """The coordinate of every integer of a residual [rows, d]."""
    return torch.arange(residual.shape[1]).expand(residual.shape).contiguous()


def usual_delta(trusted: Observations) -> float:
    """A sixteenth of the spread of the trusted activations."""
    spread = float(trusted.rows().std())
    if not 0 < spread < float("inf"):
        raise ExplanationError(
            f"the trusted activations have the spread {spread}: give the grid's step (--delta)"
        )
    return spread / 16


def within_budget(fitted: Sequence[SiteBits], budget: float) -> SiteBits:
    """The shortest message about the trusted data among those whose parts cost at most ``budget`` bits.

    Raises :class:`ExplanationError` where none is that short.
    """
    return min(affordable(fitted, budget), key=lambda one: (one.trusted_bits, one.name))


def affordable(fitted: Sequence[Fitted], budget: float) -> list[Fitted]:
    """Those whose parts cost at most ``budget`` bits.  Raises :class:`ExplanationError` where none does."""
    if kept := [one for one in fitted if one.parts_bits <= budget]:
        return kept
    least = min(fitted, key=lambda one: one.parts_bits)
    raise ExplanationError(
        f"no explanation fits a budget of {budget:g} bits; the smallest, {least.name}, "
        f"takes {least.parts_bits:.0f} bits"
    )
