"""A small transformer with TransformerLens' parameter names, shapes and hook points.

Everything is written out, so that each intermediate quantity of *A Mathematical Framework for Transformer
Circuits* (Elhage et al. 2021) has a name: residual stream, query, key, value, scores, pattern, z, MLP pre-
and post-activation.  Shapes in comments: b batch, p position, h head, d model width, e head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hooks import HookPoint

__all__ = ["Transformer", "TransformerConfig"]

Activation = Literal["relu", "gelu", "gelu_new", "silu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


@dataclass(frozen=True)
class TransformerConfig:
    """The architecture, in TransformerLens' words.

    ``normalization`` is None, "LN" (layer norm with weights) or "LNPre" (the normalisation alone).
    ``readout`` says which positions the network answers for: "all" gives logits [b, p, d_vocab_out], "last"
    gives [b, d_vocab_out].  ``biases`` covers attention, MLP and unembedding; layer norm keeps its own.
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_vocab: int
    n_ctx: int
    d_mlp: int = 0
    d_vocab_out: int = 0
    act_fn: Activation = "relu"
    normalization: Literal["LN", "LNPre"] | None = "LN"
    eps: float = 1e-5
    attn_only: bool = False
    biases: bool = True
    causal: bool = True
    readout: Literal["all", "last"] = "all"

    def __post_init__(self) -> None:
        if self.act_fn not in ACTIVATIONS:
            raise ValueError(f"act_fn is {self.act_fn!r}, expected one of {sorted(ACTIVATIONS)}")
        if not self.attn_only and self.d_mlp < 1:
            raise ValueError(f"d_mlp is {self.d_mlp}, expected at least 1 unless attn_only is set")

    @property
    def width_out(self) -> int:
        """Number of logits: ``d_vocab_out``, or ``d_vocab`` where that is left at 0."""
        return self.d_vocab_out or self.d_vocab


def _weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*shape))


def _bias(present: bool, *shape: int) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(*shape)) if present else None


def _plus(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias


class Embed(nn.Module):
    """Token embedding, ``W_E`` [d_vocab, d]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_E = _weight(config.d_vocab, config.d_model)

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up tokens [b, p]; gives [b, p, d]."""
        return F.embedding(tokens, self.W_E)


class PosEmbed(nn.Module):
    """Learned absolute positions, ``W_pos`` [n_ctx, d]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_pos = _weight(config.n_ctx, config.d_model)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give the first p rows for each sequence: [b, p, d]."""
        return self.W_pos[: tokens.shape[1]].expand(tokens.shape[0], -1, -1)


class Unembed(nn.Module):
    """Logits from the residual stream, ``W_U`` [d, d_vocab_out]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_U = _weight(config.d_model, config.width_out)
        self.b_U = _bias(config.biases, config.width_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, p, d] to logits [b, p, d_vocab_out]."""
        return _plus(x @ self.W_U, self.b_U)


class LayerNorm(nn.Module):
    """Layer norm, ``w`` and ``b`` [d] unless it is the "LNPre" kind.

    With ``fused`` set (training only) torch's own kernel runs instead, and the hook points see nothing.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.eps, self.fused = config.eps, False
        affine = config.normalization == "LN"
        self.w = nn.Parameter(torch.ones(config.d_model)) if affine else None
        self.b = _bias(affine, config.d_model)
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Centre [b, p, d], divide by the standard deviation, then apply the weights."""
        if self.fused:
            return F.layer_norm(x, x.shape[-1:], self.w, self.b, self.eps)
        x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.square().mean(-1, keepdim=True) + self.eps).sqrt())
        x = self.hook_normalized(x / scale)
        return x if self.w is None else _plus(x * self.w, self.b)


class Attention(nn.Module):
    """Multi-head attention; ``W_Q, W_K, W_V`` [h, d, e], ``W_O`` [h, e, d].

    With ``fused`` set (training only) torch's fused kernel runs instead, and the hook points of scores and
    pattern see nothing.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        h, d, e = config.n_heads, config.d_model, config.d_head
        self.causal, self.fused = config.causal, False
        self.W_Q, self.W_K, self.W_V = _weight(h, d, e), _weight(h, d, e), _weight(h, d, e)
        self.W_O = _weight(h, e, d)
        self.b_Q, self.b_K, self.b_V = (_bias(config.biases, h, e) for _ in range(3))
        self.b_O = _bias(config.biases, d)
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern, self.hook_z = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, p, d] to what all heads together write: [b, p, d]."""
        q = self.hook_q(_project(x, self.W_Q, self.b_Q))  # [b, p, h, e]
        k = self.hook_k(_project(x, self.W_K, self.b_K))
        v = self.hook_v(_project(x, self.W_V, self.b_V))
        mix = self._mix_fused if self.fused else self._mix
        z = self.hook_z(mix(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2))
        return _plus(z.flatten(2) @ self.W_O.flatten(0, 1), self.b_O)

    def _mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # [b, h, query, key]
        if self.causal:
            n = q.shape[2]
            future = torch.ones(n, n, dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(future, -math.inf)
        pattern: Tensor = self.hook_pattern(self.hook_attn_scores(scores).softmax(-1))
        return pattern @ v

    def _mix_fused(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)


def _project(x: Tensor, W: Tensor, bias: Tensor | None) -> Tensor:
    h, d, e = W.shape
    y = x @ W.transpose(0, 1).reshape(d, h * e)
    return _plus(y.view(*x.shape[:-1], h, e), bias)


class MLP(nn.Module):
    """Two layers, ``W_in`` [d, d_mlp] and ``W_out`` [d_mlp, d]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_in, self.b_in = _weight(config.d_model, config.d_mlp), _bias(config.biases, config.d_mlp)
        self.W_out, self.b_out = _weight(config.d_mlp, config.d_model), _bias(config.biases, config.d_model)
        self.act = ACTIVATIONS[config.act_fn]
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, p, d] to what the layer writes: [b, p, d]."""
        pre = self.hook_pre(_plus(x @ self.W_in, self.b_in))
        post: Tensor = self.hook_post(self.act(pre))
        return _plus(post @ self.W_out, self.b_out)


class Block(nn.Module):
    """Attention, then (unless ``attn_only``) an MLP, each reading a normalised residual stream."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.hook_resid_pre = HookPoint()
        self.ln1 = _norm(config)
        self.attn = Attention(config)
        self.hook_attn_out = HookPoint()
        self.attn_only = config.attn_only
        if not config.attn_only:
            self.hook_resid_mid = HookPoint()
            self.ln2 = _norm(config)
            self.mlp = MLP(config)
            self.hook_mlp_out = HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Add what the sub-layers write to the residual stream [b, p, d]."""
        x = self.hook_resid_pre(x)
        x = x + self.hook_attn_out(self.attn(self.ln1(x)))
        if not self.attn_only:
            x = self.hook_resid_mid(x)
            x = x + self.hook_mlp_out(self.mlp(self.ln2(x)))
        post: Tensor = self.hook_resid_post(x)
        return post


def _norm(config: TransformerConfig) -> nn.Module:
    return nn.Identity() if config.normalization is None else LayerNorm(config)


class Transformer(nn.Module):
    """Tokens [b, p] to logits, as the configuration says."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed, self.hook_embed = Embed(config), HookPoint()
        self.pos_embed, self.hook_pos_embed = PosEmbed(config), HookPoint()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_final = _norm(config)
        self.unembed = Unembed(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give logits [b, p, d_vocab_out], or [b, d_vocab_out] where the configuration reads out the last."""
        x = self.hook_embed(self.embed(tokens)) + self.hook_pos_embed(self.pos_embed(tokens))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.unembed(self.ln_final(x))
        return logits if self.config.readout == "all" else logits[:, -1]

    def initialise(self, std: float, generator: torch.Generator) -> None:
        """Draw every matrix from N(0, std²); biases stay 0 and layer-norm weights 1."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.rsplit(".", 1)[-1].startswith("W_"):
                    parameter.normal_(0.0, std, generator=generator)

    def fuse(self, fused: bool) -> None:
        """Switch torch's fused kernels on for training, or off (see `Attention` and `LayerNorm`)."""
        for module in self.modules():
            if isinstance(module, Attention | LayerNorm):
                module.fused = fused
