"""Each operator of ONNX as a torch module that acts on batches.

A handler gets a `Node` and gives the module that takes the node's moving inputs, in order; None where the
node changes nothing.  It raises ValueError with the reason where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "HANDLERS",
    "MOST_NUMBERS",
    "Array",
    "Call",
    "Node",
    "Scale",
    "Shift",
    "fitted",
    "linear",
    "reduction",
    "stored",
]

Array = np.ndarray[Any, Any]

MOST_NUMBERS = 1 << 24
"""Numbers of one datum: many more than networks of this kind read, few enough to be tried."""


@dataclass(frozen=True)
class Node:
    """One node: its attributes, and for each input a constant, or None where it is computed.

    ``shapes`` are those of one datum of each computed input, in order; ``omitted`` the inputs left out.
    """

    op: str
    attributes: dict[str, Any]
    inputs: tuple[Array | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    omitted: frozenset[int] = frozenset()

    def constant(self, index: int) -> Array | None:
        """Input ``index``, None where it is left out; ValueError where it is computed from the data."""
        if index >= len(self.inputs) or index in self.omitted:
            return None
        if self.inputs[index] is None:
            raise ValueError(f"computes its input {index} from the data, expected a constant")
        return self.inputs[index]

    def needed(self, index: int) -> Array:
        """As `constant`, but it must be there."""
        if (found := self.constant(index)) is None:
            raise ValueError(f"lacks its input {index}")
        return found

    def axis(self, axis: int, rank_less: int = 0) -> int:
        """An axis counted from the front, the batch being 0; ValueError for the batch itself."""
        rank = len(self.shapes[0]) + 1
        axis = axis + rank if axis < 0 else axis
        if not 0 < axis < rank + rank_less:
            raise ValueError(f"acts on axis {axis} of {rank}, expected one behind the batch")
        return axis


class Shift(nn.Module):
    """± x + a constant."""

    def __init__(self, constant: Tensor, negative: bool = False) -> None:
        super().__init__()
        self.constant, self.negative = nn.Parameter(constant, requires_grad=False), negative

    def forward(self, x: Tensor) -> Tensor:
        """Add it to [b, …]."""
        return -x + self.constant if self.negative else x + self.constant


class Hidden(nn.Module):
    """x, and -inf at hidden places."""

    hidden: Tensor

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.register_buffer("hidden", hidden, persistent=False)  # the file's digest covers it

    def forward(self, x: Tensor) -> Tensor:
        """Hide places of [b, …]."""
        return x.masked_fill(self.hidden, -torch.inf)


class Scale(nn.Module):
    """x times (or divided by) a constant tensor."""

    def __init__(self, factor: Tensor, divides: bool) -> None:
        super().__init__()
        self.factor, self.divides = nn.Parameter(factor, requires_grad=False), divides

    def forward(self, x: Tensor) -> Tensor:
        """Multiply [b, …]."""
        return x / self.factor if self.divides else x * self.factor


class Times(nn.Module):
    """x times a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        """Multiply [b, …]."""
        return x * self.number


class Call(nn.Module):
    """A function of one or more tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *xs: Tensor) -> Tensor:
        """Apply it."""
        return self.function(*xs)


def stored(array: Array) -> nn.Parameter:
    """Numbers of a file as a parameter."""
    return nn.Parameter(torch.tensor(array), requires_grad=False)


def linear(weight: Array, bias: Array | None) -> nn.Linear:
    """W x + b along the last axis, with W [out, in]."""
    if weight.ndim != 2:
        raise ValueError(f"has a weight of shape {weight.shape}, expected a matrix")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = stored(weight)
    if bias is not None:
        layer.bias = stored(np.broadcast_to(bias.reshape(-1), (weight.shape[0],)))
    return layer


def _gemm(node: Node) -> nn.Module:
    a = node.attributes
    if node.inputs[0] is not None or a.get("transA"):
        raise ValueError("transposes its input, or multiplies it from the left")
    weight, bias = node.needed(1), node.constant(2)
    with np.errstate(all="ignore"):  # what is not finite is told by who needs it
        scaled = a.get("alpha", 1.0) * (weight if a.get("transB") else weight.T)
    return linear(scaled.astype(weight.dtype), None if bias is None else a.get("beta", 1.0) * bias)


def fitted(node: Node, constant: Array) -> Tensor:
    """A constant that is added to or multiplied with each datum, without the axis of the batch."""
    (shape,) = node.shapes
    if constant.ndim > len(shape) and constant.shape[: constant.ndim - len(shape)].count(1) == (
        constant.ndim - len(shape)
    ):
        constant = constant.reshape(constant.shape[constant.ndim - len(shape) :])
    if constant.ndim > len(shape) or np.broadcast_shapes(constant.shape, shape) != shape:
        raise ValueError(f"stretches data of shape {shape} by a constant of shape {constant.shape}")
    # written out, since a sum with equal shapes is what exact arithmetic reads
    spread = constant if constant.size == 1 else np.broadcast_to(constant, shape)
    return torch.tensor(np.ascontiguousarray(spread))


def _sum(sign: int) -> Callable[[Node], nn.Module]:
    def build(node: Node) -> nn.Module:
        if all(constant is None for constant in node.inputs):
            return Call(torch.add if sign > 0 else torch.sub)
        first = node.inputs[0] is not None
        constant = fitted(node, node.needed(0 if first else 1))
        constant = constant.expand(node.shapes[0]).contiguous()
        if (hidden := constant == -torch.inf).any() and sign > 0:
            shift = constant.masked_fill(hidden, 0)
            return nn.Sequential(Shift(shift), Hidden(hidden)) if shift.any() else Hidden(hidden)
        if first and sign < 0:
            return Shift(constant, negative=True)
        return Shift(constant if sign > 0 else -constant)

    return build


def _product(node: Node) -> nn.Module:
    if all(constant is None for constant in node.inputs):
        return Call(torch.mul)
    factor = fitted(node, node.needed(0 if node.inputs[0] is not None else 1))
    return Times(float(factor)) if factor.numel() == 1 else Scale(factor, divides=False)


def _quotient(node: Node) -> nn.Module:
    if node.inputs[0] is not None:
        raise ValueError("divides by activations")
    if node.inputs[1] is None:
        return Call(torch.div)
    divisor = fitted(node, node.inputs[1])
    if divisor.numel() == 1:
        number = float(divisor)
        return Call(lambda x: x / number)
    return Scale(divisor, divides=True)


def _clip(node: Node) -> nn.Module:
    low, high = (node.attributes.get(name, node.constant(i)) for i, name in ((1, "min"), (2, "max")))
    least, most = (None if bound is None else float(bound) for bound in (low, high))
    if least is not None and most is not None and least < most:
        return nn.Hardtanh(least, most)
    return Call(lambda x: x.clamp(least, most))


def reduction(function: Callable[..., Tensor]) -> Callable[[Node], nn.Module]:
    """A function of axes; of all but the batch where none are told."""

    def build(node: Node) -> nn.Module:
        given = node.attributes.get("axes")
        axes = node.constant(1) if given is None else np.array(given)
        rank = range(1, len(node.shapes[0]) + 1)
        chosen = list(rank) if axes is None else [node.axis(int(axis)) for axis in axes.reshape(-1)]
        keep = bool(node.attributes.get("keepdims", 1))
        return Call(lambda x: function(x, dim=chosen, keepdim=keep))

    return build


def _transpose(node: Node) -> nn.Module:
    rank = len(node.shapes[0]) + 1
    order = list(node.attributes.get("perm") or range(rank)[::-1])
    if order[0] != 0 or len(order) != rank:
        raise ValueError(f"permutes axes by {order}, expected the batch to stay first of {rank}")
    return Call(lambda x: x.permute(order))


def _plain(module: Callable[[], nn.Module]) -> Callable[[Node], nn.Module]:
    return lambda node: module()


def _call(function: Callable[..., Tensor]) -> Callable[[Node], nn.Module]:
    return lambda node: Call(function)


HANDLERS: dict[str, Callable[[Node], nn.Module]] = {
    "Gemm": _gemm,
    "Add": _sum(1),
    "Sub": _sum(-1),
    "Mul": _product,
    "Div": _quotient,
    "Neg": _call(torch.neg),
    "Abs": _call(torch.abs),
    "Exp": _call(torch.exp),
    "Sqrt": _call(torch.sqrt),
    "Erf": _call(torch.erf),
    "Relu": _plain(nn.ReLU),
    "LeakyRelu": lambda node: nn.LeakyReLU(node.attributes.get("alpha", 0.01)),
    "Elu": lambda node: nn.ELU(node.attributes.get("alpha", 1.0)),
    "Sigmoid": _plain(nn.Sigmoid),
    "Tanh": _plain(nn.Tanh),
    "Softplus": _plain(nn.Softplus),
    "Softmax": lambda node: nn.Softmax(node.axis(node.attributes.get("axis", -1))),
    "LogSoftmax": lambda node: nn.LogSoftmax(node.axis(node.attributes.get("axis", -1))),
    "Clip": _clip,
    "ReduceMean": reduction(torch.mean),
    "ReduceSum": reduction(torch.sum),
    "Transpose": _transpose,
}
