"""ONNX files as networks: small MLPs, CNNs and transformers, chains or with branches.

The weights become parameters of plain torch modules, so that everything else treats the network as any other.
Needs the extra ``onnx``.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assay.models.errors import InputError
from assay.models.network import Network
from assay.models.state_dicts import SETTINGS_SUFFIXES, read_settings
from assay.models.storage import UnreadableFile
from torch import Tensor, nn

from .onnx_arrays import ARRAYS, RANKS
from .onnx_attention import ATTENTION, PIECES, Table
from .onnx_bends import BENDS
from .onnx_images import IMAGES
from .onnx_layers import HANDLERS, MOST_NUMBERS, Array, Node, Shift, linear
from .onnx_shapes import SHAPES_ONLY
from .onnx_sizes import SIZES

__all__ = ["UnsupportedOperators", "read_onnx"]

OPERATORS = {**HANDLERS, **BENDS, **IMAGES, **SIZES, **ARRAYS, **ATTENTION}
SEVERAL = {**PIECES, **RANKS}
"""Operators of several outputs."""

FOLDED = (
    "Add", "And", "Cast", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Flatten", "Gather",
    "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mul", "Neg", "Not", "Or",
    "Pow", "Range", "Reciprocal", "ReduceProd", "Reshape", "Shape", "Slice", "Sqrt", "Squeeze", "Sub",
    "Transpose", "Trilu", "Unsqueeze", "Where",
)  # fmt: skip
"""Operators that are computed once where all their inputs are constants."""


REFUSALS = (ValueError, LookupError, TypeError, RuntimeError, ArithmeticError, MemoryError)
"""What operators raise that are given what they cannot take."""


class UnsupportedOperators(UnreadableFile):
    """A file with operators that cannot be run here; ``faults`` holds (node, reason) for each."""

    def __init__(self, path: Path, faults: list[tuple[str, str]]) -> None:
        super().__init__(path, "; ".join(f"{node}: {reason}" for node, reason in faults))
        self.faults = tuple(faults)


class Dataflow(nn.Module):
    """Modules whose inputs are the data (value 0) or what earlier ones gave (module k gives value k + 1)."""

    def __init__(self, modules: list[nn.Module], sources: list[tuple[int, ...]], output: int) -> None:
        super().__init__()
        self.layers, self.sources, self.output = nn.ModuleList(modules), tuple(sources), output

    def forward(self, x: Tensor) -> Tensor:
        """Run the modules in order on [b, …]."""
        values = [x]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            values.append(layer(*(values[source] for source in sources)))
        return values[self.output]


def read_onnx(path: Path) -> Network:
    """Read a network of one input and one output.

    It answers with real numbers unless a settings file of the same name beside it says ``output:
    categorical``.  Raises `UnreadableFile` for a file that is not whole, `UnsupportedOperators` with all of
    them, and ModuleNotFoundError without the package onnx.
    """
    import onnx
    from onnx import numpy_helper

    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
        constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    except Exception as error:  # protobuf, onnx and numpy all have their own
        raise UnreadableFile(path, f"not a whole ONNX file: {str(error)[:200]}") from error
    return _Graph(path, model, constants).network(_declared(path))


def _declared(path: Path) -> dict[str, Any]:
    """What a settings file beside the network says of its input and output."""
    for suffix in SETTINGS_SUFFIXES:
        if (beside := path.with_suffix(suffix)).is_file():
            settings = read_settings(beside)
            return {name: settings[name] for name in ("output", "input") if name in settings}
    return {}


class _Graph:
    """Builds the modules node by node, running them on a batch of two zeros to learn the shapes."""

    def __init__(self, path: Path, model: Any, constants: dict[str, Array]) -> None:
        self.path, self.model, self.constants = path, model, constants
        graph = model.graph
        inputs = [value for value in graph.input if value.name not in constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise UnreadableFile(
                path,
                f"{len(inputs)} inputs and {len(graph.output)} outputs, networks of one each are supported",
            )
        self.in_shape = self._datum(inputs[0])
        self.uses = Counter(name for node in graph.node for name in node.input)
        self.values = {inputs[0].name: 0}
        self.vocabulary: int | None = None  # rows of the shortest table that tokens are looked up in
        self.samples = [torch.zeros(2, *self.in_shape, dtype=self._dtype(inputs[0]))]
        self.modules: list[nn.Module] = []
        self.sources: list[tuple[int, ...]] = []
        self.faults: list[tuple[str, str]] = []
        self.lost: set[str] = set()  # values that faults leave without a computation

    def _datum(self, value: Any) -> tuple[int, ...]:
        """Shape of one datum: all axes but the first, where there is more than one."""
        dims = [int(d.dim_value) for d in value.type.tensor_type.shape.dim]
        shape = tuple(dims[1:] if len(dims) > 1 else dims)
        if not shape or min(shape) < 1:
            raise UnreadableFile(self.path, f"input {value.name!r} has the open shape {dims}, expected sizes")
        if math.prod(shape) > MOST_NUMBERS:
            told = f"input {value.name!r} of shape {dims}, at most {MOST_NUMBERS} numbers are read"
            raise UnreadableFile(self.path, told)
        return shape

    def _dtype(self, value: Any) -> torch.dtype:
        from onnx import helper

        try:
            kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        except KeyError as error:
            raise UnreadableFile(self.path, f"input {value.name!r} holds numbers of no known type") from error
        kinds = {
            np.float32: torch.float32,
            np.float64: torch.float64,
            np.int32: torch.int,
            np.int64: torch.long,
        }
        found = next((dtype for known, dtype in kinds.items() if kind == known), None)
        if found is None:
            told = f"input {value.name!r} holds {kind}, expected float32, float64, or int64 tokens"
            raise UnreadableFile(self.path, told)
        return found

    def network(self, declared: dict[str, Any]) -> Network:
        """The network; `UnsupportedOperators` with every node that does not fit."""
        for node in self.model.graph.node:
            try:
                self.visit(node)
            except REFUSALS as error:
                self.faults.append((node.name or node.output[0], f"{node.op_type} {str(error)[:200]}"))
                self.lost.update(node.output)
        if self.faults:
            raise UnsupportedOperators(self.path, self.faults)
        name = self.model.graph.output[0].name
        if name not in self.values:
            raise UnreadableFile(self.path, f"its output {name!r} is not computed from its input")
        read = {} if "input" in declared else self._tokens()
        about = {"output": "regression", "input": "real"} | read | declared
        try:
            return Network(self.path.stem, self._module(self.values[name]), in_shape=self.in_shape, **about)
        except InputError as error:
            raise UnreadableFile(self.path, str(error)) from error

    def _tokens(self) -> dict[str, Any]:
        """What a network of whole numbers reads."""
        if self.samples[0].is_floating_point():
            return {}
        if self.vocabulary is None:
            raise UnreadableFile(self.path, "its input are whole numbers that no table looks up")
        return {"input": "token", "vocabulary": self.vocabulary}

    def _module(self, output: int) -> nn.Module:
        chain = self.sources == [(k,) for k in range(len(self.modules))] and output == len(self.modules)
        module = nn.Sequential(*self.modules) if chain else Dataflow(self.modules, self.sources, output)
        graph = self.model.graph.SerializeToString(deterministic=True)
        object.__setattr__(module, "beside_weights", hashlib.sha256(graph).hexdigest())
        return module

    def visit(self, node: Any) -> None:
        """Add what one node does."""
        if self._is_constant(node):
            return
        moving = [name for name in node.input if name and name not in self.constants]
        if node.op_type not in {*OPERATORS, *SEVERAL, *SHAPES_ONLY, "Shape"}:
            raise ValueError("is not supported")
        if self.lost.intersection(moving):
            self.lost.update(node.output)  # told already, at the node that lost it
            return
        if node.op_type == "Shape":
            datum = self.samples[self.values[moving[0]]].shape[1:]
            self.constants[node.output[0]] = np.array([1, *datum], dtype=np.int64)
        elif node.op_type in SHAPES_ONLY:
            self._lay_out(node, self._described(node, moving), moving)
        else:
            self._add(node, moving)

    def _described(self, node: Any, moving: list[str]) -> Node:
        from onnx import helper

        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = tuple(self.constants.get(name) for name in node.input)
        if any(array is not None and array.dtype.kind == "c" for array in inputs):
            raise ValueError("reads complex numbers")
        shapes = tuple(tuple(self.samples[self.values[name]].shape[1:]) for name in moving)
        omitted = frozenset(k for k, name in enumerate(node.input) if not name)
        return Node(node.op_type, attributes, inputs, shapes, omitted)

    def _is_constant(self, node: Any) -> bool:
        """Note the value of a node that does not depend on the data."""
        from onnx import helper, numpy_helper

        if node.op_type == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            plain = np.array(value, dtype=np.float32 if "float" in node.attribute[0].name else None)
            tensor = node.attribute[0].name == "value"
            self.constants[node.output[0]] = numpy_helper.to_array(value) if tensor else plain
            return True
        if node.op_type not in FOLDED or any(name and name not in self.constants for name in node.input):
            return False
        self.constants[node.output[0]] = self._folded(node)
        return True

    def _folded(self, node: Any) -> Array:
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        given = {name: self.constants[name] for name in node.input if name}
        if (size := _folded_size(node.op_type, list(given.values()))) > MOST_NUMBERS:
            raise ValueError(f"makes {size} constants, at most {MOST_NUMBERS} are computed")
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in given.items()
        ]
        output = helper.make_empty_tensor_value_info(node.output[0])
        graph = helper.make_graph([node], "constant", infos, [output])
        small = helper.make_model(graph, opset_imports=list(self.model.opset_import))
        try:
            (value,) = ReferenceEvaluator(small).run(None, given)
        except Exception as error:  # onnx does not check what it is given
            raise ValueError(f"of constants cannot be computed: {error}") from error
        return np.asarray(value)

    def _lay_out(self, node: Any, described: Node, moving: list[str]) -> None:
        shape, old = SHAPES_ONLY[node.op_type](described), described.shapes[0]
        source = self.values[moving[0]]
        for module in _layouts(old, shape):
            source = self._append(module, (source,))
        self.values[node.output[0]] = source

    def _add(self, node: Any, moving: list[str]) -> None:
        sources, described = tuple(self.values[name] for name in moving), self._described(node, moving)
        if node.op_type in SEVERAL:
            pieces = SEVERAL[node.op_type](described, len(node.output))
            for name, piece in zip(node.output, pieces, strict=True):
                if self.uses[name] or name == self.model.graph.output[0].name:
                    self.values[name] = self._append(piece, sources)
            return
        module = OPERATORS[node.op_type](described)
        if isinstance(module, Table) and not self.samples[sources[0]].is_floating_point():
            self.vocabulary = min(len(module.table), self.vocabulary or len(module.table))
        if type(module) is Shift and self._absorbed(module, moving[0]):
            self.values[node.output[0]] = sources[0]
            return
        self.values[node.output[0]] = self._append(module, sources)

    def _absorbed(self, shift: Shift, name: str) -> bool:
        """Make a constant the bias of the linear layer right before it, if nothing else reads that."""
        place = self.values[name] - 1
        before = self.modules[place] if place >= 0 else None
        alone = self.uses[name] == 1 and self.model.graph.output[0].name != name
        if not isinstance(before, nn.Linear) or shift.negative or not alone:
            return False
        parameters = dict(before.named_parameters())
        if "bias" in parameters or shift.constant.shape != (before.out_features,):
            return False
        self.modules[place] = linear(before.weight.numpy(), shift.constant.numpy())
        return True

    @torch.no_grad()
    def _append(self, module: nn.Module, sources: tuple[int, ...]) -> int:
        sample = module.eval()(*(self.samples[source] for source in sources))
        if sample.ndim < 1 or len(sample) != 2:
            raise ValueError("mixes the data of a batch")
        self.modules.append(module)
        self.sources.append(sources)
        self.samples.append(sample)
        return len(self.modules)


def _folded_size(op: str, given: list[Array]) -> int:
    """How many numbers a constant will have, where it may have many more than what it is made of."""
    if op == "ConstantOfShape":
        return math.prod(map(int, given[0].reshape(-1)))
    if op == "Range":
        start, limit, step = (float(array.reshape(())) for array in given)
        return int(abs((limit - start) / step)) + 1
    if op == "Gather":
        return int(given[1].size * np.prod(given[0].shape[1:]))
    if op == "Expand":
        target: tuple[int, ...] = tuple(map(int, given[1].reshape(-1)))
        return math.prod(np.broadcast_shapes(given[0].shape, target))
    if op in ("Add", "And", "Div", "Equal", "Mul", "Or", "Pow", "Sub", "Where", "Max", "Min"):
        return math.prod(np.broadcast_shapes(*(array.shape for array in given)))
    return 0


def _layouts(old: tuple[int, ...], new: tuple[int, ...]) -> list[nn.Module]:
    """Modules that lay data of one shape out in another."""
    if old == new:
        return []
    flat: list[nn.Module] = [nn.Flatten()] if len(old) != 1 else []
    return flat if new == (math.prod(old),) else [*flat, nn.Unflatten(1, new)]
