"""Block bootstrap: intervals for bits per sample, and for paired differences.

Blocks are contiguous stretches of the data (sequences stay whole), so dependence within a stretch is kept.
Source: H. Künsch, Annals of Statistics 17 (1989).
"""

from __future__ import annotations

import numpy as np

from .lengths import Floats

RESAMPLES = 2000
LEVEL = 0.95


def interval(bits: Floats, rows: Floats, fixed: float = 0.0, seed: int = 0) -> tuple[float, float]:
    """95 % interval of (fixed + Σ bits) / Σ rows over resampled blocks; ``fixed`` is paid once (parts)."""
    return _quantiles(_resampled(bits, rows, seed) + fixed / rows.sum())


def paired(a: Floats, b: Floats, rows: Floats, fixed: float = 0.0, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the difference a − b in bits per sample: the same blocks are drawn for both."""
    return _quantiles(_resampled(a - b, rows, seed) + fixed / rows.sum())


def _resampled(bits: Floats, rows: Floats, seed: int) -> Floats:
    draws = np.random.default_rng(seed).integers(len(bits), size=(RESAMPLES, len(bits)))
    return np.asarray(bits[draws].sum(1) / rows[draws].sum(1))


def _quantiles(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
