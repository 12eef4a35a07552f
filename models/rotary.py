"""Rotary positions: queries and keys turned by angles that grow with the position (Su et al. 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .transformer_config import TransformerConfig

__all__ = ["frequencies", "turn"]


def frequencies(config: TransformerConfig, layer: int) -> Tensor:
    """Radians per position of each pair of dimensions of a layer: float32 [turned / 2]."""
    local = config.is_local(layer)
    base = config.rotary_base_local if local and config.rotary_base_local else config.rotary_base
    steps = torch.arange(0, config.turned, 2, dtype=torch.float32, device="cpu") / config.turned
    plain = 1.0 / base**steps
    if local or config.rotary_factor == 1.0:
        return plain
    return _by_parts(config, plain) if config.rotary_original_ctx else plain / config.rotary_factor


def _by_parts(config: TransformerConfig, plain: Tensor) -> Tensor:
    """Long wavelengths are slowed down, short ones kept, those between mixed (Llama 3.1)."""
    low, high = config.rotary_low_freq, config.rotary_high_freq
    turns = config.rotary_original_ctx * plain / (2 * math.pi)  # within the original context
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * plain + (1 - kept) * plain / config.rotary_factor


def turn(x: Tensor, per_position: Tensor, adjacent: bool) -> Tensor:
    """Turn the first dimensions of each head of x [b, p, h, e] by its position times ``per_position``."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    positions = torch.arange(x.shape[1], device=x.device, dtype=wide)
    angles = positions[:, None] * per_position.to(x.device, wide)  # [p, turned / 2]
    cos, sin = (part.to(x.dtype)[:, None] for part in (angles.cos(), angles.sin()))
    turned, rest = x[..., : 2 * len(per_position)], x[..., 2 * len(per_position) :]
    a, b = (turned[..., 0::2], turned[..., 1::2]) if adjacent else turned.chunk(2, dim=-1)
    new = (a * cos - b * sin, b * cos + a * sin)
    together = torch.stack(new, dim=-1).flatten(-2) if adjacent else torch.cat(new, dim=-1)
    return torch.cat([together, rest], dim=-1)
