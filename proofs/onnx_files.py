"""ONNX files as networks: chains of Gemm, MatMul, Add, Sub, Relu, LeakyRelu, Flatten and the like.

The weights become parameters of plain torch modules, so that everything else treats the network as any other.
Needs the extra `onnx`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assay.models import Network
from torch import Tensor, nn

from .faults import Fault, InputError

_SILENT = {"Flatten", "Identity", "Dropout", "Reshape"}


class Shift(nn.Module):
    """x + a constant."""

    def __init__(self, constant: Tensor) -> None:
        super().__init__()
        self.constant = nn.Parameter(constant, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add it to [b, n]."""
        return x + self.constant


def read_onnx(path: str | Path) -> Network:
    """Read a feed-forward network; its input is flattened.

    Raises:
        InputError: not ONNX, or with every operator that is not supported.
    """
    import onnx
    from onnx import numpy_helper

    path = Path(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
        constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    except Exception as error:  # protobuf, onnx and numpy all have their own
        raise InputError(f"{path}: not a whole ONNX file: {str(error)[:200]}") from error
    return _Chain(path.name, model.graph, constants).network()


class _Chain:
    def __init__(self, name: str, graph: Any, constants: dict[str, np.ndarray[Any, Any]]) -> None:
        self.name, self.graph, self.constants = name, graph, constants
        self.layers: list[nn.Module] = []
        self.product: np.ndarray[Any, Any] | None = None  # a matrix that still waits for its bias
        self.faults: list[Fault] = []
        inputs = [value for value in graph.input if value.name not in constants]
        if len(inputs) != 1:
            raise InputError(f"{name}: {len(inputs)} inputs, networks of one input are supported")
        self.value = inputs[0].name
        dims = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
        self.size = int(np.prod([d for d in dims[1:] if d > 0], dtype=np.int64)) if len(dims) > 1 else dims[0]

    def network(self) -> Network:
        """The chain as a network; InputError with everything that does not fit."""
        for node in self.graph.node:
            self.node(node)
        if self.faults:
            raise InputError(self.faults)
        if self.value != self.graph.output[0].name:
            raise InputError(
                f"{self.name}: the output {self.graph.output[0].name!r} is not the end of one chain"
            )
        return Network(self.name, nn.Sequential(*self.layers), "regression", "real", (self.size,))

    def node(self, node: Any) -> None:
        """Append what one node does."""
        from onnx import numpy_helper

        if node.op_type == "Constant":
            self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            return
        attributes = {a.name: (a.i, a.f)[a.type == 1] for a in node.attribute}
        moving = [name for name in node.input if name not in self.constants]
        fixed = [self.constants[name] for name in node.input if name in self.constants]
        handler = _HANDLERS.get(node.op_type)
        if moving != [self.value]:
            self.fault(node, "the network branches; one chain is supported")
        elif node.op_type not in _SILENT and handler is None:
            self.fault(node, "has no exact form here")
        elif handler is not None:
            try:
                handler(self, fixed, attributes, node.input[0] == self.value)
            except (ValueError, IndexError, RuntimeError) as error:
                self.fault(node, str(error))
        self.value = node.output[0]

    def fault(self, node: Any, reason: str) -> None:
        """Note that a node is not supported."""
        self.faults.append(
            Fault(f"{node.op_type} {reason}", where=f"{self.name}:{node.name or node.output[0]}")
        )

    def linear(self, weight: np.ndarray[Any, Any], bias: np.ndarray[Any, Any] | None) -> None:
        """Append W x + b with W [out, in]."""
        if weight.ndim != 2:
            raise ValueError(f"has a weight of shape {weight.shape}, expected a matrix")
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.weight = nn.Parameter(torch.tensor(weight), requires_grad=False)
        if bias is not None:
            layer.bias = nn.Parameter(torch.tensor(bias).reshape(-1), requires_grad=False)
        self.layers.append(layer)
        self.product = weight if bias is None else None


def _gemm(chain: _Chain, fixed: list[Any], attributes: dict[str, Any], first: bool) -> None:
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA"):
        raise ValueError("scales or transposes its input")
    weight = fixed[0] if attributes.get("transB") else fixed[0].T
    chain.linear(weight, fixed[1] if len(fixed) > 1 else None)


def _matmul(chain: _Chain, fixed: list[Any], attributes: dict[str, Any], first: bool) -> None:
    chain.linear(fixed[0].T if first else fixed[0], None)


def _add(chain: _Chain, fixed: list[Any], attributes: dict[str, Any], first: bool) -> None:
    constant = fixed[0].reshape(-1)
    if chain.product is not None and len(constant) == len(chain.product):
        chain.layers.pop()
        chain.linear(chain.product, constant)
    else:
        chain.layers.append(Shift(torch.tensor(constant)))
        chain.product = None


def _sub(chain: _Chain, fixed: list[Any], attributes: dict[str, Any], first: bool) -> None:
    if not first:
        raise ValueError("subtracts the activations from a constant")
    chain.layers.append(Shift(torch.tensor(-fixed[0].reshape(-1))))
    chain.product = None


def _relu(chain: _Chain, fixed: list[Any], attributes: dict[str, Any], first: bool) -> None:
    chain.layers.append(nn.ReLU())
    chain.product = None


def _leaky(chain: _Chain, fixed: list[Any], attributes: dict[str, Any], first: bool) -> None:
    chain.layers.append(nn.LeakyReLU(attributes.get("alpha", 0.01)))
    chain.product = None


_HANDLERS: dict[str, Callable[[_Chain, list[Any], dict[str, Any], bool], None]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Sub": _sub,
    "Relu": _relu,
    "LeakyRelu": _leaky,
}
