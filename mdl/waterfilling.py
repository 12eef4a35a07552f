"""Reverse water-filling: the fewest bits a Gaussian source of known spectrum can be told in.

The yardstick for every linear basis: R(D) = Σ_i max(0, ½ log2(λ_i / θ)), with the water level θ where
Σ_i min(λ_i, θ) = D. Source: T. Cover, J. Thomas, "Elements of Information Theory", theorem 10.3.3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .lengths import Floats


def reverse_waterfilling(spectrum: ArrayLike, distortion: float) -> float:
    """R(D) in bits per sample of a Gaussian with these variances [d], at a total squared error of D.

    Raises ``ValueError`` for a negative variance, and for a distortion that is not positive.

    >>> reverse_waterfilling([1.0, 1.0], 0.5)    # two coordinates, a quarter of the variance each: 1 bit each
    2.0
    """
    variances = np.asarray(spectrum, dtype=np.float64).ravel()
    if not (np.isfinite(variances).all() and (variances >= 0).all()):
        raise ValueError("a spectrum holds finite variances, none of them negative")
    if not distortion > 0:
        raise ValueError(f"the distortion must be positive, got {distortion}")
    if distortion >= variances.sum():
        return 0.0
    above = variances[variances > water_level(variances, distortion)]
    return float(0.5 * np.log2(above / water_level(variances, distortion)).sum())


def water_level(variances: Floats, distortion: float) -> float:
    """θ with Σ min(λ_i, θ) = D; inf where D is all of the variance or more."""
    ascending = np.sort(variances)
    if distortion >= ascending.sum():
        return math.inf
    below = np.concatenate([[0.0], np.cumsum(ascending)[:-1]])  # variance of what lies under λ_i
    levels = (distortion - below) / np.arange(len(ascending), 0, -1)
    return float(levels[np.argmax(levels <= ascending)])
