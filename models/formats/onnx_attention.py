"""Operators of ONNX that transformers add: tables, pieces, masks, norms and products of any axes.

As in `onnx_layers`, a handler gets a `Node` and gives the module that takes the node's moving inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .onnx_layers import MOST_NUMBERS, Call, Node, fitted, linear

__all__ = ["ATTENTION", "PIECES", "Mixed", "Table", "constants"]


class Table(nn.Module):
    """The entry [...] of a table [n, ...] for each whole number."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Look up [b, …]."""
        return self.table[x]


class Norm(nn.Module):
    """Layer norm, or division by the root mean square, over the last axes."""

    def __init__(self, weight: Tensor, bias: Tensor | None, eps: float, centred: bool) -> None:
        super().__init__()
        self.weight, self.eps, self.centred = nn.Parameter(weight, requires_grad=False), eps, centred
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [b, …]."""
        if self.centred:
            return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Mixed(nn.Module):
    """A function of several tensors, some of which are constants, by their places; masks and places are no
    weights, the digest of the file covers them."""

    def __init__(self, function: Callable[..., Tensor], constants: dict[int, Tensor]) -> None:
        super().__init__()
        self.function, self.places = function, tuple(constants)
        for place, constant in constants.items():
            if constant.is_floating_point():
                self.register_parameter(f"constant_{place}", nn.Parameter(constant, requires_grad=False))
            else:
                self.register_buffer(f"constant_{place}", constant, persistent=False)

    def forward(self, *xs: Tensor) -> Tensor:
        """Apply it to the moving ones, in order, and the constants."""
        moving, count = iter(xs), len(xs) + len(self.places)
        return self.function(
            *(getattr(self, f"constant_{k}") if k in self.places else next(moving) for k in range(count))
        )


def constants(node: Node) -> dict[int, Tensor]:
    """Constant inputs as they are, by their places."""
    told = ((k, array) for k, array in enumerate(node.inputs) if array is not None)
    return {k: torch.tensor(array) for k, array in told}


def _gathered(node: Node) -> nn.Module:
    axis = int(node.attributes.get("axis", 0))
    if node.inputs[0] is not None:
        if axis not in (0, -node.inputs[0].ndim) or not node.inputs[0].shape[0]:
            raise ValueError(f"looks up axis {axis} of a table, expected the first, with entries")
        return Table(torch.tensor(node.inputs[0]))
    axis, index = node.axis(axis), node.needed(1)
    size = node.shapes[0][axis - 1]
    if index.size and not -size <= index.min() <= index.max() < size:
        raise ValueError(f"picks places up to {index.max()} of {size}")
    shape, places = index.shape, torch.tensor(index.reshape(-1) % size)
    if not shape:
        return Call(lambda x: x.select(axis, int(places)))
    return Mixed(lambda x, places: x.index_select(axis, places).unflatten(axis, shape), {1: places})


def _sliced(node: Node) -> nn.Module:
    def told(place: int, name: str) -> list[int] | None:
        found = node.attributes.get(name)
        array = node.constant(place) if found is None else np.array(found)
        return None if array is None else [int(n) for n in array.reshape(-1)]

    starts, ends = told(1, "starts"), told(2, "ends")
    if starts is None or ends is None:
        raise ValueError("lacks where it starts and ends")
    axes = told(3, "axes") or list(range(len(starts)))
    steps = told(4, "steps") or [1] * len(starts)
    if min(steps, default=1) < 1:
        raise ValueError(f"goes backwards, by steps of {steps}")
    places = [slice(None)] * (len(node.shapes[0]) + 1)
    for told_axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = node.axis(told_axis)
        size = node.shapes[0][axis - 1]
        places[axis] = slice(*slice(start, end, min(step, max(size, 1))).indices(size))
    return Call(lambda x: x[tuple(places)])


def _pieces(node: Node, count: int) -> list[nn.Module]:
    """One module for each output of a Split."""
    axis = node.axis(int(node.attributes.get("axis", 0)))
    size, given = node.shapes[0][axis - 1], node.attributes.get("split", node.constant(1))
    each = -(-size // count)
    sizes = [each] * (count - 1) + [size - each * (count - 1)] if given is None else [int(n) for n in given]
    if len(sizes) != count or min(sizes) < 0 or sum(sizes) != size:
        raise ValueError(f"splits {size} into {sizes} for {count} outputs")
    starts = np.cumsum([0, *sizes]).tolist()
    return [_narrowed(axis, start, length) for start, length in zip(starts, sizes, strict=False)]


def _narrowed(axis: int, start: int, length: int) -> nn.Module:
    return Call(lambda x: x.narrow(axis, start, length))


def _chosen(node: Node) -> nn.Module:
    """Where: one of two by a mask; a single number is filled in where the mask is a constant."""
    sides = node.inputs[1:]
    if node.inputs[0] is None or all(side is None for side in sides):
        known = constants(node)
        return Mixed(torch.where, known if node.inputs[0] is None else {0: known[0].bool()})
    mask = node.needed(0).astype(bool)
    place = 1 if sides[0] is not None else 2
    constant = node.needed(place)
    if constant.size == 1:
        hidden, number = fitted(node, mask if place == 1 else ~mask), float(constant.reshape(()))
        return Mixed(lambda x, hidden: x.masked_fill(hidden, number), {1: hidden})
    return Mixed(torch.where, {0: fitted(node, mask), place: fitted(node, constant)})


def _norm(centred: bool) -> Callable[[Node], nn.Module]:
    def build(node: Node) -> nn.Module:
        shape = node.shapes[0][node.axis(int(node.attributes.get("axis", -1))) - 1 :]
        bias = node.constant(2)
        weight, shift = (
            None if a is None else torch.tensor(np.broadcast_to(a, shape).copy())
            for a in (node.needed(1), bias)
        )
        assert weight is not None
        return Norm(weight, shift, float(node.attributes.get("epsilon", 1e-5)), centred)

    return build


def _power(node: Node) -> nn.Module:
    if node.inputs[0] is not None or (exponent := node.needed(1)).size != 1:
        raise ValueError("has an exponent that is not one number, or a constant base")
    number = float(exponent.reshape(()))
    return Call(lambda x: x**number)


def _summed_products(node: Node) -> nn.Module:
    equation = node.attributes["equation"].decode()
    if len(node.inputs) > 2:
        raise ValueError(f"multiplies {len(node.inputs)} tensors at once, expected at most two")
    return _limited(Mixed(lambda *xs: torch.einsum(equation, *xs), constants(node)), node)


def _limited(module: Mixed, node: Node) -> Mixed:
    """The module, unless it makes too many numbers of one datum."""
    known = constants(node)
    moving = iter(node.shapes)
    xs = (known[k] if k in known else torch.empty(1, *next(moving)) for k in range(len(node.inputs)))
    made = module.function(*(x.to("meta") for x in xs)).numel()
    if made > MOST_NUMBERS:
        raise ValueError(f"makes {made} numbers for each datum, at most {MOST_NUMBERS} are computed")
    return module


def _extreme(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Node], nn.Module]:
    def build(node: Node) -> nn.Module:
        return Mixed(lambda *xs: reduce(function, xs), constants(node))

    return build


def _expanded(node: Node) -> nn.Module:
    (old,), target = node.shapes, tuple(int(n) for n in node.needed(1).reshape(-1))
    shape = np.broadcast_shapes((1, *old), target)
    if len(shape) != len(old) + 1 or shape[0] != 1:
        raise ValueError(f"expands data of shape {old} to {target}")
    return Call(lambda x: x.expand(len(x), *shape[1:]))


def _cast(node: Node) -> nn.Module:
    from onnx import helper

    kind = helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    dtype = torch.from_numpy(np.zeros(0, kind)).dtype
    return Call(lambda x: x.to(dtype))


def _gelu(node: Node) -> nn.Module:
    return nn.GELU(node.attributes.get("approximate", b"none").decode())


def _matmul(node: Node) -> nn.Module:
    right = node.inputs[1] if len(node.inputs) > 1 else None
    if right is not None and right.ndim == 2:
        return linear(right.T, None)
    if node.inputs[0] is not None and node.inputs[0].ndim == 2 and len(node.shapes[0]) == 1:
        return linear(node.inputs[0], None)
    return _limited(Mixed(torch.matmul, constants(node)), node)


def _concat(node: Node) -> nn.Module:
    """Moving tensors and constants [1, …] one after the other, in order."""
    axis, known = node.axis(node.attributes["axis"]), constants(node)

    def join(*xs: Tensor) -> Tensor:
        size = next(len(x) for k, x in enumerate(xs) if k not in known)
        spread = (x.expand(size, *x.shape[1:]) if k in known else x for k, x in enumerate(xs))
        return torch.cat(list(spread), axis)

    return Mixed(join, known)


ATTENTION: dict[str, Callable[[Node], nn.Module]] = {
    "MatMul": _matmul,
    "Concat": _concat,
    "Gather": _gathered,
    "Slice": _sliced,
    "Where": _chosen,
    "LayerNormalization": _norm(True),
    "RMSNormalization": _norm(False),
    "Gelu": _gelu,
    "Pow": _power,
    "Reciprocal": lambda node: Call(torch.reciprocal),
    "Einsum": _summed_products,
    "Max": _extreme(torch.maximum),
    "Min": _extreme(torch.minimum),
    "Expand": _expanded,
    "Cast": _cast,
}
PIECES: dict[str, Callable[[Node, int], list[nn.Module]]] = {"Split": _pieces}
