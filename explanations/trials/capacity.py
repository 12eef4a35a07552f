"""Capacity: what share of a dimension each feature has.

C_i = (W_i·W_i)² / Σ_j (W_i·W_j)² of embeddings W_i, 0 <= C_i <= 1 (Scherlis et al. 2022, arXiv 2210.01892).
C_i is at most the leverage W_iᵀ(W Wᵀ)⁺W_i, and leverages sum to rank(W): so Σ C_i <= rank(W) is proved for a
matrix by checking both in exact rational arithmetic on the stored weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from assay.explanations.anomalies.observations import Observations
from assay.explanations.anomalies.site_bits import SiteBits
from assay.explanations.errors import ExplanationError
from torch import Tensor

Matrix = list[list[Fraction]]
MOST_EXACT = 4096


def capacities(W: Tensor) -> Tensor:
    """C_i [n] of the columns of W [d, n], float64; a column of zeros has 0."""
    gram = W.double().T @ W.double()
    return torch.diagonal(gram).square() / gram.square().sum(1).clamp_min(torch.finfo(torch.float64).tiny)


@dataclass(frozen=True)
class CapacityBound:
    """Exact: capacities and leverages of the columns, the rank, and whether each C_i <= leverage_i."""

    capacities: tuple[Fraction, ...]
    leverages: tuple[Fraction, ...]
    rank: int

    @property
    def proved(self) -> bool:
        """C_i <= leverage_i for all i, and Σ leverage = rank: hence Σ C_i <= rank."""
        below = all(c <= h for c, h in zip(self.capacities, self.leverages, strict=True))
        return below and sum(self.leverages) == self.rank


def exact_bound(W: Tensor) -> CapacityBound:
    """The bound on Σ C_i of W [d, n], in rational arithmetic on the stored numbers.

    Raises :class:`ExplanationError` for matrices of more than 4,096 entries.
    """
    if W.ndim != 2 or W.numel() > MOST_EXACT:
        raise ExplanationError(
            f"exact capacity of {tuple(W.shape)}: expected [d, n] of at most {MOST_EXACT} entries"
        )
    rows = [[Fraction(v) for v in row] for row in W.detach().double().tolist()]
    basis = _independent(rows)
    columns = list(zip(*rows, strict=True))
    own = [sum((v * v for v in c), Fraction(0)) for c in columns]
    dots = [[sum((a * b for a, b in zip(c, e, strict=True)), Fraction(0)) for e in columns] for c in columns]
    found = tuple(
        own[i] ** 2 / total if (total := sum((v * v for v in dots[i]), Fraction(0))) else Fraction(0)
        for i in range(len(columns))
    )
    return CapacityBound(found, _leverages(basis), len(basis))


def _independent(rows: Matrix) -> Matrix:
    """A largest set of linearly independent rows: the leverage depends on their span alone."""
    kept: Matrix = []
    reduced: list[tuple[int, list[Fraction]]] = []
    for row in rows:
        left = list(row)
        for place, other in reduced:
            if left[place]:
                factor = left[place] / other[place]
                left = [a - factor * b for a, b in zip(left, other, strict=True)]
        pivot = next((i for i, v in enumerate(left) if v), None)
        if pivot is not None:
            reduced.append((pivot, left))
            kept.append(row)
    return kept


def _leverages(basis: Matrix) -> tuple[Fraction, ...]:
    """Diagonal of Bᵀ(B Bᵀ)⁻¹B for independent rows B."""
    gram = [[sum((a * b for a, b in zip(r, s, strict=True)), Fraction(0)) for s in basis] for r in basis]
    solved = _solve(gram, basis)
    return tuple(
        sum((b[i] * s[i] for b, s in zip(basis, solved, strict=True)), Fraction(0))
        for i in range(len(basis[0]))
    )


def _solve(A: Matrix, B: Matrix) -> Matrix:
    """A⁻¹B by elimination, for A positive definite."""
    rows = [[*a, *b] for a, b in zip(A, B, strict=True)]
    n = len(A)
    for i in range(n):
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for j in range(n):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[n:] for row in rows]


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
