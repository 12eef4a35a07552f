"""Transformers as ONNX files: operators against the reference evaluator, whole networks against torch."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from assay.models import InputError, load
from assay.models.formats.onnx import UnsupportedOperators, read_onnx
from torch import nn
from torch.nn import functional

from .test_onnx import agree, node, normal, write

onnx = pytest.importorskip("onnx")
INTEGERS = onnx.TensorProto.INT64

OPERATORS = {
    "gather": ([node("Gather", ["x", "k"], ["y"], axis=1)], {"k": np.array([2, -1, 0, 0])}),
    "gather one": ([node("Gather", ["x", "k"], ["y"], axis=2)], {"k": np.array(-1)}),
    "gather many": ([node("Gather", ["x", "k"], ["y"], axis=1)], {"k": np.array([[0, 1], [2, 2]])}),
    "slice": (
        [node("Slice", ["x", "a", "b", "axes", "by"], ["y"])],
        {"a": np.array([0, -3]), "b": np.array([99, 99]), "axes": np.array([1, 2]), "by": np.array([2, 1])},
    ),
    "split": (
        [node("Split", ["x", "k"], ["a", "b", "c"], axis=-1), node("Sub", ["c", "a"], ["y"])],
        {"k": np.array([1, 2, 1])},
    ),
    "where": (
        [node("Where", ["m", "x", "k"], ["h"]), node("Where", ["m", "z", "h"], ["y"])],
        {"m": np.arange(12).reshape(3, 4) % 2 == 0, "k": normal(3, 4), "z": np.float32(2.5)},
    ),
    "hidden": (
        [node("Add", ["x", "m"], ["h"]), node("Softmax", ["h"], ["y"], axis=-1)],
        {"m": np.where(np.arange(12).reshape(3, 4) % 3 == 1, -np.inf, 0.5).astype(np.float32)},
    ),
    "layer norm": (
        [node("LayerNormalization", ["x", "w", "b"], ["y"], axis=-1, epsilon=0.01)],
        {"w": normal(4), "b": normal(4)},
    ),
    "layer norm of two axes": ([node("LayerNormalization", ["x", "w"], ["y"], axis=1)], {"w": normal(3, 4)}),
    "powers": (
        [
            node("Pow", ["x", "two"], ["h"]),
            node("Add", ["h", "one"], ["g"]),
            node("Reciprocal", ["g"], ["y"]),
        ],
        {"two": np.float32(2), "one": np.float32(1)},
    ),
    "einsum": (
        [
            node("Einsum", ["x", "w"], ["h"], equation="btd,hde->bhte"),
            node("Einsum", ["h", "h"], ["y"], equation="bhse,bhte->bhst"),
        ],
        {"w": normal(2, 4, 3)},
    ),
    "products with stacks": ([node("MatMul", ["x", "w"], ["y"])], {"w": normal(1, 4, 2)}),
    "products from the left": ([node("MatMul", ["w", "x"], ["y"])], {"w": normal(2, 3)}),
    "extremes": (
        [node("Max", ["x", "k"], ["h"]), node("Min", ["h", "x"], ["y"])], {"k": normal(3, 4)}
    ),
    "a first row": ([node("Concat", ["k", "x"], ["y"], axis=1)], {"k": normal(1, 1, 4)}),
    "a folded mask": (
        [
            node("ConstantOfShape", ["n"], ["zeros"]),
            node("Add", ["zeros", "one"], ["ones"]),
            node("Trilu", ["ones"], ["mask"], upper=0),
            node("Mul", ["x", "mask"], ["y"]),
        ],
        {"n": np.array([3, 4]), "one": np.float32(1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_do_what_the_reference_does(tmp_path, name):
    nodes, constants = OPERATORS[name]
    agree(tmp_path / "n.onnx", write(tmp_path / "n.onnx", nodes, constants, [1, 3, 4]), (3, 4))


def test_gelu_is_that_of_torch(tmp_path):
    nodes = [node("Gelu", ["x"], ["y"], approximate="tanh")]
    write(tmp_path / "n.onnx", nodes, {}, [1, 4], opset=20)
    x = torch.tensor(normal(5, 4))
    assert torch.allclose(load(str(tmp_path / "n.onnx"))(x), functional.gelu(x, approximate="tanh"))


class Small(nn.Module):
    """Embeddings, one layer of attention before and an MLP after layer norms."""

    def __init__(self, masked):
        super().__init__()
        self.tokens, self.places = nn.Embedding(3, 4), nn.Parameter(torch.randn(3, 4))
        self.first, self.second = nn.LayerNorm(4), nn.LayerNorm(4)
        self.qkv, self.o = nn.Linear(4, 12), nn.Linear(4, 4)
        self.up, self.down, self.out, self.act = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 2), nn.GELU()
        self.masked = masked
        self.register_buffer("hidden", torch.ones(3, 3, dtype=torch.bool).triu(1))

    def forward(self, x):
        h = self.tokens(x) + self.places
        q, k, v = (t.reshape(-1, 3, 2, 2).transpose(1, 2) for t in self.qkv(self.first(h)).chunk(3, -1))
        if self.masked:
            scores = (q @ k.transpose(-1, -2) / 2**0.5).masked_fill(self.hidden, -torch.inf)
            z = scores.softmax(-1) @ v
        else:
            z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.o(z.transpose(1, 2).reshape(-1, 3, 4))
        return self.out((h + self.down(self.act(self.up(self.second(h)))))[:, -1])


def exported(path, masked, opset):
    torch.manual_seed(0)
    module = Small(masked).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, torch.zeros(1, 3, dtype=torch.long), path, dynamo=False, opset_version=opset
        )
    return module


@pytest.mark.parametrize(("masked", "opset"), [(True, 13), (True, 17), (True, 20), (False, 17)])
def test_what_torch_exports_is_read(tmp_path, masked, opset):
    module = exported(tmp_path / "t.onnx", masked, opset)
    network = load(str(tmp_path / "t.onnx"))
    assert (network.input, network.vocabulary, network.in_shape) == ("token", 3, (3,))
    x = torch.tensor(list(itertools.product(range(3), repeat=3)))
    assert torch.allclose(network(x), module(x), atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "constants", "told"),
    [
        ([node("Gather", ["x", "k"], ["y"], axis=1)], {"k": np.array([5])}, "places up to 5 of 3"),
        ([node("Gather", ["x", "k"], ["y"], axis=0)], {"k": np.array([0])}, "axis 0"),
        ([node("Gather", ["k", "x"], ["y"])], {"k": normal(3, 2)}, "Gather"),
        ([node("Slice", ["x", "a", "b", "k", "by"], ["y"])],
         {"a": np.array([2]), "b": np.array([-9]), "k": np.array([1]), "by": np.array([-1])}, "backwards"),
        ([node("Split", ["x", "k"], ["y", "z"], axis=1)], {"k": np.array([1, 9])}, "splits 3"),
        ([node("Einsum", ["x"], ["y"], equation="bij->ij")], {}, "Einsum"),
        ([node("Einsum", ["x"], ["y"], equation="((")], {}, "Einsum"),
        ([node("Einsum", ["x", "k"], ["y"], equation="bij,klm->bijklm")],
         {"k": np.zeros((1 << 20, 1, 2), np.float32)}, "numbers for each datum"),
        ([node("Pow", ["x", "k"], ["y"])], {"k": normal(4)}, "not one number"),
        ([node("Expand", ["x", "k"], ["y"])], {"k": np.array([7, 3, 4])}, "expands"),
        ([node("Expand", ["k", "n"], ["h"]), node("Add", ["x", "h"], ["y"])],
         {"k": normal(1), "n": np.array([1 << 20, 1 << 20])}, "constants, at most"),
        ([node("ConstantOfShape", ["n"], ["h"]), node("Add", ["x", "h"], ["y"])],
         {"n": np.array([1 << 40])}, "constants, at most"),
        ([node("Range", ["a", "b", "c"], ["h"]), node("Add", ["x", "h"], ["y"])],
         {"a": np.int64(0), "b": np.int64(1 << 50), "c": np.int64(1)}, "constants, at most"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_its_node(tmp_path, nodes, constants, told):
    write(tmp_path / "n.onnx", nodes, constants, [1, 3, 4])
    with pytest.raises(UnsupportedOperators, match=told):
        read_onnx(tmp_path / "n.onnx")


def test_whole_numbers_that_no_table_looks_up_are_refused(tmp_path):
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT)],
        "g",
        [info("x", INTEGERS, [1, 3])],
        [info("y", onnx.TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(onnx.helper.make_model(graph, ir_version=8), str(tmp_path / "n.onnx"))
    with pytest.raises(InputError, match="no table"):
        load(str(tmp_path / "n.onnx"))
