"""The field's usual detectors, always beside the bits.

One fact joins three of them: Olah's D* = sup_v (v·h)² / Σ_j (v·h_j)² is the leverage hᵀ(HᵀH)⁺h, which is
Mahalanobis' distance about the origin over n, and the bits of a Gaussian code are linear in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from assay.explanations.errors import ExplanationError
from torch import Tensor
from torch.nn import functional as F

from .observations import Observations

RELATIVE = 1e-10
"""Directions with less than this share of the largest second moment count as unseen."""


@dataclass(frozen=True, eq=False)
class Quadratic:
    """(a − centre)ᵀ M (a − centre), summed over the positions of a datum."""

    name: str
    centre: Tensor
    M: Tensor

    def score(self, seen: Observations) -> Tensor:
        """[n], float64."""
        a = seen.rows().double() - self.centre
        return seen.by_datum(((a @ self.M) * a).sum(1))


def mahalanobis(trusted: Observations) -> Quadratic:
    """(a − μ)ᵀ Σ⁺ (a − μ), with μ and Σ of the trusted activations (Lee et al. 2018, without classes)."""
    a = trusted.rows().double()
    centred = a - a.mean(0)
    return Quadratic("Mahalanobis", a.mean(0), pseudo_inverse(centred.T @ centred / len(a)))


def leverage(trusted: Observations) -> Quadratic:
    """hᵀ (HᵀH)⁺ h with H the trusted activations: equal to D* for what lies in their span."""
    H = trusted.rows().double()
    return Quadratic("leverage (D*)", torch.zeros(H.shape[1], dtype=torch.float64), pseudo_inverse(H.T @ H))


def pseudo_inverse(moment: Tensor) -> Tensor:
    """M⁺ of a positive semi-definite matrix [d, d]."""
    values, vectors = torch.linalg.eigh(moment)
    kept = values > RELATIVE * values[-1].clamp_min(torch.finfo(torch.float64).tiny)
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1.0), 0.0)
    pseudo: Tensor = (vectors * inverse) @ vectors.T
    return pseudo


@dataclass(frozen=True, eq=False)
class NegativeLoss:
    """−loss on the data's own labels: what the model is surer of than it should be."""

    name = "−loss"

    def score(self, seen: Observations) -> Tensor:
        """[n]: minus the cross-entropy (nats, summed over positions), or minus the relative squared error."""
        if seen.outputs is None or seen.labels is None:
            raise ExplanationError("−loss needs the model's outputs and the data's labels")
        outputs, labels = seen.outputs.double(), seen.labels
        if labels.is_floating_point():
            error = (outputs - labels).square().flatten(1).sum(1)
            return -error / labels.double().square().flatten(1).sum(1).clamp_min(1e-30)
        nats = F.cross_entropy(outputs.flatten(0, -2), labels.flatten().long(), reduction="none")
        return -seen.by_datum(nats)


class LocalOutliers:
    """Local outlier factor of the mean activation of a datum (Breunig et al. 2000; scikit-learn)."""

    name = "LOF"

    def __init__(self, trusted: Observations, neighbours: int = 20) -> None:
        from sklearn.neighbors import LocalOutlierFactor

        x = _means(trusted)
        if len(x) < 2:
            raise ExplanationError(f"LOF needs two trusted data or more, got {len(x)}")
        self._model = LocalOutlierFactor(n_neighbors=min(neighbours, len(x) - 1), novelty=True).fit(x.numpy())

    def score(self, seen: Observations) -> Tensor:
        """[n]: the factor, about 1 for ordinary data."""
        return torch.from_numpy(-self._model.score_samples(_means(seen).numpy()))


def _means(seen: Observations) -> Tensor:
    x = seen.rows().double()
    return x.reshape(seen.size, -1, x.shape[1]).mean(1)
