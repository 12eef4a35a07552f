"""Small ONNX files whose bytes, or whose fields, were changed: what `proofs_fuzz.py` has read.

Each function draws from a generator of random numbers alone, so that a case is the same on every machine.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from fuzzed_texts import CANARY


def onnx_seeds() -> list[bytes]:
    """Small networks of the operators that are read."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)

    def built(nodes: list[Any], shape: list[int], weights: dict[str, Any]) -> bytes:
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])]
        tensors = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
        model = helper.make_model(helper.make_graph(nodes, "n", inputs, outputs, tensors))
        data: bytes = model.SerializeToString()
        return data

    W, V = rng.normal(size=(2, 4)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")
    b, K = np.zeros(4, "float32"), rng.normal(size=(2, 1, 3, 3)).astype("float32")
    node = helper.make_node
    dense = [node("MatMul", ["x", "W"], ["a"]), node("Add", ["a", "b"], ["c"]), node("Relu", ["c"], ["d"])]
    return [
        built([*dense, node("Gemm", ["d", "V"], ["y"])], [1, 2], {"W": W, "b": b, "V": V}),
        built(
            [node("Conv", ["x", "K"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["c"]),
             node("Flatten", ["c"], ["d"]), node("Reshape", ["d", "s"], ["y"])],
            [1, 1, 4, 4], {"K": K, "s": np.array([1, -1])},
        ),
        built(
            [node("Sub", ["x", "m"], ["a"]), node("Concat", ["a", "x"], ["c"], axis=1),
             node("LeakyRelu", ["c"], ["d"], alpha=0.1), node("Softmax", ["d"], ["y"], axis=-1)],
            [1, 2], {"m": np.ones((1, 2), "float32")},
        ),
    ]  # fmt: skip


def onnx_file(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A network whose bytes, or whose fields, were changed."""
    import onnx

    data = rng.choice(seeds)
    if rng.random() < 0.5:
        model = onnx.load_from_string(data)
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            _changed(model.graph, rng)
        data = model.SerializeToString()
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.05 else changed)


def _changed(graph: Any, rng: random.Random) -> None:
    node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
    what = rng.randrange(7)
    if what == 0:
        node.op_type = rng.choice(
            ("Relu", "Conv", "Gemm", "MaxPool", "Loop", "Reshape", "Pow", "Div", "Nothing")
        )
    elif what == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(("x", "y", "lost", "", node.output[0]))
    elif what == 2 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice((0, 1, 2, -1, 10**6, 2**62))
    elif what == 3:
        tensor.data_type = rng.randrange(24)
    elif what == 4:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[rng.randrange(len(dims))].dim_value = rng.choice((0, 1, 3, -1, 10**7, 2**40))
    elif what == 5 and node.attribute:
        node.attribute[0].i, node.attribute[0].f = rng.choice((-1, 0, 2**62)), rng.choice((0.0, 1e300))
    else:
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(("/etc/passwd", "../../x", CANARY))
        tensor.data_location = 1
