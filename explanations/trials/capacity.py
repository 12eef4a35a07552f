"""Capacity: what share of a dimension each feature has.

C_i = (W_i·W_i)² / Σ_j (W_i·W_j)² of embeddings W_i, 0 <= C_i <= 1 (Scherlis et al. 2022, arXiv 2210.01892).
That Σ C_i <= rank(W) is proved for a matrix by :mod:`assay.proofs.capacity`. Where there is no linear
embedding, a part's share of the message takes its place: at a site (:func:`bit_shares`) and of mechanisms,
circuits and components alike (:func:`message_shares`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from assay.explanations.anomalies.observations import Observations
from assay.explanations.anomalies.site_bits import SiteBits
from assay.explanations.errors import ExplanationError
from assay.mdl import Score
from torch import Tensor


def capacities(W: Tensor) -> Tensor:
    """C_i [n] of the columns of W [d, n], float64; a column of zeros has 0."""
    gram = W.double().T @ W.double()
    return torch.diagonal(gram).square() / gram.square().sum(1).clamp_min(torch.finfo(torch.float64).tiny)


def optimal_capacities(importance: Sequence[float], kurtosis: float, dimensions: float) -> list[float]:
    """Capacities of the trained quadratic model. Target Σ v_i x_i², inputs of fourth moment κ, d dimensions.

    κ > 3: C_i = clip[(v_i(κ−1)√(2/λ) − 2)/(κ−3), 0, 1], with λ such that they sum to d: a feature is ignored
    iff v_i²(κ−1)²/2 <= λ, monosemantic iff 2v_i² >= λ. κ <= 3: the top d features are monosemantic.

    >>> [round(c, 3) for c in optimal_capacities([1, 0.9, 0.8, 0.7, 0.6, 0.5], 4, 3)]
    [1.0, 1.0, 0.667, 0.333, 0.0, 0.0]
    """
    if not 0 <= dimensions <= len(importance) or any(v < 0 for v in importance):
        raise ExplanationError(f"{dimensions} dimensions for {len(importance)} features of importance >= 0")
    if kurtosis <= 3:
        order = sorted(range(len(importance)), key=lambda i: -importance[i])
        return [min(max(dimensions - order.index(i), 0.0), 1.0) for i in range(len(importance))]

    def at(root: float) -> list[float]:
        return [min(max((v * (kurtosis - 1) * root - 2) / (kurtosis - 3), 0.0), 1.0) for v in importance]

    low, high = 0.0, 1.0
    while math.fsum(at(high)) < dimensions and high < 1e12:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if math.fsum(at(middle)) < dimensions else (low, middle)
    return at(high)


def quadratic_loss(W: Tensor, importance: Tensor, kurtosis: float) -> Tensor:
    """E[(Σ v_i x_i² − xᵀWᵀW x − c)²] at the best c: W [d, n], independent x_i of variance 1.

    (κ − 1) Σ (v_i − G_ii)² + 2 Σ_{i≠j} G_ij² with G = WᵀW: an exact expectation.
    """
    G = W.T @ W
    own = torch.diagonal(G)
    across = G.square().sum() - own.square().sum()
    return (kurtosis - 1) * (importance - own).square().sum() + 2 * across


def train_quadratic(
    importance: Sequence[float], kurtosis: float, dimensions: int, restarts: int = 8, seed: int = 0
) -> Tensor:
    """W [d, n] that minimises :func:`quadratic_loss` by L-BFGS: the best of several random starts."""
    v, generator = torch.tensor(list(importance), dtype=torch.float64), torch.Generator().manual_seed(seed)
    found = []
    for _ in range(restarts):
        W = (
            torch.randn(dimensions, len(v), generator=generator, dtype=torch.float64)
            .mul_(0.5)
            .requires_grad_()
        )
        optimiser = torch.optim.LBFGS(
            [W], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
        )

        def closure(W: Tensor = W, optimiser: torch.optim.LBFGS = optimiser) -> Tensor:
            optimiser.zero_grad()
            loss = quadratic_loss(W, v, kurtosis)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        found.append((float(quadratic_loss(W.detach(), v, kurtosis)), W.detach()))
    return min(found, key=lambda pair: pair[0])[1]


def bit_shares(fitted: SiteBits, seen: Observations) -> Tensor:
    """Each part's share of the code [parts]: dictionary row if used, active sets, values.

    A capacity that needs no linear embedding. Shares sum to 1 over the parts (to 0 where none is in use).
    """
    channel = fitted.channel
    code = channel.integers(seen.rows())
    part = code.part.cpu()
    used = torch.bincount(part, minlength=code.parts)
    told = fitted.values.prices(code.part, code.value) + fitted.support.on[part]
    spent = torch.zeros(code.parts, dtype=torch.float64).index_add(0, part, told)
    counts = used.numpy()
    for way in channel.sent.chosen(counts):
        spent += torch.from_numpy(way.bits[:-1]) * (used > 0)
    return spent / spent.sum().clamp_min(1e-300)


@dataclass(frozen=True, eq=False)
class MessageShares:
    """Shares of all bits of a message: of each part [parts], of each tensor, and what no part owns.

    ``parts`` and ``common`` sum to 1. A part owns its slices if a datum uses it, and its active sets and
    coefficients; ``common`` is the correction, and what is told once for all.
    """

    parts: Tensor
    tensors: dict[str, float]
    common: float


def message_shares(score: Score, tensors: Sequence[str]) -> MessageShares:
    """How the ledger of a mechanism falls on its parts; ``tensors`` names them in the order of sending.

    Active sets fall on parts as a Bernoulli for each does (its silence is a part's as well), coefficients by
    use, so that both sum to what the ledger says.
    """
    total, usage = score.ledger.total, score.law.usage
    sent = np.append(usage > 0, True).astype(np.float64)
    chosen = [min(ways, key=lambda way: way.total(sent)) for ways in score.law.parts]
    if len(chosen) != len(tensors):
        raise ExplanationError(f"{len(tensors)} names for {len(chosen)} tensors of a message")
    bits = sum((way.bits[:-1] * sent[:-1] for way in chosen), np.zeros(len(usage)))
    counts, rows = torch.from_numpy(score.usage.counts).double(), score.usage.n
    bits += _fall(score.ledger.section("support"), _bernoulli(counts, rows))
    bits += _fall(score.ledger.section("values"), counts)
    by_tensor = {name: way.total(sent) / total for name, way in zip(tensors, chosen, strict=True)}
    shares = torch.from_numpy(bits / total)
    return MessageShares(shares, by_tensor, 1 - float(shares.sum()))


def _bernoulli(counts: Tensor, rows: int) -> Tensor:
    """Bits of telling each part's presence on all rows at its own frequency."""
    p = counts / max(rows, 1)
    nats: Tensor = torch.special.entr(p) + torch.special.entr(1 - p)
    return nats * (rows / math.log(2))


def _fall(bits: float, weights: Tensor) -> np.ndarray:
    """A line of the ledger shared out by weights [parts]; nobody's where all are 0."""
    whole = float(weights.sum())
    return (bits * weights / whole if whole > 0 else torch.zeros_like(weights)).numpy()
