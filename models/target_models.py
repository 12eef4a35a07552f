"""The toy networks that parameter decompositions are trained on, with the names that their files use.

TMS and residual MLPs as in the code of Braun et al. 2025 (arXiv 2501.14926) and Bushnaq et al. 2025 (arXiv
2506.20790): linear layers under ``linear1``, ``hidden_layers.i``, ``layers.i.mlp_in`` and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import InputError

__all__ = ["LayeredTMS", "LayeredTMSConfig", "ResidualStack", "ResidualStackConfig", "TransposedLinear"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class TransposedLinear(nn.Module):
    """x W + b with W [out, in] borrowed from another linear layer, so that it is one parameter, not two."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self._source = (source,)  # in a tuple, so that it is not a part of this module, too
        self.bias = nn.Parameter(torch.zeros(source.in_features))

    @property
    def source(self) -> nn.Linear:
        """The layer that owns the weight."""
        return self._source[0]

    @property
    def weight(self) -> Tensor:
        """The borrowed weight as a linear layer has it: [in_features, out_features] of the source."""
        return self.source.weight.T

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., out] of the source to [..., in] of the source."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class LayeredTMSConfig:
    """Sizes of a toy model of superposition that may have linear layers in its hidden space."""

    n_features: int
    n_hidden: int
    n_hidden_layers: int = 0
    tied: bool = True


class LayeredTMS(nn.Module):
    """y = ReLU(W2 H_k … H_1 W1 x + b) with W1 [n_hidden, n_features]; tied: W2 = W1ᵀ."""

    def __init__(self, config: LayeredTMSConfig) -> None:
        super().__init__()
        self.config = config
        features, hidden = config.n_features, config.n_hidden
        self.linear1 = nn.Linear(features, hidden, bias=False)
        layers = [nn.Linear(hidden, hidden, bias=False) for _ in range(config.n_hidden_layers)]
        self.hidden_layers = nn.ModuleList(layers)
        self.linear2 = TransposedLinear(self.linear1) if config.tied else nn.Linear(hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze x [b, n_features] through the hidden space and rebuild it."""
        hidden: Tensor = self.linear1(x)
        for layer in self.hidden_layers:
            hidden = layer(hidden)
        return F.relu(self.linear2(hidden))


@dataclass(frozen=True)
class ResidualStackConfig:
    """Sizes of residual MLPs on embedded features; ``act_on_output`` applies the activation once more."""

    n_features: int
    d_embed: int
    d_mlp: int
    n_layers: int
    act_fn: str = "relu"
    in_bias: bool = False
    out_bias: bool = False
    act_on_output: bool = False

    def __post_init__(self) -> None:
        if self.act_fn not in ACTIVATIONS:
            raise InputError(f"act_fn is {self.act_fn!r}, expected one of {', '.join(ACTIVATIONS)}")


class ResidualLayer(nn.Module):
    """Neurons between two linear layers."""

    def __init__(self, config: ResidualStackConfig) -> None:
        super().__init__()
        self.act = ACTIVATIONS[config.act_fn]
        self.mlp_in = nn.Linear(config.d_embed, config.d_mlp, bias=config.in_bias)
        self.mlp_out = nn.Linear(config.d_mlp, config.d_embed, bias=config.out_bias)

    def forward(self, x: Tensor) -> Tensor:
        """What the layer writes to the residual stream: [b, d_embed]."""
        written: Tensor = self.mlp_out(self.act(self.mlp_in(x)))
        return written


class ResidualStack(nn.Module):
    """y = (r_k) W_U with r_0 = x W_E and r_{i+1} = r_i + MLP_i(r_i)."""

    def __init__(self, config: ResidualStackConfig) -> None:
        super().__init__()
        self.config = config
        self.W_E = nn.Parameter(torch.empty(config.n_features, config.d_embed))
        self.W_U = nn.Parameter(torch.empty(config.d_embed, config.n_features))
        self.layers = nn.ModuleList(ResidualLayer(config) for _ in range(config.n_layers))

    def forward(self, x: Tensor) -> Tensor:
        """Map features [b, n_features] to answers [b, n_features]."""
        resid = x @ self.W_E
        for layer in self.layers:
            resid = resid + layer(resid)
        out = resid @ self.W_U
        return ACTIVATIONS[self.config.act_fn](out) if self.config.act_on_output else out
