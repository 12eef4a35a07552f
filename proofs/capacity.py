"""Capacity is bounded by rank: Σ C_i <= rank(W), proved for a matrix in exact arithmetic.

C_i = (W_i·W_i)² / Σ_j (W_i·W_j)² of columns W_i (Scherlis et al. 2022, arXiv 2210.01892) is at most the
leverage h_i = W_iᵀ(W Wᵀ)⁺W_i, and leverages sum to the rank. A certificate holds W and the two matrices that
show it; :mod:`assay.proofs.check_capacity` accepts it with the standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sympy.polys.matrices import DomainMatrix

FORMAT = "assay.capacity/1"
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
    """Of W [d, n], on the stored numbers.

    Raises :class:`CapacityError` for more than 4,096 entries, one that is not finite, or none but zeros.
    """
    W = _exact(rows)
    basis = list(W.transpose().rref()[1])
    if not basis:
        raise CapacityError("exact capacity of zeros: expected an entry that is not 0")
    B = W.extract(basis, range(W.shape[1]))
    solved = (B * B.transpose()).lu_solve(B)
    document = {
        "format": FORMAT,
        "claim": "the capacities of the columns of W sum to at most its rank",
        "W": [[float(v).hex() for v in row] for row in rows],
        "basis": basis,
        "solved": [[str(v) for v in row] for row in solved.to_list()],
    }
    return CapacityBound(_capacities(W), _fractions((B.transpose() * solved).diagonal()), document)


def _exact(rows: Sequence[Sequence[float]]) -> DomainMatrix:
    """W over the rationals.  Raises :class:`CapacityError`."""
    from sympy import QQ
    from sympy.polys.matrices import DomainMatrix

    width = len(rows[0]) if rows else 0
    if not width or any(len(row) != width for row in rows) or len(rows) * width > MOST_EXACT:
        raise CapacityError(
            f"exact capacity of {len(rows)} rows: expected [d, n] of 1 to {MOST_EXACT} entries"
        )
    if not all(math.isfinite(v) for row in rows for v in row):
        raise CapacityError("exact capacity: an entry is not finite, expected finite numbers")
    return DomainMatrix(
        [[QQ(*float(v).as_integer_ratio()) for v in row] for row in rows], (len(rows), width), QQ
    )


def _capacities(W: DomainMatrix) -> tuple[Fraction, ...]:
    """C_i of the columns; 0 for a column of zeros."""
    found = []
    for i, row in enumerate((W.transpose() * W).to_list()):
        total = sum(v * v for v in row)
        found.append(row[i] ** 2 / total if total else row[i])
    return _fractions(found)


def _fractions(numbers: Sequence[Any]) -> tuple[Fraction, ...]:
    """Of sympy's rationals, which may be gmpy2's."""
    return tuple(Fraction(int(v.numerator), int(v.denominator)) for v in numbers)
