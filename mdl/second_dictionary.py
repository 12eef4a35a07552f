"""Rows told through a second dictionary: sparse integer combinations of its rows, and what is left.

A slice w on its grid is told as round(Σ_j a_j D_j) + residual: the codes a and the rows D are integers of few
bits times powers of two, so the sum stays below 2^53 and is exact in float64, in any order. A meta-SAE finds
such codes (Leask et al. 2025, arXiv 2502.04878). How many bits rows and codes have is a two-part optimum:
what they lack is in the residual.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .grid import EXACT
from .lengths import log2_binomial
from .low_rank import MOST_BITS, entropy
from .part_codes import to_precision
from .tally import Ints

if TYPE_CHECKING:
    from .part_tensors import Combination

LEAST_BITS = 2
START = (6, 6)  # bits of a number of the rows, and of the codes
ROUNDS = 8


def combined(codes: Ints, rows: Ints, shift: int) -> Ints:
    """round(codes [slices, m] rows [m, d] 2^shift), half to even; raises ValueError beyond 2^53."""
    from scipy.sparse import csr_array

    exact = csr_array(codes.astype(np.float64)) @ rows.astype(np.float64)
    scaled = np.rint(np.ldexp(exact, shift, out=exact), out=exact)
    if not (np.abs(scaled) < EXACT).all():
        raise ValueError("a combination of rows beyond 2^53 steps")
    integers: Ints = scaled.astype(np.int64)
    return integers


def precisions(through: Combination, flat: Ints, exponent: int) -> tuple[int, int]:
    """Bits of a number of the rows and of the codes with the least total, about, for integers [slices, d]."""
    trial = _Trial(through, flat, exponent)
    best = START
    for _ in range(ROUNDS):
        rows, codes = best
        near = [(rows + 1, codes), (rows - 1, codes), (rows, codes + 1), (rows, codes - 1)]
        better = min([best, *near], key=trial.bits)
        if better == best:
            break
        best = better
    return best


@dataclass(eq=False)
class _Trial:
    """Totals at given precisions, by frequencies alone."""

    through: Combination
    flat: Ints
    exponent: int
    tried: dict[tuple[int, int], float] = field(default_factory=dict)

    def bits(self, precision: tuple[int, int]) -> float:
        """Bits of rows, codes and what is left; infinite where such precisions are not allowed."""
        if not LEAST_BITS <= min(precision) <= max(precision) <= MOST_BITS:
            return float("inf")
        if precision not in self.tried:
            rows, rows_exponent = to_precision(self.through.rows, precision[0])
            codes, codes_exponent = to_precision(self.through.codes, precision[1])
            left = self.flat - combined(codes, rows, rows_exponent + codes_exponent - self.exponent)
            self.tried[precision] = entropy(rows) + _sparse(codes) + entropy(left)
        return self.tried[precision]


def _sparse(codes: Ints) -> float:
    """Bits of which codes are not zero, row by row, and of those that are not."""
    held = codes[codes != 0]
    sets = float(log2_binomial(codes.shape[1], (codes != 0).sum(1)).sum())
    return sets + (entropy(held) if held.size else 0.0)
