"""The toy models of the field whose true mechanism is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hooks import HookPoint

__all__ = ["ResidualMLP", "ResidualMLPConfig", "Superposition", "SuperpositionConfig"]


@dataclass(frozen=True)
class SuperpositionConfig:
    """Sizes of a toy model of superposition."""

    n_features: int
    n_hidden: int


class Superposition(nn.Module):
    """y = ReLU(Wᵀ W x + b) with W [n_hidden, n_features]: more features than dimensions (Elhage et al.)."""

    def __init__(self, config: SuperpositionConfig) -> None:
        super().__init__()
        self.config = config
        self.W = nn.Parameter(torch.empty(config.n_hidden, config.n_features))
        self.b = nn.Parameter(torch.zeros(config.n_features))
        self.hook_hidden, self.hook_pre, self.hook_out = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze x [b, n_features] through the hidden layer and rebuild it."""
        hidden = self.hook_hidden(x @ self.W.T)
        out: Tensor = self.hook_out(F.relu(self.hook_pre(hidden @ self.W + self.b)))
        return out


@dataclass(frozen=True)
class ResidualMLPConfig:
    """Sizes of a residual MLP on features in superposition."""

    n_features: int
    d_embed: int
    d_mlp: int


class FeatureEmbedding(nn.Module):
    """A fixed embedding of features as unit vectors, ``W_E`` [n_features, d_embed]."""

    def __init__(self, config: ResidualMLPConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(config.n_features, config.d_embed), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, n_features] to [b, d_embed]."""
        return x @ self.W_E


class NarrowMLP(nn.Module):
    """ReLU neurons between two matrices, no biases: ``W_in`` [d_embed, d_mlp], ``W_out`` [d_mlp, d_embed]."""

    def __init__(self, config: ResidualMLPConfig) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(config.d_embed, config.d_mlp))
        self.W_out = nn.Parameter(torch.empty(config.d_mlp, config.d_embed))
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, d_embed] to what the layer writes: [b, d_embed]."""
        post: Tensor = self.hook_post(F.relu(self.hook_pre(x @ self.W_in)))
        return post @ self.W_out


class ResidualMLP(nn.Module):
    """One MLP on a residual stream, read out by the transposed embedding.

    Computes x + ReLU(x) for more features than it has neurons (Braun et al. 2025, arXiv 2501.14926, section
    3.2).
    """

    def __init__(self, config: ResidualMLPConfig) -> None:
        super().__init__()
        self.config = config
        self.embed, self.hook_embed = FeatureEmbedding(config), HookPoint()
        self.mlp, self.hook_mlp_out = NarrowMLP(config), HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map features [b, n_features] to answers [b, n_features]."""
        resid: Tensor = self.hook_embed(self.embed(x))
        resid = self.hook_resid_post(resid + self.hook_mlp_out(self.mlp(resid)))
        return resid @ self.embed.W_E.T
