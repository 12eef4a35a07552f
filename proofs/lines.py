"""The lines between which ReLUs and jumps lie, as the checker draws them (check.py, `Box.function`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .function_bounds import SLOPE_UNIT


@dataclass
class Lines:
    """Relaxation of the ReLUs of one step on each box: a v + b ≤ relu(v) ≤ s v + t, all [boxes, size]; b is 0
    but for jumps."""

    down: Tensor
    up: Tensor
    intercept: Tensor
    unstable: Tensor
    base: Tensor | None = None

    def of(self, at: Tensor) -> Lines:
        """Those of some boxes."""
        base = None if self.base is None else self.base[at]
        return Lines(self.down[at], self.up[at], self.intercept[at], self.unstable[at], base)


def bent(low: Tensor, high: Tensor, on: Tensor, unstable: Tensor) -> Lines:
    """The lines of ReLUs between bounds of what they read."""
    width = torch.where(unstable, high - low, torch.ones_like(low))
    up = torch.floor(high / width * SLOPE_UNIT) / SLOPE_UNIT
    intercept = torch.maximum(-up * low, (1 - up) * high)
    down = (high > -low).to(low.dtype)
    stable = on.to(low.dtype)
    return Lines(
        torch.where(unstable, down, stable),
        torch.where(unstable, up, stable),
        torch.where(unstable, intercept, torch.zeros_like(low)),
        unstable,
    )


def jumping(low: Tensor, high: Tensor, on: Tensor, unstable: Tensor, whole: Tensor) -> Lines:
    """The lines of jumps: through (low, 0) and (0, 1), or (0, 0) and (high, 1), none steeper than 1; a bit is
    its own."""
    up, down = ((1 / end.clamp(min=1) * SLOPE_UNIT).floor() / SLOPE_UNIT for end in (-low, high))
    bit = unstable & whole & (low >= 0) & (high <= 1)
    up, down = torch.where(high > -low, 0.0, up), torch.where(high > -low, down, 0.0)
    up, down = (torch.where(bit, 1.0, torch.where(unstable, slope, 0.0)) for slope in (up, down))
    one = (on | (unstable & ~bit)).to(low.dtype)
    return Lines(down, up, one, unstable & ~bit, on.to(low.dtype))
