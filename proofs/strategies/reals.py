"""The paths in float64, with a slack that covers every rounding: for strategies without certificates.

Path logits are within 2 · 2^-places of the exact ones (`.paths`), attention exp(A + B) within a relative
1e-12 + 1e-15 |A + B|. A strategy makes fewer than 2^12 roundings of 2^-53 on the way from there to a sum of
at most K + 2 products. So what it computes as below `-slack`, in units of attention that add up to one, is
below zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .paths import Paths

__all__ = ["Reals", "reals"]

Real = NDArray[np.float64]


@dataclass(frozen=True)
class Reals:
    """EU [q, j], EV [t, j], PV [p, j] in nats; scores A [q, t] and B [q, p]; slack in nats."""

    EU: Real
    EV: Real
    PV: Real
    A: Real
    B: Real
    slack: float


def reals(paths: Paths) -> Reals:
    """The paths as floats."""
    EU, EV, PV = (paths.logits(table) for table in (paths.EU, paths.EV, paths.PV))
    A, B = paths.scores(paths.A), paths.scores(paths.B)
    largest, steepest = (max(float(np.abs(t).max()) for t in tables) for tables in ((EU, EV, PV), (A, B)))
    rounding = 1e-9 + 1e-14 * steepest
    return Reals(EU, EV, PV, A, B, 32 * 2.0**-paths.places + rounding * (1 + largest))
