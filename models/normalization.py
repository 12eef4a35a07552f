"""Layer norm and root-mean-square norm, with TransformerLens' parameter names and hook points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hooks import HookPoint
from .transformer_config import TransformerConfig

__all__ = ["LayerNorm", "RMSNorm", "normalization"]


class LayerNorm(nn.Module):
    """Layer norm over the last axis, ``w`` and ``b`` [width] if it is affine.

    With ``fused`` set (training only) torch's own kernel runs instead, and the hook points see nothing.
    """

    def __init__(self, width: int, eps: float, affine: bool) -> None:
        super().__init__()
        self.eps, self.fused = eps, False
        self.w = nn.Parameter(torch.ones(width)) if affine else None
        self.b = nn.Parameter(torch.zeros(width)) if affine else None
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Centre [..., width], divide by the standard deviation, then apply the weights."""
        if self.fused:
            return F.layer_norm(x, x.shape[-1:], self.w, self.b, self.eps)
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.square().mean(-1, keepdim=True) + self.eps).sqrt())
        x = self.hook_normalized(x / scale)
        return x if self.w is None or self.b is None else x * self.w + self.b


class RMSNorm(nn.Module):
    """Division by the root mean square (Zhang & Sennrich 2019), then ``w`` [width] if it is affine."""

    def __init__(self, width: int, eps: float, affine: bool) -> None:
        super().__init__()
        self.eps = eps
        self.w = nn.Parameter(torch.ones(width)) if affine else None
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Scale [..., width]."""
        scale = self.hook_scale((x.square().mean(-1, keepdim=True) + self.eps).sqrt())
        x = self.hook_normalized(x / scale)
        return x if self.w is None else x * self.w


def normalization(config: TransformerConfig, width: int, rms: bool = False) -> nn.Module:
    """The kind of normalisation that a configuration names, over ``width`` coordinates.

    With ``rms`` set it is the RMS kind, with weights where the named one has them.
    """
    kind = config.normalization
    if kind is None:
        return nn.Identity()
    norm = RMSNorm if rms or kind.startswith("RMS") else LayerNorm
    return norm(width, config.eps, affine=not kind.endswith("Pre"))
