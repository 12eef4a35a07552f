"""How far outputs are from the model's, datum by datum: means over data are fooled by cancellation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import kl_bits
from assay.mdl.compute import ComputeCurve
from assay.models import Network
from torch import Tensor
from torch.nn import functional as F

FAITHFUL = {"categorical": 0.05, "regression": 0.1}
"""Divergence of a datum up to which a trial is passed: bits of KL, and the share of the outputs' variance."""


def divergences(network: Network, outputs: Tensor, other: Tensor) -> Tensor:
    """[n]: KL(model ‖ other) in bits, summed over positions; for regression ‖Δ‖² over the outputs' variance.

    Differentiable in ``other``.
    """
    n = len(outputs)
    if network.output == "categorical":
        return kl_bits(outputs.flatten(0, -2), other.flatten(0, -2)).reshape(n, -1).sum(1)
    scale = (outputs - outputs.mean(0)).double().square().flatten(1).sum(1).mean().clamp_min(1e-30)
    return (outputs - other).double().square().flatten(1).sum(1) / scale


@dataclass(frozen=True, eq=False)
class Sufficiency:
    """Outputs that stand for the model's: divergence of each datum [n], and readings of the mean loss.

    Losses are in nats; None without labels. ``compute_recovered`` needs a curve.
    """

    each: Tensor
    unit: str
    tolerance: float
    loss_recovered: float | None = None
    compute_recovered: float | None = None

    @property
    def mean(self) -> float:
        """Over data; inf where any is."""
        return float(self.each.mean())

    @property
    def worst(self) -> float:
        """The largest."""
        return float(self.each.max())

    def interval(self, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
        """95 % bootstrap interval of the mean."""
        generator = torch.Generator().manual_seed(seed)
        each = self.each.cpu()
        means = each[torch.randint(len(each), (draws, len(each)), generator=generator)].mean(1)
        low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
        return low, high

    @property
    def sufficient(self) -> bool:
        """Whether the mean divergence is small; the loss has no say in it."""
        return self.mean <= self.tolerance

    @property
    def fools_the_loss(self) -> bool:
        """Not faithful, and yet 99 % of the loss or more is recovered."""
        return not self.sufficient and self.loss_recovered is not None and self.loss_recovered >= 0.99

    def readings(self) -> dict[str, float]:
        """As entries of a report."""
        low, high = self.interval()
        found = {"divergence": self.mean, "low": low, "high": high, "worst": self.worst}
        for name in ("loss_recovered", "compute_recovered"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        return found


def sufficiency(
    network: Network,
    outputs: Tensor,
    scrubbed: Tensor,
    random: Tensor,
    labels: Tensor | None = None,
    curve: ComputeCurve | None = None,
) -> Sufficiency:
    """Compare ``scrubbed`` outputs with the model's own; ``random`` are those with everything scrubbed.

    Loss recovered is (L_rand − L_scrub) / (L_rand − L_model).
    """
    each = divergences(network, outputs, scrubbed).detach()
    unit = "bits" if network.output == "categorical" else "of variance"
    faithful = FAITHFUL[network.output]
    if labels is None or network.output != "categorical":
        return Sufficiency(each, unit, faithful)
    model, told, floor = (_loss(o, labels) for o in (outputs, scrubbed, random))
    recovered = (floor - told) / (floor - model) if floor > model else math.nan
    compute = None if curve is None else curve.recovered(model, told)
    return Sufficiency(each, unit, faithful, recovered, compute)


def _loss(outputs: Tensor, labels: Tensor) -> float:
    flat = labels.flatten().long().to(outputs.device)
    if len(flat) != outputs[..., 0].numel():
        raise ExplanationError(f"{len(flat)} labels for {outputs[..., 0].numel()} outputs")
    return float(F.cross_entropy(outputs.flatten(0, -2).double(), flat))
