"""Operators of ONNX that act on each number by itself, or on two: activations, comparisons, truths."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from .onnx_attention import Mixed, constants
from .onnx_layers import Call, Node, fitted

__all__ = ["BENDS"]


def _number(node: Node, name: str, otherwise: float) -> float:
    return float(node.attributes.get(name, otherwise))


def _hard_sigmoid(node: Node) -> nn.Module:
    slope, shift = _number(node, "alpha", 0.2), _number(node, "beta", 0.5)
    return Call(lambda x: (slope * x + shift).clamp(0, 1))


def _selu(node: Node) -> nn.Module:
    alpha = _number(node, "alpha", 1.67326319217681884765625)
    gamma = _number(node, "gamma", 1.05070102214813232421875)
    return Call(lambda x: gamma * functional.elu(x, alpha))


def _shrink(node: Node) -> nn.Module:
    edge, shift = _number(node, "lambd", 0.5), _number(node, "bias", 0.0)
    if edge == shift:
        return nn.Softshrink(edge)
    if shift:
        raise ValueError(f"shrinks by {shift} from {edge} on")
    return nn.Hardshrink(edge)


def _slopes(node: Node) -> nn.Module:
    slopes = fitted(node, node.needed(1))
    return Mixed(lambda x, slopes: x.relu() - slopes * (-x).relu(), {1: slopes})


def _several(function: Callable[[Tensor, Tensor], Tensor], mean: bool = False) -> Callable[[Node], nn.Module]:
    """A sum, or mean, of any number of tensors."""

    def build(node: Node) -> nn.Module:
        count = len(node.inputs) if mean else 1
        return Mixed(lambda *xs: reduce(function, xs) / count, constants(node))

    return build


def _pair(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Node], nn.Module]:
    """A function of two tensors, one of which may be a constant."""
    return lambda node: Mixed(function, constants(node))


def _each(function: Callable[[Tensor], Tensor]) -> Callable[[Node], nn.Module]:
    return lambda node: Call(function)


BENDS: dict[str, Callable[[Node], nn.Module]] = {
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda node: nn.Hardswish(),
    "Selu": _selu,
    "Celu": lambda node: nn.CELU(_number(node, "alpha", 1.0)),
    "Mish": lambda node: nn.Mish(),
    "Softsign": lambda node: nn.Softsign(),
    "ThresholdedRelu": lambda node: nn.Threshold(_number(node, "alpha", 1.0), 0.0),
    "Shrink": _shrink,
    "PRelu": _slopes,
    "Log": _each(torch.log),
    "Sign": _each(torch.sign),
    "Sinh": _each(torch.sinh),
    "Cosh": _each(torch.cosh),
    "Sum": _several(torch.add),
    "Mean": _several(torch.add, mean=True),
    "Greater": _pair(torch.gt),
    "GreaterOrEqual": _pair(torch.ge),
    "Less": _pair(torch.lt),
    "LessOrEqual": _pair(torch.le),
    "Equal": _pair(torch.eq),
    "And": _pair(torch.logical_and),
    "Or": _pair(torch.logical_or),
    "Xor": _pair(torch.logical_xor),
    "Not": _each(torch.logical_not),
}
