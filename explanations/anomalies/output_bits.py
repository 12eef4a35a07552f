"""The bits of every datum's output given a mechanism explanation, under codes fitted to trusted data.

A complete explanation explains the anomaly too: it leaves nothing of any output, so every datum costs the
same and AUROC is exactly one half. What tells an anomaly is an explanation at a budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import kl_bits
from assay.mdl.grid import EXACT
from assay.mdl.keyed import keyed, rough_bits
from assay.mdl.parts import SentParts, send_parts
from assay.mdl.target import MICRO
from torch import Tensor

from .observations import Observations
from .prices import KeyedPrices, SupportPrices

PRECISIONS = (4, 6, 8, 10, 12, 16)
FINEST = 32
CHUNK = 256


@dataclass(frozen=True, eq=False)
class OutputBits:
    """A mechanism explanation as it is sent, and fixed codes of active sets and residuals.

    Numbers are told in steps of ``delta`` from what the explanation predicts, which restores them to half a
    step; where it is None, by KL(model ‖ explanation) in steps of 2⁻²⁰ bits, and what the explanation calls
    impossible by a raw outcome behind a flag. ``parts_bits`` is the budget that it takes, ``trusted_bits``
    the whole message about the trusted data.
    """

    name: str
    explanation: Any
    sent: SentParts
    delta: float | None
    support: SupportPrices
    residual: KeyedPrices | None
    parts_bits: float
    trusted_bits: float
    impossible: float

    @classmethod
    def fit(
        cls, explanation: Any, trusted: Observations, delta: float | None, precision: int | None = None
    ) -> OutputBits:
        """With the precision of parts (2 to 32 bits) that makes the message about trusted data shortest."""
        if precision is None:
            precision = min(PRECISIONS, key=lambda bits: rough_length(explanation, trusted, delta, bits))
        return cls._at(explanation, trusted, delta, precision)

    @classmethod
    def _at(cls, explanation: Any, trusted: Observations, delta: float | None, precision: int) -> OutputBits:
        sent = send_parts(explanation.parts(), precision, thorough=False)
        told = list(_told(explanation, sent, trusted))
        active = torch.cat([one for one, _ in told])
        predicted = torch.cat([one for _, one in told])
        counts = active.sum(0)
        truth = outputs_of(trusted)
        residual, impossible = None, 0.0
        if delta is not None:
            left = _residual(predicted, truth, delta)
            residual = KeyedPrices.fit(_coordinates(left), left, left.shape[1])
        else:
            lost = int(torch.isinf(kl_bits(_flat(truth), _flat(predicted))).sum())
            share = (lost + 0.5) / (len(_flat(truth)) + 1)
            impossible = math.log2(truth.shape[-1]) - math.log2(share)
        support = SupportPrices.fit(counts, len(active))
        parts = sent.total(counts.numpy())
        made = cls(explanation.name, explanation, sent, delta, support, residual, parts, 0.0, impossible)
        bits = made.bits(active, predicted, truth).sum()
        return replace(made, trusted_bits=parts + float(bits))

    def score(self, seen: Observations) -> Tensor:
        """Bits of every datum [n], float64."""
        bits, start, truth = [], 0, outputs_of(seen)
        for active, predicted in _told(self.explanation, self.sent, seen):
            rows = slice(start, start + len(predicted))
            bits.append(self.bits(active, predicted, truth[rows]))
            start = rows.stop
        return torch.cat(bits)

    def bits(self, active: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """Bits of each datum; active [data · positions, parts]."""
        row, part = active.nonzero(as_tuple=True)
        sets = self.support.prices(row, part, len(active)).reshape(len(truth), -1).sum(1)
        if self.residual is not None and self.delta is not None:
            left = _residual(predicted, truth, self.delta)
            return sets + self.residual.prices(_coordinates(left), left).sum(1)
        kl = kl_bits(_flat(truth), _flat(predicted))
        told = torch.where(torch.isinf(kl), self.impossible, (kl * MICRO).round() / MICRO)
        return sets + told.reshape(len(truth), -1).sum(1)


def rough_length(explanation: Any, trusted: Observations, delta: float | None, precision: int) -> float:
    """A quick length of the message about trusted data, parts included: for choosing among messages."""
    sent, truth = send_parts(explanation.parts(), precision, thorough=False), outputs_of(trusted)
    told = list(_told(explanation, sent, trusted))
    active, predicted = torch.cat([one for one, _ in told]), torch.cat([one for _, one in told])
    counts, rows = active.sum(0), len(active)
    if delta is None:
        kl = kl_bits(_flat(truth), _flat(predicted))
        lost = torch.isinf(kl)
        left = float(kl[~lost].sum()) + float(lost.sum()) * (1 + math.log2(truth.shape[-1]))
    else:
        residual = _residual(predicted, truth, delta)
        left = rough_bits(keyed(torch.zeros_like(residual).flatten(), residual.flatten()), 1)
    p = (counts.double() + 0.5) / (rows + 1)
    sets = -(counts * p.log2() + (rows - counts) * (1 - p).log2()).sum()
    return float(sent.total(counts.numpy())) + left + float(sets)


def _told(explanation: Any, sent: SentParts, seen: Observations) -> Iterator[tuple[Tensor, Tensor]]:
    """Active sets [data · positions, parts] and predictions of some data at a time, on the CPU."""
    if seen.inputs is None:
        raise ExplanationError(
            f"{explanation.name}: the bits of outputs need the inputs, not only activations"
        )
    device = explanation.network.device
    with torch.no_grad():
        for x in torch.split(seen.inputs, CHUNK):
            x = x.to(device)
            active = explanation.active(sent.restored, x)
            predicted = explanation.predict(sent.restored, x, active)
            yield active.flatten(0, 1).cpu(), predicted.cpu()


def usual_output_delta(trusted: Observations) -> float:
    """A sixteenth of the spread of the trusted outputs (1 where they do not vary)."""
    return float(outputs_of(trusted).double().std()) / 16 or 1.0


def tolerated_delta(explanation: Any, trusted: Observations, share: float = 0.05) -> float:
    """The step at which the explanation holds: all outputs within half a step on 1 − ``share`` of the data.

    Not finer than the usual step. Finer grids tell what no explanation at this budget says, a sum over all
    outputs that drowns what it does say; this step is chosen by trusted data alone.
    """
    sent, truth = send_parts(explanation.parts(), max(PRECISIONS), thorough=False), outputs_of(trusted)
    predicted = torch.cat([one for _, one in _told(explanation, sent, trusted)])
    worst = (truth.double() - predicted.double()).abs().flatten(1).amax(1)
    return max(2 * float(torch.quantile(worst, 1 - share)), usual_output_delta(trusted))


def outputs_of(seen: Observations) -> Tensor:
    """The model's outputs, or an error."""
    if seen.outputs is None:
        raise ExplanationError("the bits of outputs need the model's outputs")
    return seen.outputs


def _flat(logits: Tensor) -> Tensor:
    return logits.flatten(0, -2)


def _residual(predicted: Tensor, truth: Tensor, delta: float) -> Tensor:
    """Steps from the prediction to the truth, rounded: integers [data, coordinates]."""
    steps = (truth.double() - predicted.double()) / delta
    if not bool((steps.abs() < EXACT).all()):
        raise ExplanationError(
            f"outputs lie {float(steps.abs().max()):g} steps from the prediction: delta is too fine"
        )
    return steps.round().long().flatten(1)


def _coordinates(residual: Tensor) -> Tensor:
    return torch.arange(residual.shape[1]).expand(residual.shape).contiguous()
