"""Routers: on each row one expert of a switch SAE may speak (Mudide et al. 2024, arXiv 2410.08201)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Router:
    """p = softmax((x − b) W), W [d_in, experts], b [d_in]; the expert of the largest p is taken.

    Features are split evenly: expert e has the e-th stretch of them. Their activations are multiplied by p,
    unless it is ``hard``.
    """

    W: Tensor
    b: Tensor
    hard: bool = False

    @property
    def experts(self) -> int:
        """How many there are."""
        return int(self.W.shape[1])

    def wrong(self, d_in: int, d_sae: int) -> list[str]:
        """What does not fit an SAE of this size, in words."""
        wrong = []
        if self.W.ndim != 2 or self.W.shape[0] != d_in or self.W.shape[1] < 1:
            wrong.append(f"router W has shape {tuple(self.W.shape)}, expected ({d_in}, experts)")
        elif d_sae % self.experts:
            wrong.append(f"{self.experts} experts cannot share {d_sae} features evenly")
        if tuple(self.b.shape) != (d_in,):
            wrong.append(f"router b has shape {tuple(self.b.shape)}, expected ({d_in},)")
        return wrong

    def to(self, device: torch.device | None, dtype: torch.dtype | None) -> Router:
        """The same router on a device, in a floating-point type."""
        W, b = (tensor.to(device=device, dtype=dtype) for tensor in (self.W, self.b))
        return Router(W, b, self.hard)

    def choose(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The expert of each row [rows] of x [rows, d_in], and what it multiplies activations by."""
        p, expert = ((x - self.b) @ self.W).softmax(-1).max(-1)
        return expert, torch.ones_like(p) if self.hard else p

    def pre(self, x: Tensor, centred: Tensor, W_enc: Tensor, b_enc: Tensor) -> Tensor:
        """Pre-activations [rows, d_sae] times p; −inf for features of the other experts.

        Each row meets only its own expert's columns.
        """
        expert, p = self.choose(x)
        size = W_enc.shape[1] // self.experts
        pre = x.new_full((len(x), W_enc.shape[1]), -math.inf)
        for e in torch.unique(expert).tolist():
            rows, columns = (expert == e).nonzero()[:, 0], slice(e * size, (e + 1) * size)
            own = torch.addmm(b_enc[columns], centred[rows], W_enc[:, columns])
            pre[rows, columns] = own * p[rows, None]
        return pre

    def indicator(self, x: Tensor) -> Tensor:
        """Which expert each row takes: Boolean [rows, experts]."""
        expert, _ = self.choose(x)
        return torch.nn.functional.one_hot(expert, self.experts).bool()
