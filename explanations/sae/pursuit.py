"""Matching pursuit with a decoder's rows (S. Mallat, Z. Zhang, IEEE Trans. Signal Processing 41, 1993)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pursuit:
    """When a row is done: its residual's norm is below ``residual``, its set stays, or after ``steps``.

    ``steps`` None means as many as there are coordinates.
    """

    residual: float = 1e-2
    steps: int | None = None
    stop_on_same_set: bool = True

    def encode(self, x: Tensor, rows: Tensor) -> Tensor:
        """Coefficients [rows, parts] of centred x [rows, d]: again and again the row that fits best."""
        left = x.flatten(0, -2)
        a = left.new_zeros(len(left), len(rows))
        going = torch.ones(len(left), dtype=torch.bool, device=left.device)
        before = torch.zeros_like(a, dtype=torch.bool)
        for _ in range(self.steps or x.shape[-1]):
            part = (left @ rows.T).relu().argmax(dim=1, keepdim=True)
            value = (left * rows[part[:, 0]]).sum(1, keepdim=True).relu() * going[:, None]
            a.scatter_add_(1, part, value)
            left = left - value * rows[part[:, 0]]
            if self.stop_on_same_set:
                going &= ((a != 0) != before).any(1)
                before = a != 0
            if self.residual > 0:
                going &= left.norm(dim=-1) >= self.residual
            if not going.any():
                break
        return a.reshape(*x.shape[:-1], len(rows))
