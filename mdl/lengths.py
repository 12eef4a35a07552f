"""Code lengths in bits: pure functions of integers.

Every function here is the length of a prefix code (its Kraft sum is at most 1), or of a fixed,
stated distribution that a range coder realises to within a rounding.

Sources: P. Elias, "Universal codeword sets", IEEE IT 21 (1975); R. Krichevsky, V. Trofimov,
"The performance of universal encoding", IEEE IT 27 (1981).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
LOG2E = 1.0 / math.log(2.0)


def log2_gamma(x: ArrayLike) -> Floats:
    """log2 Gamma(x), elementwise."""
    from scipy.special import gammaln

    return np.asarray(gammaln(np.asarray(x, dtype=np.float64)) * LOG2E, dtype=np.float64)


def log2_binomial(n: ArrayLike, k: ArrayLike) -> Floats:
    """Bits that name one of the C(n, k) subsets of size k.

    >>> round(float(log2_binomial(32_000, 68)), 1)    # ACDC's Greater-Than circuit
    697.4
    """
    n, k = np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64)
    inside = (k > 0) & (k < n)
    bits = log2_gamma(n + 1) - log2_gamma(k + 1) - log2_gamma(np.maximum(n - k, 0) + 1)
    return np.where(inside, bits, np.where((k == 0) | (k == n), 0.0, np.inf))


def elias_gamma(n: ArrayLike) -> NDArray[np.int64]:
    """Length of Elias' gamma code of n >= 1: 2 floor(log2 n) + 1.

    >>> elias_gamma([1, 2, 3, 4]).tolist()
    [1, 3, 3, 5]
    """
    return 2 * floor_log2(n) + 1


def elias_delta(n: ArrayLike) -> NDArray[np.int64]:
    """Length of Elias' delta code of n >= 1: floor(log2 n) + gamma(floor(log2 n) + 1).

    >>> elias_delta([1, 2, 3, 4, 16]).tolist()
    [1, 4, 4, 5, 9]
    """
    log = floor_log2(n)
    return log + elias_gamma(log + 1)


def floor_log2(n: ArrayLike) -> NDArray[np.int64]:
    """floor(log2 n) of integers 1 <= n < 2^53, exactly (frexp, not a logarithm)."""
    array = np.asarray(n, dtype=np.int64)
    if array.size and array.min() < 1:
        raise ValueError(f"Elias codes start at 1, got {array.min()}")
    return np.asarray(np.frexp(array.astype(np.float64))[1] - 1, dtype=np.int64)


def zigzag(n: ArrayLike) -> NDArray[np.int64]:
    """Signed to unsigned: 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 …"""
    array = np.asarray(n, dtype=np.int64)
    return np.where(array >= 0, 2 * array, -2 * array - 1)


def unzigzag(n: ArrayLike) -> NDArray[np.int64]:
    """The inverse of :func:`zigzag`."""
    array = np.asarray(n, dtype=np.int64)
    return np.where(array % 2 == 0, array // 2, -(array + 1) // 2)


def signed_delta(n: ArrayLike) -> NDArray[np.int64]:
    """Length of a signed integer: Elias' delta code of zigzag(n) + 1."""
    return elias_delta(zigzag(n) + 1)


def kt(counts: ArrayLike, alphabet: int | None = None) -> float:
    """Krichevsky–Trofimov length of any sequence with these final counts.

    L = log2 [Γ(N + K/2) / Γ(K/2)] − Σ_i log2 [Γ(n_i + 1/2) / Γ(1/2)]

    ``counts`` are the n_i of the symbols seen; ``alphabet`` is K when symbols with count 0 are left
    out. The model's own cost is inside L: the code starts from nothing but K.

    >>> round(kt([1, 0]), 9)
    1.0
    """
    n = np.asarray(counts, dtype=np.float64)
    K = n.size if alphabet is None else alphabet
    if n.size > K:
        raise ValueError(f"{n.size} symbols were seen, the alphabet has {K}")
    total = log2_gamma(n.sum() + K / 2) - log2_gamma(K / 2)
    return float(total - (log2_gamma(n + 0.5) - log2_gamma(0.5)).sum())


def kt_bernoulli(ones: ArrayLike, n: ArrayLike) -> Floats:
    """KT length of a binary sequence of length n with this many ones, elementwise.

    >>> kt_bernoulli([0, 1], [1, 1]).round(9).tolist()
    [1.0, 1.0]
    """
    k = np.asarray(ones, dtype=np.float64)
    N = np.asarray(n, dtype=np.float64)
    halves = 2 * log2_gamma(0.5)
    return np.asarray(log2_gamma(N + 1) - log2_gamma(k + 0.5) - log2_gamma(N - k + 0.5) + halves)
