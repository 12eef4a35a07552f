"""Recovery against a known truth, likeness of two explanations, and readings of circuits.

Directions and components are matched in :mod:`assay.explanations.matching` (MMCS corrected for chance,
one-to-one matching, ML2R). Here: RSA and CKA of codes, router geometry, edges, and the areas of MIB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from assay.explanations.anomalies.measures import auroc
from assay.explanations.errors import ExplanationError
from torch import Tensor


def shrunk(x: float, sparsity: float = 1.0) -> float:
    """What a one-feature SAE makes of a number: argmin_a (x − a)² + sparsity |a|, its bias of shrinkage.

    >>> shrunk(2.0)
    1.5
    """
    return (abs(x) - sparsity / 2) * (1 if x >= 0 else -1) if abs(x) > sparsity / 2 else 0.0


def cka(a: Tensor, b: Tensor) -> float:
    """Linear CKA of codes [n, p] and [n, q] on the same data (Kornblith et al. 2019).

    It is 1 where they differ by a rotation and a scale.
    """
    a, b = _centred(a, b)
    cross = (a.T @ b).square().sum()
    own = (a.T @ a).norm() * (b.T @ b).norm()
    return float(cross / own) if own > 0 else 0.0


def rsa(a: Tensor, b: Tensor) -> float | None:
    """Spearman's correlation of the pairwise distances of data under two codes (Kriegeskorte et al. 2008).

    None where all data are equally far from each other under one of them: there is no order to compare.
    """
    from scipy.stats import spearmanr

    a, b = _centred(a, b)
    if len(a) < 3:
        raise ExplanationError(f"RSA needs three data or more, got {len(a)}")
    distances = [torch.pdist(x).numpy() for x in (a, b)]
    if any(d.min() == d.max() for d in distances):
        return None
    return float(spearmanr(*distances).statistic)


def _centred(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ExplanationError(f"codes {tuple(a.shape)} and {tuple(b.shape)}, expected [n, p] and [n, q]")
    return tuple(x.detach().double().cpu() - x.detach().double().cpu().mean(0) for x in (a, b))  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class RouterGeometry:
    """``cosines`` [experts, experts] of router rows; ``own`` and ``other``: mean cosine of an expert's router
    row with decoder rows of its own features, and with those of other experts."""

    cosines: Tensor
    own: float
    other: float


def router_geometry(rows: Tensor, decoder: Tensor, expert: Tensor) -> RouterGeometry:
    """Of router rows [experts, d], decoder rows [features, d], and the expert of each feature [features]."""
    if rows.ndim != 2 or decoder.shape[1:] != rows.shape[1:] or expert.shape != decoder.shape[:1]:
        raise ExplanationError(
            f"router {tuple(rows.shape)}, decoder {tuple(decoder.shape)}, experts {tuple(expert.shape)}: "
            "expected [experts, d], [features, d] and [features]"
        )
    r, w = (torch.nn.functional.normalize(x.detach().double(), dim=1) for x in (rows, decoder))
    table = w @ r.T
    mine = torch.nn.functional.one_hot(expert.long(), len(rows)).bool()
    return RouterGeometry(r @ r.T, float(table[mine].mean()), float(table[~mine].mean()))


@dataclass(frozen=True)
class EdgesFound:
    """How a circuit agrees with the true one; ``auroc`` where edges have scores and some are false."""

    precision: float
    recall: float
    auroc: float | None = None


def edges_found(truth: Tensor, found: Tensor, scores: Tensor | None = None) -> EdgesFound:
    """Boolean edges of any shape, over the edges that exist; ``scores`` of the same shape rank them."""
    if truth.shape != found.shape or (scores is not None and scores.shape != truth.shape):
        raise ExplanationError(
            f"edges {tuple(truth.shape)} and {tuple(found.shape)}, expected the same shape"
        )
    truth, found = truth.bool(), found.bool()
    both = int((truth & found).sum())
    precision = both / int(found.sum()) if found.any() else 1.0
    recall = both / int(truth.sum()) if truth.any() else 1.0
    both_kinds = bool(truth.any()) and not bool(truth.all())
    ranked = auroc(scores[~truth], scores[truth]) if scores is not None and both_kinds else None
    return EdgesFound(precision, recall, ranked)


@dataclass(frozen=True)
class Areas:
    """MIB's CPR and CMD, and the CPR that the whole model at the end of the curve gives for free.

    CPR = ∫ f, CMD = ∫ |1 − f| over the share of edges kept (Mueller et al. 2025), by trapezoids.
    """

    cpr: float
    cmd: float
    trivial: float


MIB_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def areas(faithfulness: Sequence[float], sizes: Sequence[float] = MIB_SIZES) -> Areas:
    """Of faithfulness at each share of edges, ascending to 1.

    >>> areas([0.0] * 9 + [1.0]).cpr
    0.25
    """
    if len(sizes) != len(faithfulness) or len(sizes) < 2 or list(sizes) != sorted(set(sizes)):
        raise ExplanationError("areas need faithfulness at two or more ascending shares of edges")
    x, f = torch.tensor(list(sizes)).double(), torch.tensor(list(faithfulness)).double()
    last = (f.new_tensor(sizes[-1]) - sizes[-2]) / 2
    area = torch.trapezoid
    return Areas(float(area(f, x)), float(area((1 - f).abs(), x)), round(float(last), 12))
