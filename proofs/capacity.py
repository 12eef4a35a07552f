"""Capacity is bounded by rank: Σ C_i <= rank(W), proved for a matrix in exact arithmetic.

C_i = (W_i·W_i)² / Σ_j (W_i·W_j)² of columns W_i (Scherlis et al. 2022, arXiv 2210.01892) is at most the
leverage h_i = W_iᵀ(W Wᵀ)⁺W_i, and leverages sum to the rank. A certificate holds W and the two matrices that
show it; :mod:`assay.proofs.check_capacity` accepts it with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .check_capacity import FORMAT, capacities, leverages

Matrix = list[list[Fraction]]
MOST_EXACT = 4096


class CapacityError(ValueError):
    """A matrix whose capacity is not taken in exact arithmetic."""


@dataclass(frozen=True)
class CapacityBound:
    """Capacities and leverages of the columns, the rank, and the certificate of Σ C_i <= rank."""

    capacities: tuple[Fraction, ...]
    leverages: tuple[Fraction, ...]
    certificate: dict[str, Any]

    @property
    def rank(self) -> int:
        """Of W, and so of how many features at most there is full capacity."""
        return len(self.certificate["basis"])

    @property
    def total(self) -> Fraction:
        """Σ C_i."""
        return sum(self.capacities, Fraction(0))


def capacity_bound(rows: Sequence[Sequence[float]]) -> CapacityBound:
    """Of W [d, n], on the stored numbers. Raises :class:`CapacityError` for more than 4,096 entries."""
    width = len(rows[0]) if rows else 0
    if not width or any(len(row) != width for row in rows) or len(rows) * width > MOST_EXACT:
        raise CapacityError(
            f"exact capacity of {len(rows)} rows: expected [d, n] of 1 to {MOST_EXACT} entries"
        )
    W = [[Fraction(float(v)) for v in row] for row in rows]
    basis = _independent(W)
    B = [W[i] for i in basis]
    solved = _solve([[_dot(r, s) for s in B] for r in B], B)
    document = {
        "format": FORMAT,
        "claim": "the capacities of the columns of W sum to at most its rank",
        "W": [[float(v).hex() for v in row] for row in rows],
        "basis": basis,
        "solved": [[str(v) for v in row] for row in solved],
    }
    return CapacityBound(tuple(capacities(W)), tuple(leverages(B, solved)), document)


def _independent(rows: Matrix) -> list[int]:
    """The numbers of a largest set of linearly independent rows, the first ones."""
    kept: list[int] = []
    reduced: list[tuple[int, list[Fraction]]] = []
    for number, row in enumerate(rows):
        left = list(row)
        for place, other in reduced:
            if left[place]:
                factor = left[place] / other[place]
                left = [a - factor * b for a, b in zip(left, other, strict=True)]
        pivot = next((i for i, v in enumerate(left) if v), None)
        if pivot is not None:
            reduced.append((pivot, left))
            kept.append(number)
    return kept


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def _solve(A: Matrix, B: Matrix) -> Matrix:
    """A⁻¹B by elimination, for A positive definite."""
    rows = [[*a, *b] for a, b in zip(A, B, strict=True)]
    n = len(A)
    for i in range(n):
        pivot = rows[i][i]
        rows[i] = [v / pivot for v in rows[i]]
        for j in range(n):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[n:] for row in rows]
