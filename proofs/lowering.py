"""A torch module as a graph of the few operations that exact arithmetic knows.

`torch.fx` writes down what the module does; each node becomes one operation, or is refused with its reason.
All refusals are collected before failing. Values are vectors per datum, the flattened (row-major) tensors.

Operations, as they also stand in certificates; `s` and `t` number earlier values, value 0 is the input:

    ["relu", s]                               max(v, 0)
    ["affine", [[s, map…], [t, map…]…], const]  Σ map(v) + const; const: a number, or "@tensor" (per channel)

where map… is one of

    "times", "1/2"                            every component by a number
    "matrix", weight, transposed              W v, or Wᵀ v
    "conv2d", weight, [c, h, w], [stride…], [padding…], [dilation…], groups
"""

from __future__ import annotations

import io
import operator
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from .faults import Fault, InputError

Operation = list[Any]

_IDENTITIES = (nn.Identity, nn.Dropout, nn.Flatten, nn.Unflatten)
_IDENTITY_CALLS = {torch.flatten, "flatten", functional.dropout, "contiguous", "clone", "detach", "float"}
_EXACT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class UnsupportedError(InputError):
    """A network that uses what exact arithmetic does not know; `faults` names every place."""


@dataclass(frozen=True)
class Graph:
    """A network in exact terms.

    Attributes:
        operations: see the head of this module; operation k makes value k + 1, the last one is the output.
        tensors: the tensors that operations name, as float64 (every stored value is exact in it).
        size: number of inputs, flattened.
        single: whether all tensors are float32, as the semantics "float32" demands.
        sites: values at the outputs of modules, by path.
    """

    operations: tuple[Operation, ...]
    tensors: dict[str, np.ndarray[Any, np.dtype[np.float64]]]
    size: int
    single: bool
    sites: dict[str, int] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Number of outputs, flattened."""
        sizes = [self.size]
        for kind, first, *_ in self.operations:
            if kind == "relu":
                sizes.append(sizes[first])
                continue
            source, how, *rest = first[0]
            if how == "matrix":
                sizes.append(self.tensors[rest[0]].shape[1 if rest[1] else 0])
            elif how == "conv2d":
                shape = self.tensors[rest[0]].shape
                sizes.append(shape[0] * int(np.prod(window_places(shape[2:], *rest[1:5]))))
            else:
                sizes.append(sizes[source])
        return sizes[-1]

    def up_to(self, site: str) -> Graph:
        """The part of the network that ends at a module.

        Raises:
            InputError: there is no such module; the message lists those there are.
        """
        if site not in self.sites:
            raise InputError(f"no module {site!r}; there are {', '.join(self.sites)}")
        return replace(self, operations=self.operations[: self.sites[site]])


def window_places(
    window: Sequence[int], image: list[int], stride: list[int], padding: list[int], dilation: list[int]
) -> list[int]:
    """How many places a convolution's window has on each axis of an image [channels, height, width]."""
    return [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(image[1:], window, stride, padding, dilation, strict=True)
    ]


def lower(module: nn.Module, in_shape: tuple[int, ...]) -> Graph:
    """Write `module`, reading data of shape `in_shape`, as a `Graph`.

    Raises:
        UnsupportedError: naming every operation that has no exact form, with the reason.
    """
    try:
        traced = fx.symbolic_trace(module)
    except Exception as error:  # tracing runs the module's own code: anything may come
        raise UnsupportedError(f"the network's control flow cannot be traced: {error}") from error
    _record_shapes(traced, in_shape)
    builder = _Builder(traced)
    for node in traced.graph.nodes:
        builder.visit(node)
    if builder.faults:
        raise UnsupportedError(builder.faults)
    size = int(np.prod(in_shape, dtype=np.int64))
    return Graph(tuple(builder.operations), builder.tensors, size, builder.single, builder.sites)


def _record_shapes(traced: fx.GraphModule, in_shape: tuple[int, ...]) -> None:
    from torch.fx.passes.shape_prop import ShapeProp

    example = next((p for p in traced.parameters()), torch.zeros(()))
    sample = torch.zeros(1, *in_shape, dtype=example.dtype, device=example.device)
    try:
        # torch prints the traceback of what it raises
        with torch.no_grad(), redirect_stderr(io.StringIO()):
            ShapeProp(traced).propagate(sample)
    except Exception as error:  # the module's own code runs here, too
        raise UnsupportedError(f"the network does not run on inputs of shape {in_shape}: {error}") from error


def _sum_of(sources: list[int], factors: list[str], const: str = "0") -> Operation:
    return ["affine", [[s, "times", f] for s, f in zip(sources, factors, strict=True)], const]


def _constant(name: str | None) -> str:
    return "0" if name is None else f"@{name}"


class _RefusalError(Exception):
    pass


class _Builder:
    """Visits the nodes of a traced graph in order."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self.operations: list[Operation] = []
        self.tensors: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
        self.faults: list[Fault] = []
        self.values: dict[fx.Node, int] = {}
        self.constants: dict[fx.Node, tuple[str, bool]] = {}
        self.single = True
        self.sites: dict[str, int] = {}
        self.double = any(p.dtype == torch.float64 for p in traced.parameters())

    def scalar(self, value: Any) -> str:
        """A Python number as torch uses it: rounded to the network's type."""
        return str(Fraction(float(value) if self.double else np.float32(value).item()))

    def visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.placeholder(node)
        elif node.op == "get_attr":
            self.constants[node] = (str(node.target), False)
        elif node.op == "output":
            self.output(node)
        else:
            try:
                self.step(node)
            except _RefusalError as refusal:
                self.values[node] = 0
                self.faults.append(Fault(str(refusal), where=node.name))

    def placeholder(self, node: fx.Node) -> None:
        if self.values:
            self.faults.append(Fault("a second input; networks of one input are supported", where=node.name))
        self.values[node] = 0

    def output(self, node: fx.Node) -> None:
        (result,) = node.args
        if not isinstance(result, fx.Node) or result not in self.values:
            self.faults.append(Fault("the output is not one tensor computed from the input", where="output"))
        elif self.values[result] != len(self.operations):
            self.emit(node, _sum_of([self.values[result]], ["1"]))

    def emit(self, node: fx.Node, operation: Operation) -> None:
        self.operations.append(operation)
        self.values[node] = len(self.operations)

    def tensor(self, name: str) -> Tensor:
        """Register the tensor `name` of the network and give its values."""
        found: Any = self.traced
        for part in name.split("."):
            found = getattr(found, part)
        if not isinstance(found, Tensor) or found.dtype not in _EXACT_DTYPES:
            raise _RefusalError(f"{name} is no floating-point tensor")
        if name not in self.tensors:
            self.single &= found.dtype == torch.float32
            self.tensors[name] = found.detach().to("cpu", torch.float64).numpy()
            if not np.isfinite(self.tensors[name]).all():
                raise _RefusalError(f"{name} holds values that are not finite")
        return found

    def source(self, node: Any) -> int:
        if not isinstance(node, fx.Node) or node not in self.values:
            raise _RefusalError(f"{node} is not computed from the input")
        return self.values[node]

    def step(self, node: fx.Node) -> None:
        if node.op == "call_module":
            module = self.traced.get_submodule(str(node.target))
            self.module(node, module, str(node.target))
            self.sites[str(node.target)] = self.values[node]
        elif node.target in _TRANSPOSES or (node.target is getattr and node.args[1] in ("T", "mT")):
            self.transpose(node)
        elif node.target in _IDENTITY_CALLS:
            self.values[node] = self.source(node.args[0])
        elif (handler := _FUNCTIONS.get(node.target)) is not None:
            handler(self, node)
        else:
            raise _RefusalError(f"{getattr(node.target, '__name__', node.target)} has no exact form here")

    def transpose(self, node: fx.Node) -> None:
        base = node.args[0]
        if not isinstance(base, fx.Node) or base not in self.constants:
            raise _RefusalError("transposing activations is not supported")
        name, flipped = self.constants[base]
        self.constants[node] = (name, not flipped)

    def module(self, node: fx.Node, module: nn.Module, path: str) -> None:
        source = self.source(node.args[0])
        if isinstance(module, _IDENTITIES):
            self.values[node] = source
        elif isinstance(module, nn.Linear):
            bias = None if module.bias is None else f"{path}.bias"
            self.linear(node, source, f"{path}.weight", bias)
        elif isinstance(module, nn.Conv2d):
            self.convolution(node, source, module, path)
        elif isinstance(module, nn.ReLU):
            self.emit(node, ["relu", source])
        elif isinstance(module, nn.LeakyReLU):
            self.ramps(node, source, self.scalar(-module.negative_slope))
        elif isinstance(module, nn.ReLU6 | nn.Hardtanh):
            self.clip(node, source, self.scalar(module.min_val), self.scalar(module.max_val))
        else:
            raise _RefusalError(f"{type(module).__name__} has no exact form here")

    def append(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.operations)

    def ramps(self, node: fx.Node, source: int, factor: str) -> None:
        """relu(v) + factor · relu(-v): the absolute value, and leaky ReLUs."""
        above = self.append(["relu", source])
        below = self.append(["relu", self.append(_sum_of([source], ["-1"]))])
        self.emit(node, _sum_of([above, below], ["1", factor]))

    def clip(self, node: fx.Node, source: int, low: str, high: str) -> None:
        """low + relu(v - low) - relu(v - high)."""
        above, beyond = (
            self.append(["relu", self.append(_sum_of([source], ["1"], str(-Fraction(bound))))])
            for bound in (low, high)
        )
        self.emit(node, _sum_of([above, beyond], ["1", "-1"], low))

    def linear(self, node: fx.Node, source: int, weight: str, bias: str | None) -> None:
        self.flat(node)
        self.tensor(weight)
        if bias is not None:
            self.tensor(bias)
        self.emit(node, ["affine", [[source, "matrix", weight, False]], _constant(bias)])

    def convolution(self, node: fx.Node, source: int, module: nn.Conv2d, path: str) -> None:
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            raise _RefusalError(
                f"padding {module.padding_mode!r}, {module.padding!r}: only numbers of zeros are supported"
            )
        shape = [int(n) for n in self.shape(node.args[0])]
        self.tensor(f"{path}.weight")
        if module.bias is not None:
            self.tensor(f"{path}.bias")
        bias = None if module.bias is None else f"{path}.bias"
        geometry = [list(module.stride), list(module.padding), list(module.dilation), module.groups]
        terms = [[source, "conv2d", f"{path}.weight", shape, *geometry]]
        self.emit(node, ["affine", terms, _constant(bias)])

    def shape(self, node: Any) -> tuple[int, ...]:
        """Shape of one datum of a value."""
        return tuple(node.meta["tensor_meta"].shape[1:])

    def flat(self, node: fx.Node) -> None:
        if len(self.shape(node.args[0])) != 1:
            raise _RefusalError(
                f"a linear map along the last axis of data of shape {self.shape(node.args[0])}"
            )


def _linear_call(b: _Builder, node: fx.Node) -> None:
    inputs: list[Any] = [*node.args, *node.kwargs.values(), None]
    x, weight, bias = inputs[:3]
    if weight not in b.constants or (bias is not None and bias not in b.constants):
        raise _RefusalError("linear() whose weights are computed")
    name, flipped = b.constants[weight]
    if flipped:
        raise _RefusalError("linear() with a transposed weight")
    b.linear(node, b.source(x), name, None if bias is None else b.constants[bias][0])


def _matmul(b: _Builder, node: fx.Node) -> None:
    x, weight = node.args
    if not isinstance(weight, fx.Node) or weight not in b.constants:
        raise _RefusalError("a product of two activations is not affine")
    name, flipped = b.constants[weight]
    b.flat(node)
    b.tensor(name)
    b.emit(node, ["affine", [[b.source(x), "matrix", name, not flipped]], "0"])


def _sum(sign: int) -> Callable[[_Builder, fx.Node], None]:
    def add(b: _Builder, node: fx.Node) -> None:
        x, y = node.args
        if x in b.constants and sign > 0:
            x, y = y, x
        if isinstance(y, int | float):
            b.emit(node, _sum_of([b.source(x)], ["1"], b.scalar(sign * y)))
        elif y in b.constants and sign > 0:
            name = b.constants[y][0]  # type: ignore[index]
            if b.tensor(name).shape != b.shape(x):
                raise _RefusalError(f"adding {name} stretches it over other axes")
            b.emit(node, _sum_of([b.source(x)], ["1"], f"@{name}"))
        elif isinstance(x, fx.Node) and isinstance(y, fx.Node) and b.shape(x) == b.shape(y):
            b.emit(node, _sum_of([b.source(x), b.source(y)], ["1", str(sign)]))
        else:
            raise _RefusalError("a sum of unequal shapes")

    return add


def _product(b: _Builder, node: fx.Node) -> None:
    x, factor = node.args
    if isinstance(x, int | float):
        x, factor = factor, x
    if not isinstance(factor, int | float):
        raise _RefusalError("a product of two activations is not affine")
    b.emit(node, _sum_of([b.source(x)], [b.scalar(factor)]))


def _negation(b: _Builder, node: fx.Node) -> None:
    b.emit(node, _sum_of([b.source(node.args[0])], ["-1"]))


def _relu(b: _Builder, node: fx.Node) -> None:
    b.emit(node, ["relu", b.source(node.args[0])])


def _absolute(b: _Builder, node: fx.Node) -> None:
    b.ramps(node, b.source(node.args[0]), "1")


def _clip(b: _Builder, node: fx.Node) -> None:
    bounds = {
        "min": None,
        "max": None,
        **dict(zip(("min", "max"), node.args[1:], strict=False)),
        **node.kwargs,
    }
    if not all(isinstance(bound, int | float) for bound in bounds.values()):
        raise _RefusalError("clip needs two numbers")
    low, high = (b.scalar(bounds[key]) for key in ("min", "max"))
    b.clip(node, b.source(node.args[0]), low, high)


def _leaky(b: _Builder, node: fx.Node) -> None:
    slope: Any = (*node.args[1:], node.kwargs.get("negative_slope", 0.01))[0]
    b.ramps(node, b.source(node.args[0]), b.scalar(-slope))


_TRANSPOSES = frozenset({"t", torch.t})
_FUNCTIONS: dict[Any, Callable[[_Builder, fx.Node], None]] = {
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
