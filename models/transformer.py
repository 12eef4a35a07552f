"""A small transformer with TransformerLens' parameter names, shapes and hook points.

Everything is written out, so that each intermediate quantity of *A Mathematical Framework for Transformer
Circuits* (Elhage et al. 2021) has a name: residual stream, query, key, value, scores, pattern, z, MLP pre-
and post-activation.  Shapes in comments: b batch, p position, h head, d model width, e head width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import Attention
from .feedforward import MLP, GatedMLP, SoluMLP, feedforward
from .hooks import HookPoint
from .normalization import LayerNorm, RMSNorm, normalization
from .transformer_config import TransformerConfig

__all__ = ["MLP", "Attention", "GatedMLP", "SoluMLP", "Transformer", "TransformerConfig"]


class Embed(nn.Module):
    """Token embedding, ``W_E`` [d_vocab, d]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up tokens [b, p]; gives [b, p, d]."""
        return F.embedding(tokens, self.W_E)


class PosEmbed(nn.Module):
    """Learned absolute positions, ``W_pos`` [n_ctx, d]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        """Give the first p rows for each sequence: [b, p, d]."""
        return self.W_pos[: tokens.shape[1]].expand(tokens.shape[0], -1, -1)


class Unembed(nn.Module):
    """Logits from the residual stream, ``W_U`` [d, d_vocab_out]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_U = nn.Parameter(torch.empty(config.d_model, config.width_out))
        self.b_U = nn.Parameter(torch.zeros(config.width_out)) if config.biases else None
        self.softcap = config.logits_softcap
        self.hook_in, self.hook_out = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, p, d] to logits [b, p, d_vocab_out]."""
        product = self.hook_in(x) @ self.W_U
        logits: Tensor = self.hook_out(product if self.b_U is None else product + self.b_U)
        return self.softcap * (logits / self.softcap).tanh() if self.softcap else logits


class Block(nn.Module):
    """Attention, then (unless ``attn_only``) an MLP, each reading a normalised residual stream.

    In a ``parallel`` block the MLP reads what attention reads, and there is no ``hook_resid_mid``.
    """

    def __init__(self, config: TransformerConfig, layer: int = 0) -> None:
        super().__init__()
        self.attn_only, self.parallel, self.norm_after = config.attn_only, config.parallel, config.norm_after
        self.hook_resid_pre = HookPoint()
        self.ln1 = normalization(config, config.d_model)
        self.attn = Attention(config, layer)
        self.hook_attn_out = HookPoint()
        if config.norm_after:
            self.ln1_post = RMSNorm(config.d_model, config.eps, affine=True)
        if not config.attn_only:
            self._add_mlp(config)
        self.hook_resid_post = HookPoint()

    def _add_mlp(self, config: TransformerConfig) -> None:
        if not config.parallel:
            self.hook_resid_mid = HookPoint()
        self.ln2 = normalization(config, config.d_model)
        self.mlp = feedforward(config)
        self.hook_mlp_out = HookPoint()
        if config.norm_after:
            self.ln2_post = RMSNorm(config.d_model, config.eps, affine=True)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Add what the sub-layers write to the residual stream [b, p, d]."""
        x = self.hook_resid_pre(x)
        wrote = self.attn(self.ln1(x), positions)
        mid = x + self.hook_attn_out(self.ln1_post(wrote) if self.norm_after else wrote)
        if not self.attn_only:
            mid = mid if self.parallel else self.hook_resid_mid(mid)
            wrote = self.mlp(self.ln2(x if self.parallel else mid))
            mid = mid + self.hook_mlp_out(self.ln2_post(wrote) if self.norm_after else wrote)
        post: Tensor = self.hook_resid_post(mid)
        return post


class Transformer(nn.Module):
    """Tokens [b, p] to logits, as the configuration says."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config, self.beside_weights = config, config.unseen
        self.embed, self.hook_embed = Embed(config), HookPoint()
        if config.positions != "rotary":
            self.pos_embed, self.hook_pos_embed = PosEmbed(config), HookPoint()
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.ln_final = normalization(config, config.d_model, rms=config.final_rms)
        self.unembed = Unembed(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give logits [b, p, d_vocab_out], or [b, d_vocab_out] where the configuration reads out the last."""
        x, positions = self.hook_embed(self.embed(tokens)), None
        if self.config.positions != "rotary":
            positions = self.hook_pos_embed(self.pos_embed(tokens))
        if self.config.positions == "standard":
            x, positions = x + positions, None
        for block in self.blocks:
            x = block(x, positions)
        logits: Tensor = self.unembed(self.ln_final(x))
        return logits if self.config.readout == "all" else logits[:, -1]

    def initialise(self, std: float, generator: torch.Generator) -> None:
        """Draw every matrix from N(0, std²); biases stay 0 and layer-norm weights 1."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.rsplit(".", 1)[-1].lstrip("_").startswith("W_"):
                    parameter.normal_(0.0, std, generator=generator)

    def fuse(self, fused: bool) -> None:
        """Switch torch's fused kernels on for training, or off (see `Attention` and `LayerNorm`)."""
        for module in self.modules():
            if isinstance(module, Attention | LayerNorm):
                module.fused = fused
