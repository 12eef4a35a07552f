"""Found directions and components beside a known truth: how near, and how near by chance.

Sources: mean max cosine similarity, Sharkey et al. 2022; mean L2 ratio, Braun et al. 2025 (arXiv 2501.14926,
section 3.1). The mean max alone misleads: it grows with the number of candidates, and one candidate may serve
several truths. So it comes corrected for chance, and beside it a one-to-one matching.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ExplanationError

TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Matching:
    """A one-to-one matching of truths with candidates: the largest sum of cosines.

    ``truth`` and ``found`` [pairs] are indices; ``cosine`` [pairs]; ``ratio`` [pairs] is the candidate's
    length over the truth's. Of the longer list some stay without a partner.
    """

    truth: Tensor
    found: Tensor
    cosine: Tensor
    ratio: Tensor

    def agrees(self, cosine: float = 0.98, ratio: float = 0.1) -> Tensor:
        """Pairs with at least this cosine and lengths within ``ratio`` of each other: Boolean [pairs]."""
        return (self.cosine >= cosine) & ((self.ratio - 1).abs() <= ratio)


def cosines(truth: Tensor, found: Tensor) -> Tensor:
    """Cosines [n, K] of truths [n, …] with candidates [K, …], entries of any shape as long vectors.

    A vector of zeros has cosine 0 with everything.
    """
    if truth.shape[1:] != found.shape[1:] or not len(truth) or not len(found):
        raise ExplanationError(
            f"matching: got {tuple(truth.shape)} and {tuple(found.shape)}, expected [n, …], [K, …]"
        )
    a, b = (v.detach().double().flatten(1) for v in (truth, found))
    return (
        torch.nn.functional.normalize(a, dim=1, eps=TINY)
        @ torch.nn.functional.normalize(b, dim=1, eps=TINY).T
    )


def match(truth: Tensor, found: Tensor) -> Matching:
    """Truths [n, …] matched one-to-one with candidates [K, …] (Hungarian)."""
    from scipy.optimize import linear_sum_assignment

    table = cosines(truth, found)
    rows, columns = (torch.as_tensor(i) for i in linear_sum_assignment(table.cpu().numpy(), maximize=True))
    ratio = _lengths(found)[columns] / _lengths(truth)[rows].clamp_min(TINY)
    return Matching(rows, columns, table[rows, columns], ratio)


def match_columns(W: Tensor, parts: Tensor) -> Matching:
    """Columns of a weight W [rows, n] matched one-to-one with parts [C, rows, n]: column j with a part's own.

    By the smallest sum of distances between columns, not of angles: in few dimensions some dead part points
    the right way by chance. What a part holds in other columns does not count.
    """
    from scipy.optimize import linear_sum_assignment

    columns, truth = _columns(W, parts)
    distance = (columns - truth[:, None]).norm(dim=2)
    rows, found = (torch.as_tensor(i) for i in linear_sum_assignment(distance.cpu().numpy()))
    table = torch.stack([cosines(t[None], c)[0] for t, c in zip(truth, columns, strict=True)])
    ratio = columns[rows, found].norm(dim=1) / _lengths(truth)[rows].clamp_min(TINY)
    return Matching(rows, found, table[rows, found], ratio)


def mmcs(truth: Tensor, found: Tensor) -> float:
    """mean_i max_j cos(f_i, d_j) for truths [n, …] and candidates [K, …]."""
    return float(cosines(truth, found).amax(1).mean())


def chance_mmcs(width: int, candidates: int) -> float:
    """What :func:`mmcs` expects of candidates that are uniform on the sphere in ``width`` dimensions.

    The cosine t of two random directions has (t + 1)/2 ~ Beta((d−1)/2, (d−1)/2); with F its distribution the
    largest of K expects 1 − ∫ F(t)^K dt over [−1, 1].
    """
    from scipy.integrate import quad
    from scipy.special import betainc

    if width < 1 or candidates < 1:
        raise ExplanationError(f"chance needs a width and candidates, got {width} and {candidates}")
    if width == 1:
        return 1 - 2 * 0.5**candidates
    half = (width - 1) / 2
    below, _ = quad(lambda t: betainc(half, half, (t + 1) / 2) ** candidates, -1, 1, limit=200)
    return float(1 - below)


def corrected_mmcs(truth: Tensor, found: Tensor) -> float:
    """:func:`mmcs` on the scale where chance is 0 and perfect is 1."""
    chance = chance_mmcs(truth[0].numel(), len(found))
    return (mmcs(truth, found) - chance) / (1 - chance)


@dataclass(frozen=True)
class ColumnRecovery:
    """How well the columns of a weight are found: mean max cosine, also corrected for chance; L2 ratio."""

    mmcs: float
    corrected: float
    ml2r: float


def column_recovery(W: Tensor, parts: Tensor) -> ColumnRecovery:
    """For each column j of W [rows, n] the parts' columns j, of parts [C, rows, n] that sum to W.

    The mean L2 ratio is the length of the column with the largest cosine over that of the truth (1 is
    right, below 1 the parts have shrunk or split it).
    """
    columns, truths = _columns(W, parts)
    best, ratios = [], []
    for truth, found in zip(truths, columns, strict=True):
        row = cosines(truth[None], found)[0]
        winner = int(row.argmax())
        best.append(float(row[winner]))
        ratios.append(float(found[winner].norm() / truth.norm().clamp_min(TINY)))
    mean, chance = sum(best) / len(best), chance_mmcs(len(W), len(parts))
    return ColumnRecovery(mean, (mean - chance) / (1 - chance), sum(ratios) / len(ratios))


def _columns(W: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of the parts [n, C, rows] and of the weight [n, rows], as float64."""
    if parts.ndim != 3 or parts.shape[1:] != W.shape or not len(parts):
        raise ExplanationError(
            f"parts {tuple(parts.shape)} of a weight {tuple(W.shape)}, expected [C, rows, columns]"
        )
    return parts.detach().double().permute(2, 0, 1), W.detach().double().T


def _lengths(vectors: Tensor) -> Tensor:
    lengths: Tensor = vectors.detach().double().flatten(1).norm(dim=1)
    return lengths
