"""Gates that are exactly 0 or 1 part of the time, and still have a gradient.

A hard-concrete variable (Louizos, Welling & Kingma 2018, arXiv 1712.01312, section 3) is a binary concrete
one, stretched to (γ, ζ) = (−0.1, 1.1) and clamped to [0, 1]; temperature 2/3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE, LOWER, UPPER = 2 / 3, -0.1, 1.1


def sample(log_alpha: Tensor, generator: torch.Generator) -> Tensor:
    """A draw of each gate."""
    u = torch.rand(log_alpha.shape, generator=generator).clamp(1e-6, 1 - 1e-6).to(log_alpha)
    s = torch.sigmoid((u.log() - (-u).log1p() + log_alpha) / TEMPERATURE)
    return (s * (UPPER - LOWER) + LOWER).clamp(0, 1)


def open_probability(log_alpha: Tensor) -> Tensor:
    """P(gate > 0)."""
    return torch.sigmoid(log_alpha - TEMPERATURE * math.log(-LOWER / UPPER))


def is_open(log_alpha: Tensor) -> Tensor:
    """Which gates are open when nothing is drawn: their middle exceeds one half."""
    return torch.sigmoid(log_alpha) * (UPPER - LOWER) + LOWER > 0.5
