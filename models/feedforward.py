"""The MLPs of a transformer, with TransformerLens' parameter names, shapes and hook points."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hooks import HookPoint
from .normalization import LayerNorm
from .transformer_config import TransformerConfig

__all__ = ["ACTIVATIONS", "MLP", "GatedMLP", "SoluMLP", "feedforward"]


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _solu(x: Tensor) -> Tensor:
    """x · softmax(x) (Elhage et al. 2022, Softmax Linear Units)."""
    return x * x.softmax(-1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": lambda x: F.relu(x).square(),
    "gelu": F.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "silu": F.silu,
    "solu": _solu,
    "solu_ln": _solu,
}


def _layer(config: TransformerConfig, *shape: int) -> tuple[nn.Parameter, nn.Parameter | None]:
    bias = nn.Parameter(torch.zeros(shape[-1])) if config.biases else None
    return nn.Parameter(torch.empty(*shape)), bias


def _plus(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias


class MLP(nn.Module):
    """Two layers, ``W_in`` [d, d_mlp] and ``W_out`` [d_mlp, d]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_in, self.b_in = _layer(config, config.d_model, config.d_mlp)
        self.W_out, self.b_out = _layer(config, config.d_mlp, config.d_model)
        self.act = ACTIVATIONS[config.act_fn]
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, p, d] to what the layer writes: [b, p, d]."""
        pre = self.hook_pre(_plus(x @ self.W_in, self.b_in))
        post: Tensor = self.hook_post(self.act(pre))
        return _plus(post @ self.W_out, self.b_out)


class SoluMLP(nn.Module):
    """SoLU with a layer norm ``ln`` behind it; ``hook_mid`` lies between the two."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_in, self.b_in = _layer(config, config.d_model, config.d_mlp)
        self.W_out, self.b_out = _layer(config, config.d_mlp, config.d_model)
        self.ln = LayerNorm(config.d_mlp, config.eps, affine=config.normalization == "LN")
        self.hook_pre, self.hook_mid, self.hook_post = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, p, d] to what the layer writes: [b, p, d]."""
        mid = self.hook_mid(_solu(self.hook_pre(_plus(x @ self.W_in, self.b_in))))
        post: Tensor = self.hook_post(self.ln(mid))
        return _plus(post @ self.W_out, self.b_out)


class GatedMLP(nn.Module):
    """(act(x W_gate) · x W_in + b_in) W_out + b_out: a neuron's bias is added behind the product."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.W_gate = nn.Parameter(torch.empty(config.d_model, config.d_mlp))
        self.W_in, self.b_in = _layer(config, config.d_model, config.d_mlp)
        self.W_out, self.b_out = _layer(config, config.d_mlp, config.d_model)
        self.act = ACTIVATIONS[config.act_fn]
        self.hook_pre, self.hook_pre_linear, self.hook_post = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, p, d] to what the layer writes: [b, p, d]."""
        gate = self.act(self.hook_pre(x @ self.W_gate))
        post: Tensor = self.hook_post(_plus(gate * self.hook_pre_linear(x @ self.W_in), self.b_in))
        return _plus(post @ self.W_out, self.b_out)


def feedforward(config: TransformerConfig) -> nn.Module:
    """The kind of MLP that a configuration names."""
    if config.gated_mlp:
        return GatedMLP(config)
    return SoluMLP(config) if config.act_fn == "solu_ln" else MLP(config)
