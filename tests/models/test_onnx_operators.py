"""Operators of ONNX over images, axes and single numbers against the reference evaluator of onnx."""

import numpy as np
import pytest
import torch
from assay.models.formats.onnx import UnsupportedOperators, read_onnx

from .test_onnx import agree, node, normal, write

pytest.importorskip("onnx")


def ints(*numbers):
    return np.array(numbers, dtype=np.int64)


SPACE = {"two": (2, 4, 6), "one": (2, 5), "three": (2, 2, 3, 4)}
IMAGES = [
    ("Conv", "one", {"K": normal(4, 1, 3), "b": normal(4)}, {"group": 2, "pads": [2, 1], "strides": [2]}),
    ("Conv", "three", {"K": normal(3, 2, 2, 1, 2)}, {"pads": [1, 0, 1, 0, 0, 1], "dilations": [1, 1, 2]}),
    ("ConvTranspose", "one", {"K": normal(2, 3, 3), "b": normal(3)}, {"strides": [2], "pads": [1, 1]}),
    ("ConvTranspose", "two", {"K": normal(2, 3, 3, 2)}, {"strides": [2, 3], "pads": [0, 1, 2, 1]}),
    ("ConvTranspose", "two", {"K": normal(2, 1, 3, 3)}, {"group": 2, "dilations": [2, 1]}),
    ("ConvTranspose", "two", {"K": normal(2, 1, 2, 2)}, {"strides": [3, 3], "output_padding": [1, 2]}),
    ("ConvTranspose", "two", {"K": normal(2, 1, 3, 3)}, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", "three", {"K": normal(2, 1, 2, 2, 2)}, {}),
    ("MaxPool", "one", {}, {"kernel_shape": [2], "strides": [2], "pads": [1, 0]}),
    ("MaxPool", "three", {}, {"kernel_shape": [2, 2, 1]}),
    ("AveragePool", "three", {}, {"kernel_shape": [2, 2, 2], "count_include_pad": 1, "pads": [1] * 6}),
    ("AveragePool", "two", {}, {"kernel_shape": [3, 3], "pads": [1, 0, 0, 2]}),
    ("LpPool", "two", {}, {"kernel_shape": [2, 3], "p": 2, "strides": [2, 1]}),
    ("GlobalMaxPool", "two", {}, {}),
    ("GlobalAveragePool", "one", {}, {}),
    ("InstanceNormalization", "two", {"s": normal(2), "b": normal(2)}, {"epsilon": 0.01}),
    ("BatchNormalization", "three", {k: np.abs(normal(2, seed=i)) for i, k in enumerate("sbmv")}, {}),
    ("SpaceToDepth", "two", {}, {"blocksize": 2}),
]
SIZES = [
    {"scales": np.float32([1, 1, 2, 1.5])},
    {"scales": np.float32([1, 1, 0.6, 3]), "nearest_mode": "floor", "coordinate": "asymmetric"},
    {"sizes": ints(1, 2, 7, 9), "nearest_mode": "ceil", "coordinate": "align_corners"},
    {"sizes": ints(1, 2, 3, 8), "nearest_mode": "round_prefer_ceil", "coordinate": "half_pixel_symmetric"},
    {"scales": np.float32([1, 1, 2, 2]), "mode": "linear"},
    {"sizes": ints(1, 2, 7, 4), "mode": "linear", "coordinate": "align_corners"},
    {"sizes": ints(1, 2, 1, 9), "mode": "linear", "coordinate": "pytorch_half_pixel"},
    {"scales": np.float32([1, 1, 2, 0.5]), "mode": "cubic", "cubic_coeff_a": -0.5},
    {"sizes": ints(8, 3), "mode": "cubic", "coordinate": "asymmetric", "axes": [2, 3]},
]
AXES = [
    *((op, {}, {"axes": [2], "keepdims": 0}) for op in ("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMin")),
    ("ReduceProd", {}, {"axes": [-1, 2]}),
    ("ReduceSumSquare", {}, {}),
    ("ReduceLogSumExp", {}, {"axes": [1], "keepdims": 1}),
    ("LpNormalization", {}, {}),
    ("CumSum", {"k": ints(2)[0]}, {"exclusive": 1}),
    ("CumSum", {"k": ints(-1)[0]}, {"reverse": 1}),
    ("Trilu", {"k": ints(1)[0]}, {"upper": 0}),
    ("Trilu", {}, {}),
    ("Tile", {"k": ints(1, 2, 1, 3)}, {}),
    ("Pad", {"p": ints(0, 1, 0, 2, 0, 0, 1, 1), "v": np.float32(1.5)}, {}),
    ("Pad", {"p": ints(0, 0, 2, 1, 0, 0, 1, 3)}, {"mode": "reflect"}),
    ("Pad", {"p": ints(0, 0, 2, 1, 0, 1, 1, 3)}, {"mode": "edge"}),
    ("GatherElements", {"k": np.arange(24).reshape(1, 2, 2, 6) % 4}, {"axis": 2}),
    ("ScatterElements", {"k": ints(3, 0).reshape(1, 1, 2, 1), "u": normal(1, 1, 2, 1)}, {"axis": 2}),
    (
        "ScatterElements",
        {"k": ints(3, 3).reshape(1, 1, 2, 1), "u": normal(1, 1, 2, 1)},
        {"axis": 2, "reduction": "add"},
    ),
    ("ScatterND", {"k": np.array([[[0, 1, 2], [0, 0, -1]]]), "u": normal(1, 2, 6)}, {}),
    ("ArgMax", {}, {"axis": 2}),
]  # fmt: skip
BENDS = [
    ("HardSigmoid", {}, {"alpha": 0.3}),
    ("HardSwish", {}, {}),
    ("Selu", {}, {"alpha": 1.2}),
    ("Celu", {}, {"alpha": 0.5}),
    ("Mish", {}, {}),
    ("Softplus", {}, {}),
    ("Softsign", {}, {}),
    ("ThresholdedRelu", {}, {"alpha": 0.3}),
    ("Shrink", {}, {"lambd": 0.3, "bias": 0.3}),
    ("Shrink", {}, {"lambd": 0.3}),
    ("PRelu", {"s": normal(2, 1, 1)}, {}),
    ("Sign", {}, {}),
    ("Sum", {"a": normal(4, 6), "b": normal(1, 2, 1, 6)}, {}),
    ("Mean", {"a": normal(4, 6), "b": normal(1)}, {}),
    ("Max", {"a": normal(4, 6), "b": normal(1)}, {}),
    ("Min", {"a": normal(1, 2, 4, 6)}, {}),
]


def same(tmp_path, op, constants, attributes, shape, opset=18):
    nodes = [node(op, ["x", *constants], ["y"], **attributes)]
    return agree(tmp_path / "n.onnx", write(tmp_path / "n.onnx", nodes, constants, [1, *shape], opset), shape)


@pytest.mark.parametrize(("op", "space", "constants", "attributes"), IMAGES, ids=str)
def test_images(tmp_path, op, space, constants, attributes):
    same(tmp_path, op, constants, attributes, SPACE[space])


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(tmp_path, mode):
    same(tmp_path, "DepthToSpace", {}, {"blocksize": 2, "mode": mode}, (8, 2, 3))


def test_groups_have_one_factor_each_or_one_for_each_channel(tmp_path):
    same(tmp_path, "GroupNormalization", {"s": normal(4), "b": normal(4)}, {"num_groups": 2}, (4, 3), 21)


@pytest.mark.parametrize("how", SIZES, ids=str)
def test_sizes(tmp_path, how):
    told = dict(how)
    constants = {name: told.pop(name) for name in ("scales", "sizes") if name in told}
    if "coordinate" in told:
        told["coordinate_transformation_mode"] = told.pop("coordinate")
    inputs = ["x", "", "scales"] if "scales" in constants else ["x", "", "", "sizes"]
    nodes = [node("Resize", inputs, ["y"], **told)]
    model = write(tmp_path / "n.onnx", nodes, constants, [1, 2, 4, 6], 18)
    agree(tmp_path / "n.onnx", model, (2, 4, 6))


def test_upsample(tmp_path):
    constants = {"scales": np.float32([1, 1, 2, 3])}
    model = write(tmp_path / "n.onnx", [node("Upsample", ["x", "scales"], ["y"])], constants, [1, 2, 4, 6], 9)
    assert model.opset_import[0].version == 9
    x = torch.randn(3, 2, 4, 6)
    told = torch.nn.functional.interpolate(x, scale_factor=(2, 3))
    assert torch.equal(read_onnx(tmp_path / "n.onnx")(x), told)


@pytest.mark.parametrize(("op", "constants", "attributes"), [*AXES, *BENDS], ids=str)
def test_axes_and_single_numbers(tmp_path, op, constants, attributes):
    opset = 13 if "axes" in attributes else 18
    same(tmp_path, op, constants, attributes, (2, 4, 6), opset)


def test_what_the_reference_evaluator_does_otherwise(tmp_path):
    """Pads below 0 cut off, sizes of what is absent; sums of sizes without their signs."""
    x, kernel = torch.randn(2, 2, 4, 6), normal(2, 1, 3, 3)
    transposed = torch.nn.functional.conv_transpose2d(x, torch.tensor(kernel), stride=(3, 2))
    for nodes, constants, told in [
        (
            [node("ConvTranspose", ["x", "K"], ["y"], strides=[3, 2], output_shape=[10, 12])],
            {"K": kernel},
            transposed[:, :, 1:-1, 1:],
        ),
        (
            [node("Pad", ["x", "p"], ["y"])],
            {"p": ints(0, 0, -1, 1, 0, 0, 2, -2)},
            torch.nn.functional.pad(x, (1, -2, -1, 2)),
        ),
        (
            [node("Pad", ["x", "p"], ["y"], mode="reflect")],
            {"p": ints(0, 0, -1, 1, 0, 0, 2, -2)},
            torch.nn.functional.pad(x, (1, 0, 0, 2), mode="reflect")[:, :, 1:, :-2],
        ),
        (
            [node("LpNormalization", ["x"], ["y"], p=1, axis=2)],
            {},
            torch.nn.functional.normalize(x, 1, 2),
        ),
        ([node("Clip", ["x", "", "high"], ["y"])], {"high": np.float32(0.5)}, x.clamp(max=0.5)),
    ]:
        write(tmp_path / "n.onnx", nodes, constants, [1, 2, 4, 6], 18)
        assert torch.allclose(read_onnx(tmp_path / "n.onnx")(x), told, atol=1e-6)


def test_chosen_by_what_is_compared(tmp_path):
    nodes = [
        node("Greater", ["x", "a"], ["m"]),
        node("Not", ["m"], ["n"]),
        node("Where", ["n", "x", "a"], ["h"]),
        node("TopK", ["h", "k"], ["values", "places"], axis=-1),
        node("Log", ["e"], ["y"]),
    ]
    nodes.insert(4, node("Exp", ["values"], ["e"]))
    constants = {"a": normal(1, 2, 1, 6), "k": ints(3)}
    model = write(tmp_path / "n.onnx", nodes, constants, [1, 2, 4, 6], 18)
    agree(tmp_path / "n.onnx", model, (2, 4, 6))


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "told"),
    [
        ("Pad", {"p": ints(1, 0, 0, 0, 0, 0, 0, 0)}, {}, "pads the batch"),
        ("Tile", {"k": ints(2, 1, 1, 1)}, {}, "the batch once"),
        ("Shrink", {}, {"lambd": 0.3, "bias": 0.1}, "shrinks by"),
        ("ArgMax", {}, {"axis": 0}, "behind the batch"),
        ("ScatterND", {"k": np.array([[0]]), "u": normal(1, 2, 4, 6)}, {}, "within one datum"),
        ("Upsample", {"scales": np.float32([2, 1, 1, 1])}, {}, "makes"),
        ("AveragePool", {}, {"kernel_shape": [2, 2, 2]}, "has a window"),
    ],
)
def test_what_cannot_run_is_told(tmp_path, op, constants, attributes, told):
    opset = 9 if op == "Upsample" else 18
    write(
        tmp_path / "n.onnx",
        [node(op, ["x", *constants], ["y"], **attributes)],
        constants,
        [1, 2, 4, 6],
        opset,
    )
    with pytest.raises(UnsupportedOperators, match=told):
        read_onnx(tmp_path / "n.onnx")
