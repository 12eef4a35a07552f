"""Functions and operators that lowering knows, and how each is written down."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.nn import functional

from .faults import RefusalError

if TYPE_CHECKING:
    from .lowering import Builder


def sum_of(sources: list[int], factors: list[str], const: str = "0") -> list[Any]:
    """Σ factor · value + const."""
    return ["affine", [[s, "times", f] for s, f in zip(sources, factors, strict=True)], const]


def _linear_call(b: Builder, node: fx.Node) -> None:
    inputs: list[Any] = [*node.args, *node.kwargs.values(), None]
    x, weight, bias = inputs[:3]
    if weight not in b.constants or (bias is not None and bias not in b.constants):
        raise RefusalError("linear() whose weights are computed")
    name, flipped = b.constants[weight]
    if flipped:
        raise RefusalError("linear() with a transposed weight")
    b.linear(node, b.source(x), name, None if bias is None else b.constants[bias][0])


def _matmul(b: Builder, node: fx.Node) -> None:
    x, weight = node.args
    if not isinstance(weight, fx.Node) or weight not in b.constants:
        raise RefusalError("a product of two activations is not affine")
    name, flipped = b.constants[weight]
    b.flat(node)
    b.tensor(name)
    b.emit(node, ["affine", [[b.source(x), "matrix", name, not flipped]], "0"])


def _sum(sign: int) -> Callable[[Builder, fx.Node], None]:
    def add(b: Builder, node: fx.Node) -> None:
        x, y = node.args
        if x in b.constants and sign > 0:
            x, y = y, x
        if isinstance(y, int | float):
            b.emit(node, sum_of([b.source(x)], ["1"], b.scalar(sign * y)))
        elif y in b.constants and sign > 0:
            name = b.constants[y][0]  # type: ignore[index]
            if b.tensor(name).shape != b.shape(x):
                raise RefusalError(f"adding {name} stretches it over other axes")
            b.emit(node, sum_of([b.source(x)], ["1"], f"@{name}"))
        elif isinstance(x, fx.Node) and isinstance(y, fx.Node) and b.shape(x) == b.shape(y):
            b.emit(node, sum_of([b.source(x), b.source(y)], ["1", str(sign)]))
        else:
            raise RefusalError("a sum of unequal shapes")

    return add


def _product(b: Builder, node: fx.Node) -> None:
    x, factor = node.args
    if isinstance(x, int | float):
        x, factor = factor, x
    if not isinstance(factor, int | float):
        raise RefusalError("a product of two activations is not affine")
    b.emit(node, sum_of([b.source(x)], [b.scalar(factor)]))


def _negation(b: Builder, node: fx.Node) -> None:
    b.emit(node, sum_of([b.source(node.args[0])], ["-1"]))


def _relu(b: Builder, node: fx.Node) -> None:
    b.emit(node, ["relu", b.source(node.args[0])])


def _absolute(b: Builder, node: fx.Node) -> None:
    b.ramps(node, b.source(node.args[0]), "1")


def _clip(b: Builder, node: fx.Node) -> None:
    bounds = {
        "min": None,
        "max": None,
        **dict(zip(("min", "max"), node.args[1:], strict=False)),
        **node.kwargs,
    }
    if not all(isinstance(bound, int | float) for bound in bounds.values()):
        raise RefusalError("clip needs two numbers")
    low, high = (b.scalar(bounds[key]) for key in ("min", "max"))
    b.clip(node, b.source(node.args[0]), low, high)


def _leaky(b: Builder, node: fx.Node) -> None:
    slope: Any = (*node.args[1:], node.kwargs.get("negative_slope", 0.01))[0]
    b.ramps(node, b.source(node.args[0]), b.scalar(-slope))


TRANSPOSES = frozenset({"t", torch.t})
FUNCTIONS: dict[Any, Callable[[Builder, fx.Node], None]] = {
    functional.linear: _linear_call,
    torch.matmul: _matmul,
    operator.matmul: _matmul,
    "matmul": _matmul,
    "mm": _matmul,
    operator.add: _sum(1),
    torch.add: _sum(1),
    operator.sub: _sum(-1),
    torch.sub: _sum(-1),
    operator.mul: _product,
    torch.mul: _product,
    operator.neg: _negation,
    torch.neg: _negation,
    functional.relu: _relu,
    torch.relu: _relu,
    "relu": _relu,
    torch.abs: _absolute,
    operator.abs: _absolute,
    "abs": _absolute,
    torch.clamp: _clip,
    "clamp": _clip,
    torch.clip: _clip,
    functional.hardtanh: _clip,
    functional.leaky_relu: _leaky,
}
