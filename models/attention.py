"""Multi-head attention with TransformerLens' parameter names, shapes and hook points.

Shapes: b batch, p position, h head, g group of heads with one key and value, d model width, e head width.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hooks import HookPoint
from .normalization import RMSNorm
from .rotary import frequencies, turn
from .transformer_config import TransformerConfig

__all__ = ["Attention"]


class Attention(nn.Module):
    """Attention; ``W_Q`` [h, d, e], ``W_K`` and ``W_V`` alike, ``W_O`` [h, e, d].

    Where groups of heads share keys and values these are called ``_W_K`` and ``_W_V`` [g, d, e].  With
    ``fused`` set (training only) torch's fused kernel runs instead, and the hook points of scores and
    pattern see nothing.
    """

    def __init__(self, config: TransformerConfig, layer: int = 0) -> None:
        super().__init__()
        h, d, e = config.n_heads, config.d_model, config.d_head
        self.causal, self.fused = config.causal, False
        self.scale, self.softcap = config.score_scale(layer), config.attn_softcap
        self.window = config.window if config.is_local(layer) else 0
        # made anew for each run: it belongs to the architecture, and is no number that the network holds
        self.rotary = partial(frequencies, config, layer) if config.positions == "rotary" else None
        self.adjacent = config.rotary_adjacent_pairs
        self.shared = "_" if config.n_key_value_heads else ""
        self.repeats = h // (config.n_key_value_heads or h)
        groups = {"Q": h, "K": h // self.repeats, "V": h // self.repeats}
        for letter, n in groups.items():
            setattr(self, self._named("W", letter), nn.Parameter(torch.empty(n, d, e)))
        self.W_O = nn.Parameter(torch.empty(h, e, d))
        for letter, n in groups.items():
            bias = nn.Parameter(torch.zeros(n, e)) if config.biases else None
            setattr(self, self._named("b", letter), bias)
        self.b_O = nn.Parameter(torch.zeros(d)) if config.biases else None
        if config.qk_norm:
            self.q_norm, self.k_norm = (RMSNorm(e, config.eps, affine=True) for _ in range(2))
        self._add_hooks()

    def _add_hooks(self) -> None:
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern, self.hook_z = HookPoint(), HookPoint(), HookPoint()
        if self.rotary is not None:
            self.hook_rot_q, self.hook_rot_k = HookPoint(), HookPoint()

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Map [b, p, d] to what all heads together write: [b, p, d].

        ``positions`` [b, p, d] are added to what queries and keys read ("shortformer").
        """
        placed = x if positions is None else x + positions
        q = self._turned("q", self.hook_q(_project(placed, *self._weights("Q"))))  # [b, p, h, e]
        k = self._turned("k", self.hook_k(_project(placed, *self._weights("K"))))  # [b, p, g, e]
        v = self.hook_v(_project(x, *self._weights("V")))
        h = q.shape[2]  # a hook point may have given every head keys and values of its own
        k, v = (y.repeat_interleave(h // y.shape[2], 2) if y.shape[2] < h else y for y in (k, v))
        plain = not (self.softcap or self.window)
        mix = self._mix_fused if self.fused and plain else self._mix
        z = self.hook_z(mix(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2))
        out: Tensor = z.flatten(2) @ self.W_O.flatten(0, 1)
        return out if self.b_O is None else out + self.b_O

    def _named(self, side: str, letter: str) -> str:
        return f"{side}_{letter}" if letter == "Q" else f"{self.shared}{side}_{letter}"

    def _weights(self, letter: str) -> tuple[Tensor, Tensor | None]:
        return getattr(self, self._named("W", letter)), getattr(self, self._named("b", letter))

    def _turned(self, letter: str, x: Tensor) -> Tensor:
        norm: RMSNorm | None = getattr(self, f"{letter}_norm", None)
        if norm is not None:
            x = norm(x)
        if self.rotary is None:
            return x
        hook: HookPoint = getattr(self, f"hook_rot_{letter}")
        turned: Tensor = hook(turn(x, self.rotary(), self.adjacent))
        return turned

    def _mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2) / self.scale  # [b, h, query, key]
        if self.softcap:
            scores = self.softcap * (scores / self.softcap).tanh()
        if (hidden := self._hidden(q.shape[2], q.device)) is not None:
            scores = scores.masked_fill(hidden, -math.inf)
        pattern: Tensor = self.hook_pattern(self.hook_attn_scores(scores).softmax(-1))
        return pattern @ v

    def _hidden(self, n: int, device: torch.device) -> Tensor | None:
        """Which keys a query does not see: [query, key]."""
        if not self.causal:
            return None
        hidden = torch.ones(n, n, dtype=torch.bool, device=device).triu(1)
        if self.window:
            hidden |= torch.ones_like(hidden).tril(-self.window)
        return hidden

    def _mix_fused(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, scale=1 / self.scale)


def _project(x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
    h, d, e = W.shape
    y = (x @ W.transpose(0, 1).reshape(d, h * e)).view(*x.shape[:-1], h, e)
    return y if bias is None else y + bias
