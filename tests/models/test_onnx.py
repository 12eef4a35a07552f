"""ONNX networks against the reference evaluator of the onnx package itself."""

import numpy as np
import pytest
import torch
from assay.models import InputError, UnreadableFile, load
from torch import nn

onnx = pytest.importorskip("onnx")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT


def write(path, nodes, constants, in_shape, opset=17):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, in_shape)],
        [helper.make_tensor_value_info("y", FLOAT, [None])],
        [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(path))
    return model


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def agree(path, model, shape, n=5):
    """One datum at a time, since a file may fix the batch at 1."""
    from onnx.reference import ReferenceEvaluator

    network, run = load(str(path)), ReferenceEvaluator(model)
    x = normal(n, *shape, seed=7)
    answers = [run.run(None, {"x": datum[None]})[0] for datum in x]
    expected = np.stack([answer.reshape(network(torch.tensor(x[:1])).shape[1:]) for answer in answers])
    assert np.allclose(network(torch.tensor(x)).numpy(), expected, atol=1e-4, rtol=1e-4)
    return network


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


def test_a_chain_of_linear_layers_is_a_plain_sequence(tmp_path):
    constants = {"W": normal(3, 4), "b": normal(4), "V": normal(2, 4), "c": normal(2)}
    nodes = [
        node("MatMul", ["x", "W"], ["h"]),
        node("Add", ["h", "b"], ["g"]),
        node("Relu", ["g"], ["r"]),
        node("Gemm", ["r", "V", "c"], ["y"], transB=1, alpha=0.5, beta=2.0),
    ]
    model = write(tmp_path / "n.onnx", nodes, constants, [1, 3])
    network = agree(tmp_path / "n.onnx", model, (3,))
    assert [type(m) for m in network.module] == [nn.Linear, nn.ReLU, nn.Linear]
    assert (network.in_shape, network.output, network.input) == ((3,), "regression", "real")


def test_a_convolutional_network_with_branches(tmp_path):
    constants = {
        "K": normal(4, 1, 3, 3), "k": normal(4), "L": normal(4, 2, 3, 3), "s": normal(4), "t": normal(4),
        "m": normal(4), "v": np.abs(normal(4)) + 0.5, "shape": np.array([1, -1]), "W": normal(64, 3),
    }  # fmt: skip
    nodes = [
        node("Reshape", ["x", "image"], ["i"]),
        node("Conv", ["i", "K", "k"], ["a"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "s", "t", "m", "v"], ["n"]),
        node("Relu", ["n"], ["b"]),
        node("Conv", ["b", "L"], ["c"], group=2, auto_pad="SAME_UPPER"),
        node("Add", ["b", "c"], ["d"]),
        node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        node("LeakyRelu", ["e"], ["f"], alpha=0.2),
        node("Reshape", ["f", "shape"], ["g"]),
        node("MatMul", ["g", "W"], ["h"]),
        node("Softmax", ["h"], ["y"]),
    ]
    constants["image"] = np.array([1, 1, 8, 8])
    model = write(tmp_path / "n.onnx", nodes, constants, [1, 64])
    agree(tmp_path / "n.onnx", model, (64,))


@pytest.mark.parametrize(
    ("op", "constants", "attributes"),
    [
        ("Add", {"c": normal(2, 4, 6)}, {}),
        ("Add", {"c": normal(1, 2, 1, 1)}, {}),
        ("Sub", {"c": normal(6)}, {}),
        ("Mul", {"c": normal(1)}, {}),
        ("Div", {"c": np.abs(normal(4, 6)) + 1}, {}),
        ("Neg", {}, {}),
        ("Abs", {}, {}),
        ("Clip", {"low": np.float32(-0.5), "high": np.float32(0.25)}, {}),
        ("Clip", {"low": np.float32(-0.5)}, {}),
        ("Sigmoid", {}, {}),
        ("Tanh", {}, {}),
        ("Elu", {}, {"alpha": 0.7}),
        ("Softmax", {}, {"axis": 1}),
        ("Flatten", {}, {}),
        ("Transpose", {}, {"perm": [0, 2, 3, 1]}),
        ("ReduceMean", {}, {"axes": [2, 3], "keepdims": 0}),
        ("GlobalAveragePool", {}, {}),
        ("AveragePool", {}, {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {}, {"kernel_shape": [3, 2], "strides": [2, 1], "count_include_pad": 1}),
        ("MaxPool", {}, {"kernel_shape": [3, 3], "pads": [0, 1, 1, 0]}),
        ("Conv", {"K": normal(3, 2, 2, 3)}, {"dilations": [2, 1], "pads": [0, 1, 2, 1], "strides": [1, 2]}),
        ("Squeeze", {}, {}),
        ("Unsqueeze", {"axes": np.array([2])}, {}),
    ],
    ids=str,
)
def test_an_operator_does_what_the_reference_does(tmp_path, op, constants, attributes):
    nodes = [node(op, ["x", *constants], ["y"], **attributes)]
    model = write(tmp_path / "n.onnx", nodes, constants, [1, 2, 4, 6], opset=17)
    agree(tmp_path / "n.onnx", model, (2, 4, 6))


def test_shapes_that_are_computed_are_folded(tmp_path):
    """What exporters write for x.view(x.size(0), -1)."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["batch"], axis=0),
        node("Unsqueeze", ["batch", "axes"], ["b"]),
        node("Concat", ["b", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["flat"]),
        node("Constant", [], ["one"], value_float=1.5),
        node("Sub", ["one", "flat"], ["y"]),
    ]
    constants = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    model = write(tmp_path / "n.onnx", nodes, constants, [1, 2, 3])
    agree(tmp_path / "n.onnx", model, (2, 3))


def test_unsupported_operators_are_all_named_at_once(tmp_path):
    nodes = [
        node("Sin", ["x"], ["a"], name="first"),
        node("Relu", ["a"], ["b"], name="between"),
        node("LSTM", ["b", "W", "R"], ["c"], name="second", hidden_size=2),
        node("Flatten", ["x"], ["d"], axis=0, name="third"),
        node("Identity", ["c"], ["y"]),
    ]
    constants = {"W": normal(1, 8, 3), "R": normal(1, 8, 2)}
    write(tmp_path / "n.onnx", nodes, constants, [1, 2, 3])
    with pytest.raises(UnreadableFile) as caught:
        load(str(tmp_path / "n.onnx"))
    for told in ("first: Sin is not supported", "second: LSTM is not supported", "third: Flatten"):
        assert told in str(caught.value)
    assert "between" not in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "constants", "in_shape", "told"),
    [
        ([node("Add", ["x", "c"], ["y"])], {"c": normal(5, 3)}, [1, 3], "stretches"),
        ([node("Transpose", ["x"], ["y"])], {}, [1, 3], "batch to stay first"),
        ([node("Relu", ["x"], ["y"])], {}, ["n", "m"], "open shape"),
        ([node("Reshape", ["x", "c"], ["y"])], {"c": np.array([2, 2])}, [1, 3], "of 3 numbers"),
    ],
)
def test_what_cannot_run_is_refused(tmp_path, nodes, constants, in_shape, told):
    write(tmp_path / "n.onnx", nodes, constants, in_shape)
    with pytest.raises(UnreadableFile, match=told):
        load(str(tmp_path / "n.onnx"))


def test_a_file_beside_it_says_that_the_answers_are_logits(tmp_path):
    write(tmp_path / "n.onnx", [node("Relu", ["x"], ["y"])], {}, [1, 3])
    (tmp_path / "n.yaml").write_text("output: categorical\n")
    assert load("n.onnx", base=tmp_path).output == "categorical"
    (tmp_path / "n.yaml").write_text("output: classes\n")
    with pytest.raises(InputError, match="expected one of regression, categorical"):
        load("n.onnx", base=tmp_path)


def test_a_file_that_is_not_onnx_is_refused(tmp_path):
    (tmp_path / "n.onnx").write_bytes(b"\x08\x07nothing")
    with pytest.raises(UnreadableFile, match="not a whole ONNX file"):
        load("n.onnx", base=tmp_path)


def test_equal_weights_under_other_operators_are_another_network(tmp_path):
    for op in ("Relu", "LeakyRelu"):
        nodes = [node("MatMul", ["x", "W"], ["h"]), node(op, ["h"], ["y"])]
        write(tmp_path / f"{op}.onnx", nodes, {"W": normal(3, 4)}, [1, 3])
    one, other = (load(f"{op}.onnx", base=tmp_path) for op in ("Relu", "LeakyRelu"))
    assert one.weights_digest == other.weights_digest
    assert one.digest != other.digest
