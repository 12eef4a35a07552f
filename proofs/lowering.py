"""A torch module as a graph of the few operations that exact arithmetic knows.

`torch.fx` writes down what the module does; each node becomes one operation, or is refused with its reason.
All refusals are collected before failing. Values are vectors per datum, the flattened (row-major) tensors.

Operations, as they also stand in certificates; `s` and `t` number earlier values, value 0 is the input:

    ["relu", s]                               max(v, 0)
    ["affine", [[s, map…], [t, map…]…], const]  Σ map(v) + const; const: a number, or "@tensor" (per channel)

where map… is one of

    "times", "1/2"                            every component by a number
    "pick", [place…]                          the component at each place, 0 for -1
    "matrix", weight, transposed              W v, or Wᵀ v
    "conv2d", weight, [c, h, w], [stride…], [padding…], [dilation…], groups
"""

from __future__ import annotations

import io
import operator
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from .calls import FUNCTIONS, TRANSPOSES, sum_of
from .faults import Fault, InputError, RefusalError
from .rearranging import MOVES, MoveError, Places, moved, picks

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
            elif how == "pick":
                sizes.append(len(rest[0]))
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
    builder = Builder(traced)
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


def _constant(name: str | None) -> str:
    return "0" if name is None else f"@{name}"


class Builder:
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
        self.several: dict[Any, list[int]] = {}  # values of what gives several
        self.last: dict[Any, list[int]] = {}  # last states of RNNs, layer by layer
        self.states: dict[Any, list[int]] = {}  # where the network has asked for them
        self.double = any(p.dtype == torch.float64 for p in traced.parameters())

    def scalar(self, value: Any) -> str:
        """A Python number as torch uses it: rounded to the network's type."""
        return str(Fraction(float(value) if self.double else np.float32(value).item()))

    def visit(self, node: fx.Node) -> None:
        """Write one node down; refusals are collected."""
        if node.op == "placeholder":
            self.placeholder(node)
        elif node.op == "get_attr":
            self.constants[node] = (str(node.target), False)
        elif node.op == "output":
            self.output(node)
        else:
            try:
                self.step(node)
            except RefusalError as refusal:
                self.values[node] = 0
                self.faults.append(Fault(str(refusal), where=node.name))

    def move(self, node: fx.Node) -> None:
        """Components of values in another order; of several results each is a value."""
        if self.taken(node, *(*node.args, None, None)[:2]):
            return
        sources = list(dict.fromkeys(node.all_input_nodes))
        shapes = {each: self.shape(each) for each in sources if each in self.values}
        try:
            found = moved(node, shapes)
        except MoveError as error:
            raise RefusalError(f"{getattr(node.target, '__name__', node.target)}: {error}") from error
        values = [(self.values[each], int(np.prod(shape, dtype=np.int64))) for each, shape in shapes.items()]
        self.several[node] = [self.pick(values, places) for places in found]
        if len(found) == 1:
            self.values[node] = self.several.pop(node)[0]

    def taken(self, node: fx.Node, base: Any, index: Any) -> bool:
        """Whether a node takes one of several values that are known apart."""
        if node.target is not operator.getitem or not isinstance(base, fx.Node) or type(index) is not int:
            return False
        if base in self.last and index == 1:  # [layers, batch, hidden]: only its layers can be had
            self.states[node] = self.last[base]
            return True
        found = self.states.get(base) or self.several.get(base)
        if found:
            self.values[node] = found[index]
        return bool(found)

    def pick(self, values: list[tuple[int, int]], places: Places) -> int:
        """The value whose components lie at places of (value, size) laid end to end."""
        picked = picks(places, [size for _, size in values])
        return self.append(
            ["affine", [[s, "pick", each] for (s, _), each in zip(values, picked, strict=True)], "0"]
        )

    def recurrent(self, node: fx.Node, source: int, module: nn.RNN, path: str) -> None:
        """A network of ReLUs in time, step by step; its outputs at all steps, and its last states."""
        if module.nonlinearity != "relu" or module.bidirectional or not module.batch_first:
            raise RefusalError("of nn.RNN, relu in one direction with batch_first has an exact form here")
        if len(node.args) + len(node.kwargs) > 1:
            raise RefusalError("an RNN that does not start at 0")
        length, width = self.shape(node.args[0])
        size, last = module.hidden_size, list[int]()
        for layer in range(module.num_layers):
            states = list[int]()
            for t in range(length):
                x = self.pick([(source, length * width)], np.arange(width) + t * width)
                states.append(self.state(f"{path}.", f"_l{layer}", module.bias, x, states[-1:]))
            picked = np.arange(length * size)
            source, width = self.pick([(state, size) for state in states], picked), size
            last.append(states[-1])
        self.several[node], self.last[node] = [source], last

    def state(self, path: str, layer: str, biased: bool, x: int, before: list[int]) -> int:
        """relu(W_ih x + b_ih + W_hh h + b_hh)."""
        names = [f"{path}{kind}{layer}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        for name in names if biased else names[:2]:
            self.tensor(name)
        b_ih, b_hh = (f"@{name}" if biased else "0" for name in names[2:])
        told = self.append(["affine", [[x, "matrix", names[0], False]], b_ih])
        kept = [[h, "matrix", names[1], False] for h in before]
        return self.append(["relu", self.append(["affine", [[told, "times", "1"], *kept], b_hh])])

    def placeholder(self, node: fx.Node) -> None:
        """The input is value 0."""
        if self.values:
            self.faults.append(Fault("a second input; networks of one input are supported", where=node.name))
        self.values[node] = 0

    def output(self, node: fx.Node) -> None:
        """The last value is the output."""
        (result,) = node.args
        if not isinstance(result, fx.Node) or result not in self.values:
            self.faults.append(Fault("the output is not one tensor computed from the input", where="output"))
        elif self.values[result] != len(self.operations):
            self.emit(node, sum_of([self.values[result]], ["1"]))

    def emit(self, node: fx.Node, operation: Operation) -> None:
        """Append the operation that makes the value of a node."""
        self.operations.append(operation)
        self.values[node] = len(self.operations)

    def tensor(self, name: str) -> Tensor:
        """Register the tensor `name` of the network and give its values."""
        found: Any = self.traced
        for part in name.split("."):
            found = getattr(found, part)
        if not isinstance(found, Tensor) or found.dtype not in _EXACT_DTYPES:
            raise RefusalError(f"{name} is no floating-point tensor")
        if name not in self.tensors:
            self.single &= found.dtype == torch.float32
            self.tensors[name] = found.detach().to("cpu", torch.float64).numpy()
            if not np.isfinite(self.tensors[name]).all():
                raise RefusalError(f"{name} holds values that are not finite")
        return found

    def source(self, node: Any) -> int:
        """The value of a node."""
        if not isinstance(node, fx.Node) or node not in self.values:
            raise RefusalError(f"{node} is not computed from the input")
        return self.values[node]

    def step(self, node: fx.Node) -> None:
        """A module, a function or a method."""
        if node.op == "call_module":
            module = self.traced.get_submodule(str(node.target))
            self.module(node, module, str(node.target))
            if node in self.values:
                self.sites[str(node.target)] = self.values[node]
        elif node.target in TRANSPOSES or (node.target is getattr and node.args[1] in ("T", "mT")):
            self.transpose(node)
        elif node.target in _IDENTITY_CALLS:
            self.values[node] = self.source(node.args[0])
        elif node.target in MOVES:
            self.move(node)
        elif (handler := FUNCTIONS.get(node.target)) is not None:
            handler(self, node)
        else:
            raise RefusalError(f"{getattr(node.target, '__name__', node.target)} has no exact form here")

    def transpose(self, node: fx.Node) -> None:
        """A transposed weight; activations are moved."""
        base = node.args[0]
        if not isinstance(base, fx.Node) or base not in self.constants:
            raise RefusalError("transposing activations is not supported")
        name, flipped = self.constants[base]
        self.constants[node] = (name, not flipped)

    def module(self, node: fx.Node, module: nn.Module, path: str) -> None:
        """One of the modules with an exact form."""
        source = self.source(node.args[0])
        if isinstance(module, _IDENTITIES):
            self.values[node] = source
        elif isinstance(module, nn.Linear):
            bias = None if module.bias is None else f"{path}.bias"
            self.linear(node, source, f"{path}.weight", bias)
        elif isinstance(module, nn.RNN):
            self.recurrent(node, source, module, path)
        elif isinstance(module, nn.Conv2d):
            self.convolution(node, source, module, path)
        elif isinstance(module, nn.ReLU):
            self.emit(node, ["relu", source])
        elif isinstance(module, nn.LeakyReLU):
            self.ramps(node, source, self.scalar(-module.negative_slope))
        elif isinstance(module, nn.ReLU6 | nn.Hardtanh):
            self.clip(node, source, self.scalar(module.min_val), self.scalar(module.max_val))
        else:
            raise RefusalError(f"{type(module).__name__} has no exact form here")

    def append(self, operation: Operation) -> int:
        """Append an operation, and give the number of its value."""
        self.operations.append(operation)
        return len(self.operations)

    def ramps(self, node: fx.Node, source: int, factor: str) -> None:
        """relu(v) + factor · relu(-v): the absolute value, and leaky ReLUs."""
        above = self.append(["relu", source])
        below = self.append(["relu", self.append(sum_of([source], ["-1"]))])
        self.emit(node, sum_of([above, below], ["1", factor]))

    def clip(self, node: fx.Node, source: int, low: str, high: str) -> None:
        """low + relu(v - low) - relu(v - high)."""
        above, beyond = (
            self.append(["relu", self.append(sum_of([source], ["1"], str(-Fraction(bound))))])
            for bound in (low, high)
        )
        self.emit(node, sum_of([above, beyond], ["1", "-1"], low))

    def linear(self, node: fx.Node, source: int, weight: str, bias: str | None) -> None:
        """W v + b."""
        self.flat(node)
        self.tensor(weight)
        if bias is not None:
            self.tensor(bias)
        self.emit(node, ["affine", [[source, "matrix", weight, False]], _constant(bias)])

    def convolution(self, node: fx.Node, source: int, module: nn.Conv2d, path: str) -> None:
        """A convolution with zeros around the image."""
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            raise RefusalError(
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
        """Refuse data that are no vectors."""
        if len(self.shape(node.args[0])) != 1:
            raise RefusalError(
                f"a linear map along the last axis of data of shape {self.shape(node.args[0])}"
            )
