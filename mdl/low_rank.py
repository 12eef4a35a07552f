"""Matrices of low rank: two thin factors on grids of their own, and the integers that are left.

A slice that is a matrix W on its grid may be told as round(U V) + residual: U [a, r] and V [r, b] are
integers of few bits times a power of two, so the product is a sum of integers below 2^53, exact in float64
on every machine and in any order. Rank and precision are those of the smallest total. Whether to look at all
is judged by the singular values: a matrix of variance v steps² costs about log2 sqrt(2πe v) bits an entry,
and a rank r leaves the variance of its tail (T. Cover, J. Thomas, Elements of Information Theory, 10.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .grid import EXACT
from .lengths import Floats, elias_delta, signed_delta
from .part_codes import SlicePrices, known_range, to_precision
from .streams import Frozen, StreamCode, shortest
from .tally import Histogram, Ints

SMALLEST = 8  # rows and columns of a matrix that is looked at
DEAREST = 2**38  # products of a spectrum; beyond, the factors of a larger matrix are not looked for
LEAST_BITS, MOST_BITS = 2, 16
COUNTED = 2**20  # a range of integers that is counted, not sorted
ROUNDS = 4
OVERHEAD = 1.0  # bits of a factor's number above the ideal: its step is even, its own rounding is noise
MARGIN = 0.97  # factors that promise less than three hundredths are not looked for: they seldom keep it


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether a slice of this shape is a matrix, or a stack of matrices, that may have a low rank."""
    return len(shape) >= 2 and min(shape[-2:]) >= SMALLEST


@dataclass(frozen=True, eq=False)
class LowRank:
    """Factors [matrices, a, r] and [matrices, r, b], the exponents of their steps, and all codes."""

    left: Ints
    right: Ints
    exponents: tuple[int, int]
    precision: int
    factor_code: Frozen
    residual_code: StreamCode

    @property
    def rank(self) -> int:
        """r."""
        return int(self.left.shape[2])


def product(left: Ints, right: Ints, shift: int) -> Ints:
    """round(left right 2^shift), half to even, [matrices, a, b]; raises ValueError beyond 2^53."""
    exact = np.matmul(left.astype(np.float64), right.astype(np.float64))
    scaled = np.ldexp(exact, shift)
    if not (np.abs(scaled) < EXACT).all():
        raise ValueError("a product of factors beyond 2^53 steps")
    rounded: Ints = np.rint(scaled).astype(np.int64)
    return rounded


def is_exact(rank: int, precision: int) -> bool:
    """Whether sums of products of such factors stay below 2^53."""
    top = 2 ** (precision - 1) - 1
    return LEAST_BITS <= precision <= MOST_BITS and rank * top**2 < EXACT


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Matrices [count, a, b] and ``tails`` [1 + min(a, b)]: the sum of squares that each rank leaves."""

    matrices: Tensor
    tails: Floats

    @classmethod
    def of(cls, values: Tensor) -> Spectrum | None:
        """Of slices [slices, …, a, b]; None where that would take too long."""
        matrices = values.detach().reshape(-1, *values.shape[-2:])
        count, a, b = matrices.shape
        if count * min(a, b) ** 2 * max(a, b) > DEAREST:
            return None
        wide = matrices.double() if a <= b else matrices.double().mT
        energies = torch.linalg.eigvalsh(wide @ wide.mT).clamp_min(0).sum(0).cpu().numpy()
        return cls(matrices, np.append(np.cumsum(energies)[::-1], 0.0))

    def factors(self, most: int) -> tuple[Tensor, Tensor]:
        """U √S [count, a, most] and √S V [count, most, b], float64: one step does like damage in both."""
        U, S, Vh = torch.linalg.svd(self.matrices.double(), full_matrices=False)
        root = S[:, :most].sqrt()
        return U[:, :, :most] * root[:, None], root[:, :, None] * Vh[:, :most]

    def promise(self, exponent: int) -> tuple[float, int, int]:
        """(bits, rank, precision of the factors): what the best rank may come to, by its variances alone."""
        count, a, b = self.matrices.shape
        entries, ranks = count * a * b, np.arange(len(self.tails))
        steps = np.ldexp(self.tails, -2 * exponent) / entries
        left = 0.5 * np.log2(2 * math.pi * math.e * (steps + 1 / 12))
        each = 0.5 * np.log2(1 + 6 * (steps[0] - steps) / np.maximum(steps, 1 / 12))
        bits = entries * left + count * (a + b) * ranks * (each + OVERHEAD)
        best = int(bits[1:].argmin()) + 1  # a rank of 0 is what the other codes are for
        return float(bits[best]), best, int(np.clip(math.ceil(each[best]) + 2, LEAST_BITS, MOST_BITS))


def low_rank_way(spectrum: Spectrum, flat: Ints, exponent: int, bound: float) -> SlicePrices | None:
    """The shortest way found to tell integers [slices, entries] times 2^exponent; None above ``bound``."""
    promised, rank, precision = spectrum.promise(exponent)
    if promised >= MARGIN * bound:
        return None
    most = min(2 * rank, len(spectrum.tails) - 1)
    U, V = spectrum.factors(most)
    tried: dict[tuple[int, int], float] = {}

    def total(rank: int, precision: int) -> float:
        if not (1 <= rank <= most and is_exact(rank, precision)):
            return math.inf
        if (rank, precision) not in tried:
            found = _rounded(U[:, :, :rank], V[:, :rank], precision, flat, exponent)
            tried[rank, precision] = _gaussian(found.factors) + entropy(found.residual)
        return tried[rank, precision]

    rank, precision = _descend(total, rank, precision)
    way = _priced(_rounded(U[:, :, :rank], V[:, :rank], precision, flat, exponent))
    return way if way.total < bound else None


def _descend(total: Callable[[int, int], float], rank: int, precision: int) -> tuple[int, int]:
    """The best rank and precision around these: one of them at a time, while the total falls."""
    best = (rank, precision)
    for _ in range(ROUNDS):
        rank, precision = best
        wider = max(1, rank // 4)
        near = [(rank, precision + 1), (rank, precision - 1)]
        near += [(rank + more, precision) for more in (-wider, -1, 1, wider)]
        better = min([best, *near], key=lambda pair: total(*pair))
        if better == best:
            break
        best = better
    return best


@dataclass(frozen=True, eq=False)
class _Rounded:
    """Factors on their grids, and what they leave of slices [slices, entries]."""

    left: Ints
    right: Ints
    exponents: tuple[int, int]
    precision: int
    residual: Ints

    @property
    def factors(self) -> Ints:
        """Both factors' integers, [slices, entries]."""
        slices = len(self.residual)
        return np.concatenate([self.left.reshape(slices, -1), self.right.reshape(slices, -1)], axis=1)


def _rounded(U: Tensor, V: Tensor, precision: int, flat: Ints, exponent: int) -> _Rounded:
    (left, e), (right, f) = to_precision(U, precision), to_precision(V, precision)
    residual = flat - product(left, right, e + f - exponent).reshape(flat.shape)
    return _Rounded(left, right, (e, f), precision, residual)


def _gaussian(integers: Ints) -> float:
    """Bits of integers of this variance under a Gaussian."""
    return 0.5 * integers.size * math.log2(2 * math.pi * math.e * (float(integers.var()) + 1 / 12))


def entropy(integers: Ints) -> float:
    """Bits at the frequencies of many integers, which are not told: enough to compare ranks."""
    low, high = int(integers.min()), int(integers.max())
    if high - low < COUNTED:
        counts = np.bincount((integers - low).ravel())
    else:
        counts = np.unique(integers, return_counts=True)[1]
    counts = counts[counts > 0]
    return float((counts * np.log2(integers.size / counts)).sum())


def _priced(told: _Rounded) -> SlicePrices:
    """Prices of factors and residual under the shortest codes."""
    factor_code = shortest(Histogram.of(told.factors), known_range(told.precision), frozen=True)
    residual_code = shortest(Histogram.of(told.residual), frozen=True)
    assert isinstance(factor_code, Frozen)
    assert isinstance(residual_code, Frozen)
    telling = LowRank(told.left, told.right, told.exponents, told.precision, factor_code, residual_code)
    numbers = elias_delta(np.array([telling.rank, told.precision])).sum()
    header = float(numbers + signed_delta(np.array(told.exponents)).sum())
    return SlicePrices(
        f"rank {telling.rank} of {told.precision} bits, {residual_code.name}",
        header + factor_code.header + residual_code.header,
        _by_slice(factor_code, told.factors) + _by_slice(residual_code, told.residual),
        np.full(len(told.residual), told.factors.shape[1] + told.residual.shape[1]),
        telling,
    )


def _by_slice(code: Frozen, integers: Ints) -> Floats:
    """What a code takes for each slice [slices, entries]."""
    symbols, where = np.unique(integers, return_inverse=True)
    return np.asarray(code.prices(symbols)[where].reshape(integers.shape).sum(1))
