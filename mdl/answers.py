"""Answers: what a classifier answers, told right or wrong.

The target is the most probable outcome of each row (argmax; of equals the first). The correction is a flag
for each row, adaptively coded, that says whether the explanation's own answer is right; where it is wrong,
the right answer follows, one of the K − 1 others. Every number here is an exact length, no expectation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .law import Rate
from .ledger import Line
from .lengths import Floats, elias_delta, kt_bernoulli
from .target import CorrectionTally


def answers(logits: Tensor) -> Tensor:
    """The most probable outcome of every row of logits [rows, K]; of equals the first, on every device."""
    places = torch.arange(logits.shape[-1], device=logits.device)
    most = logits == logits.amax(-1, keepdim=True)
    found: Tensor = torch.where(most, places, logits.shape[-1]).amin(-1)
    if bool((found == logits.shape[-1]).any()):
        raise ValueError("a row of logits holds NaN: it answers nothing")
    return found


@dataclass(frozen=True)
class AnswerTally:
    """Of ``rows`` answers out of ``outcomes``, how many are ``wrong``."""

    outcomes: int
    rows: int = 0
    wrong: int = 0

    def __add__(self, other: CorrectionTally) -> AnswerTally:
        assert isinstance(other, AnswerTally)
        return AnswerTally(self.outcomes, self.rows + other.rows, self.wrong + other.wrong)

    @property
    def other(self) -> float:
        """Bits of one of the other answers."""
        return math.log2(max(self.outcomes - 1, 1))

    @property
    def agreement(self) -> float:
        """The fraction of rows that the explanation answers as the model does."""
        return 1 - self.wrong / self.rows if self.rows else math.nan

    @property
    def rough(self) -> float:
        """The length itself."""
        return float(kt_bernoulli(self.wrong, self.rows)) + self.wrong * self.other

    def lines(self) -> list[Line]:
        """One line: KT flags, and an answer for each that is wrong."""
        code = f"flags, {self.wrong} of {self.rows} answers wrong"
        return [Line("answers", "correction", code, self.rough)]

    def rates(self, data: int) -> dict[str, tuple[Rate, ...]]:
        """Flags at one bit each, or at a frequency that is sent first."""
        told = float(elias_delta(self.wrong + 1) + elias_delta(max(self.rows, 1)))
        even = (self.rows + self.wrong * self.other) / data
        return {"answers": (Rate("even flags", 0.0, even), Rate("flags", told, self._frozen(self) / data))}

    def shares(self, blocks: list[CorrectionTally]) -> Floats:
        """Bits of each block at the frequency of all."""
        return np.array([self._frozen(b) for b in blocks if isinstance(b, AnswerTally)])

    def _frozen(self, block: AnswerTally) -> float:
        """Bits of a block at this tally's frequency."""
        bits, wrong = 0.0, block.wrong
        for count, of_all in ((wrong, self.wrong), (block.rows - wrong, self.rows - self.wrong)):
            bits -= count * math.log2(of_all / self.rows) if count else 0.0
        return bits + wrong * self.other


@dataclass(frozen=True)
class AnswerTarget:
    """The model's answers: the most probable outcome of logits [rows, outcomes]."""

    delta: None = None
    name = "answers"

    def compare(self, predicted: Tensor, truth: Tensor) -> AnswerTally:
        """Count the rows on which the two answer alike."""
        wrong = answers(predicted.flatten(0, -2)) != answers(truth.flatten(0, -2))
        return AnswerTally(int(truth.shape[-1]), len(wrong), int(wrong.sum()))
