"""Random ONNX files of all operators that are read, and others, many with something absurd in them.

Each function draws from a generator of random numbers alone, so that a case is the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Array = np.ndarray[Any, Any]
Draw = Callable[[random.Random, Shape], Any]

SHAPES: tuple[Shape, ...] = (
    (3,), (4,), (1,), (2, 3), (2, 4), (4, 2), (1, 4, 4), (2, 4, 4), (4, 2, 2), (2, 3, 5), (2, 5),
    (1, 3, 3, 3),
)  # fmt: skip
BAD_SIZES = (0, -1, -3, 7, 1 << 16, 10**6, 1 << 31, 1 << 40, (1 << 62) + 1, -(1 << 63), (1 << 63) - 1)
BAD_NUMBERS = (0.0, -1.0, 1e300, -1e39, float("nan"), float("inf"), float("-inf"), 1e-320)
BAD_FLOATS = (0.0, -1.0, 3e38, -3e38, float("nan"), float("inf"), float("-inf"), 1e-45)
VERSIONS = (7, 9, 10, 11, 13, 14, 16, 18, 19, 20, 22, 23, 20, 21, 22, 23)
KINDS = ("float64", "float16", "int64", "int32", "int8", "uint8", "bool", "complex64", "uint64")


def one_of(*values: Any) -> Draw:
    """One of these."""
    return lambda rng, shape: rng.choice(values)


def sizes(least: int, most: int, twice: bool = False) -> Draw:
    """A number for each axis of space, or two."""
    return lambda rng, shape: [
        rng.randint(least, most) for _ in range(max(1, len(shape) - 1) * (2 if twice else 1))
    ]


def axis(rng: random.Random, shape: Shape) -> int:
    """An axis, mostly of a datum."""
    return rng.choice([*range(1, len(shape) + 1), -1, -1, 0, -len(shape)])


def axes(rng: random.Random, shape: Shape) -> list[int]:
    """Some axes."""
    return rng.sample(range(1, len(shape) + 1), rng.randint(1, len(shape)))


def whole(draw: Draw) -> Draw:
    """The same as a constant input."""
    return lambda rng, shape: np.array(draw(rng, shape), dtype=np.int64)


def normal(rng: random.Random, shape: Shape, least: float = -2.0) -> Array:
    """Numbers of float32."""
    return np.array(
        [rng.uniform(least, 2.0) for _ in range(int(np.prod(shape, dtype=np.int64)))], dtype=np.float32
    ).reshape(shape)


def by_channel(rng: random.Random, shape: Shape) -> Array:
    """A positive number for each channel."""
    return normal(rng, shape[:1], least=0.1)


def like(rng: random.Random, shape: Shape) -> Array:
    """What goes with data of this shape number by number, or nearly."""
    return normal(rng, rng.choice([(1, *shape), shape, shape[-1:], (1,), (), (1, *shape[:-1], 1)]))


def mask(rng: random.Random, shape: Shape) -> Array:
    """Truths."""
    return like(rng, shape) > 0


def kernel(rng: random.Random, shape: Shape) -> Array:
    """That of a convolution, in one group or as many as there are channels."""
    window = tuple(rng.randint(1, 3) for _ in shape[1:])
    return normal(rng, (rng.choice([1, 2, shape[0]]), rng.choice([shape[0], shape[0], 1]), *window))


def turned_kernel(rng: random.Random, shape: Shape) -> Array:
    """That of a transposed convolution."""
    return np.ascontiguousarray(kernel(rng, shape).swapaxes(0, 1))


def matrix(rng: random.Random, shape: Shape) -> Array:
    """To be multiplied by from the right."""
    return normal(rng, (shape[-1], rng.randint(1, 3)))


def places(rng: random.Random, shape: Shape) -> Array:
    """Places along an axis of a datum."""
    most = max(1, min(shape))
    made = rng.choice([(), (2,), (1, *shape), (1, *shape[:-1], 1), (1, 2, len(shape) + 1)])
    count = int(np.prod(made, dtype=np.int64))
    return np.array([rng.randrange(-most, most) for _ in range(count)], dtype=np.int64).reshape(made)


def rows(rng: random.Random, shape: Shape) -> Array:
    """Places [1, k, axes] of slices within one datum."""
    deep = rng.randint(1, len(shape))
    return np.array([[[0, *(rng.randrange(n) for n in shape[:deep])] for _ in range(2)]], dtype=np.int64)


def target(rng: random.Random, shape: Shape) -> Array:
    """A shape that the data may be laid out in."""
    count = int(np.prod(shape, dtype=np.int64))
    found = rng.choice([[1, -1], [-1], [0, -1], [1, count], [-1, *shape[::-1]], [1, 1, *shape], [2, -1]])
    return np.array(found, dtype=np.int64)


def scales(rng: random.Random, shape: Shape) -> Array:
    """How many times longer the batch, which stays, and each axis become."""
    return np.array([1.0, *(rng.choice([0.5, 1.0, 2.0, 1.7]) for _ in shape)], dtype=np.float32)


def new_sizes(rng: random.Random, shape: Shape) -> Array:
    """Of the batch, which is 1, and each axis."""
    return np.array([1, *(rng.randint(1, 6) for _ in shape)], dtype=np.int64)


def one_axis(rng: random.Random, shape: Shape) -> list[int]:
    """An axis by itself."""
    return [axis(rng, shape)]


def order(rng: random.Random, shape: Shape) -> list[int]:
    """The axes of a datum in another order."""
    return [0, *rng.sample(range(1, len(shape) + 1), len(shape))]


def widths(rng: random.Random, shape: Shape) -> Array:
    """What is added before and behind each axis."""
    ends = [[0, *(rng.choice([0, 0, 1, 2, -1]) for _ in shape)] for _ in range(2)]
    return np.array(ends, dtype=np.int64).reshape(-1)


def moving(rng: random.Random, shape: Shape) -> None:
    """What is computed before."""
    return None


def empty(rng: random.Random, shape: Shape) -> str:
    """An input that is left out."""
    return ""


FLAG, SELDOM, SMALL = one_of(0, 1), one_of(0, 0, 1), one_of(1e-5, 0.1)
NUMBER = one_of(np.float32(0.5), np.float32(-1.0), np.float32(2.0), np.float32(3.0))
WINDOW: dict[str, Draw] = {
    "strides": sizes(1, 3), "pads": sizes(0, 2, twice=True), "dilations": sizes(1, 2),
    "auto_pad": one_of("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
}  # fmt: skip
POOL = {"kernel_shape": sizes(1, 3), **WINDOW, "ceil_mode": FLAG}
REDUCED: dict[str, Draw] = {"keepdims": FLAG, "axes": axes, "noop_with_empty_axes": FLAG}
RESIZED = {
    "mode": one_of("nearest", "linear", "cubic"), "antialias": SELDOM,
    "coordinate_transformation_mode": one_of(
        "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric",
        "tf_crop_and_resize",
    ),
    "nearest_mode": one_of("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
    "cubic_coeff_a": one_of(-0.5, -0.75), "exclude_outside": SELDOM,
}  # fmt: skip

BENT: dict[str, Draw] = {"alpha": one_of(0.1, 0.5, 1.0, 2.0), "beta": one_of(0.5, 0.0), "gamma": one_of(1.0)}
TURNED: dict[str, Draw] = {
    **WINDOW, "output_padding": sizes(0, 1), "output_shape": sizes(2, 9), "group": one_of(1, 1, 2),
}  # fmt: skip
SPACE = WINDOW.keys() | RESIZED.keys() | {"num_groups", "blocksize", "kernel_shape"}
Operator = tuple[tuple[Draw, ...], dict[str, Draw]]
"""Inputs, and the attributes that there may be."""

PLAIN = (
    "Abs", "Cosh", "Erf", "Exp", "GlobalAveragePool", "GlobalMaxPool", "HardSwish", "Identity", "Log", "Mish",
    "Neg", "Not", "Reciprocal", "Relu", "Sigmoid", "Sign", "Sinh", "Softplus", "Softsign", "Sqrt", "Tanh",
    "Shape", "Flatten", "Ceil", "Sin", "Round", "NonZero", "IsNaN", "Size",
)  # fmt: skip
PAIRS = (
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Equal", "PRelu", "And", "Or", "Xor", "Mod", "MatMul", "BitShift",
)  # fmt: skip
REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
OPERATORS: list[tuple[str, Operator]] = [
    *((name, ((moving,), {})) for name in PLAIN),
    *((name, ((moving, like), {})) for name in PAIRS),
    *((name, ((moving, moving), {})) for name in PAIRS),
    *((name, ((like, moving), {})) for name in ("Sub", "Div", "Pow", "MatMul", "Less", "Max")),
    *((name, ((moving,), REDUCED)) for name in REDUCTIONS),
    *((name, ((moving, whole(axes)), REDUCED)) for name in REDUCTIONS),
    *((name, ((moving,), {"axis": axis, "keepdims": FLAG, "select_last_index": SELDOM}))
      for name in ("ArgMax", "ArgMin")),
    *((name, ((moving,), {"axis": axis}))
      for name in ("Softmax", "LogSoftmax", "Hardmax", "Flatten", "Split")),
    *((name, ((moving,), BENT))
      for name in ("LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "ThresholdedRelu")),
    *2 * [("Conv", ((moving, kernel), {**WINDOW, "group": one_of(1, 1, 2)}))],
    ("Conv", ((moving, kernel, by_channel), {**WINDOW, "kernel_shape": sizes(1, 3)})),
    *2 * [("ConvTranspose", ((moving, turned_kernel), TURNED))],
    ("MaxPool", ((moving,), {**POOL, "storage_order": FLAG})),
    ("AveragePool", ((moving,), {**POOL, "count_include_pad": FLAG})),
    ("LpPool", ((moving,), {**POOL, "p": one_of(1, 2, 3)})),
    ("GlobalLpPool", ((moving,), {"p": one_of(1, 2)})),
    ("BatchNormalization", ((moving, *4 * (by_channel,)), {"epsilon": SMALL})),
    ("InstanceNormalization", ((moving, by_channel, by_channel), {"epsilon": SMALL})),
    ("GroupNormalization", ((moving, by_channel, by_channel), {"num_groups": one_of(1, 2)})),
    ("LayerNormalization", ((moving, like, like), {"axis": axis, "epsilon": SMALL})),
    ("RMSNormalization", ((moving, like), {"axis": axis, "epsilon": SMALL})),
    ("LpNormalization", ((moving,), {"axis": axis, "p": one_of(1, 2)})),
    ("Resize", ((moving, empty, scales), RESIZED)),
    ("Resize", ((moving, empty, empty, new_sizes), {**RESIZED, "axes": axes})),
    ("Upsample", ((moving, scales), {"mode": one_of("nearest", "linear")})),
    ("Pad", ((moving, widths), {"mode": one_of("constant", "reflect", "edge", "wrap")})),
    ("Pad", ((moving, widths, NUMBER), {"mode": one_of("constant", "reflect")})),
    *(("Where", (draws, {})) for draws in (
        (mask, moving, like), (mask, like, moving), (moving, moving, like), (mask, moving, moving))),
    ("TopK", ((moving, whole(one_of([1], [2], [3]))), {"axis": axis, "largest": FLAG, "sorted": FLAG})),
    ("OneHot", ((moving, whole(one_of(3, 5)), whole(one_of([0, 1]))), {"axis": axis})),
    ("Gather", ((moving, places), {"axis": axis})),
    ("Gather", ((matrix, moving), {"axis": SELDOM})),
    ("GatherElements", ((moving, places), {"axis": axis})),
    ("GatherND", ((moving, places), {"batch_dims": FLAG})),
    *((name, ((moving, places, source), {"axis": axis, "reduction": one_of("none", "add", "mul")}))
      for name, source in (("ScatterElements", moving), ("ScatterElements", like), ("Scatter", moving))),
    *(("ScatterND", ((moving, rows, source), {"reduction": one_of("none", "none", "add")}))
      for source in (moving, like)),
    ("Slice", ((moving, *map(whole, (one_of([0], [1], [-2]), one_of([2], [9], [-1]), one_axis,
                                     one_of([1], [2], [-1])))), {})),
    ("Concat", ((moving, moving), {"axis": axis})),
    ("Concat", ((moving, like, moving), {"axis": axis})),
    ("Transpose", ((moving,), {"perm": order})),
    ("Reshape", ((moving, target), {"allowzero": FLAG})),
    ("Expand", ((moving, target), {})),
    ("Squeeze", ((moving, whole(axes)), {})),
    ("Unsqueeze", ((moving, whole(axes)), {"axes": axes})),
    ("Tile", ((moving, new_sizes), {})),
    ("CumSum", ((moving, whole(axis)), {"exclusive": FLAG, "reverse": FLAG})),
    ("Trilu", ((moving, whole(one_of(0, 1, -1))), {"upper": FLAG})),
    ("Clip", ((moving, NUMBER, NUMBER), {"min": one_of(-1.0), "max": one_of(1.0)})),
    ("Gemm", ((moving, matrix, like), {"alpha": one_of(1.0, 0.5), "transB": SELDOM, "transA": SELDOM})),
    ("MatMul", ((moving, matrix), {})),
    ("Einsum", ((moving, moving), {"equation": one_of(
        "bi,bi->b", "bi,bj->bij", "...i,...i->...", "bi,bi", "bij,bjk->bik", "ii")})),
    ("Einsum", ((moving, matrix), {"equation": one_of(
        "bi,ij->bj", "bij,jk->bik", "...i,ij->...j", "b i,i j->b j", "i,j->k")})),
    *((name, ((moving,), {"blocksize": one_of(1, 2), "mode": one_of("DCR", "CRD")}))
      for name in ("DepthToSpace", "SpaceToDepth")),
    ("Gelu", ((moving,), {"approximate": one_of("none", "tanh")})),
    ("Shrink", ((moving,), {"lambd": one_of(0.5, 1.0), "bias": one_of(0.0, 0.5)})),
    ("Cast", ((moving,), {"to": one_of(1, 1, 7, 9, 10, 11)})),
    ("Dropout", ((moving,), {"ratio": one_of(0.5)})),
    ("ConstantOfShape", ((target,), {})),
    ("Range", ((NUMBER, NUMBER, NUMBER), {})),
    *((name, ((moving, *3 * (like,)), {"hidden_size": one_of(1, 2)})) for name in ("LSTM", "GRU", "RNN")),
]  # fmt: skip


def operator_file(rng: random.Random, damage: float = 0.6) -> bytes:
    """A network of a few random operators; a share `damage` of them with something absurd."""
    from onnx import TensorProto, helper, numpy_helper

    version, chosen = (
        rng.choice(VERSIONS),
        [rng.choice(OPERATORS) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))],
    )
    shape = rng.choice(SHAPES[6:] if any(operator[1].keys() & SPACE for _, operator in chosen) else SHAPES)
    kind = (
        TensorProto.FLOAT
        if rng.random() < 0.9
        else rng.choice([TensorProto.INT64, TensorProto.INT32, 9, 10, 11, 16])
    )
    tensors: list[Any] = []
    nodes, made = [], ["x"]
    first = shape
    for name, operator in chosen:
        nodes.append(_node(rng, name, operator, version, shape, made, tensors))
        made.append(nodes[-1].output[0])
        shape = rng.choice(SHAPES) if rng.random() < 0.1 else shape
    inputs = [helper.make_tensor_value_info("x", kind, [1, *first])]
    outputs = [helper.make_tensor_value_info(made[-1], TensorProto.FLOAT, ["n", "m"])]
    graph = helper.make_graph(nodes, "n", inputs, outputs)
    for _ in range(rng.choice((1, 1, 2, 3)) if rng.random() < damage else 0):
        _absurd(rng, graph, tensors)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    data: bytes = model.SerializeToString()
    return data


def _node(
    rng: random.Random,
    name: str,
    operator: Operator,
    version: int,
    shape: Shape,
    made: list[str],
    tensors: list[Any],
) -> Any:
    from onnx import defs, helper

    try:
        schema = defs.get_schema(name, version)
        known = {key: bool(about.required) for key, about in schema.attributes.items()}
        most = schema.max_input
    except defs.SchemaError:
        known, most = dict.fromkeys(operator[1], False), 9
    given, words = [], 0
    for draw in operator[0][:most]:
        found = draw(rng, shape)
        if found is None:
            found = made[-1] if not words or rng.random() < 0.5 else rng.choice(made)
            words += 1
        elif not isinstance(found, str):
            tensors.append((f"c{len(tensors)}", found))
            found = tensors[-1][0]
        given.append(found)
    told = {
        key: draw(rng, shape)
        for key, draw in operator[1].items()
        if known.get(key) or (key in known and rng.random() < 0.4) or rng.random() < 0.003
    }
    outputs = [f"v{len(made)}", *(f"u{len(made)}" for _ in range(name in ("TopK", "Split")))]
    return helper.make_node(name, given, outputs, **told)


def _absurd(rng: random.Random, graph: Any, tensors: list[Any]) -> None:
    """Make something of a network absurd."""
    what, node = rng.randrange(8), rng.choice(graph.node)
    if what <= 2 and node.attribute:
        _absurd_attribute(rng, rng.choice(node.attribute))
    elif what <= 4 and tensors:
        k = rng.randrange(len(tensors))
        tensors[k] = (tensors[k][0], _absurd_array(rng, np.asarray(tensors[k][1])))
    elif what == 5 and node.input:
        place = rng.randrange(len(node.input))
        node.input[place] = rng.choice(["x", "", "lost", node.output[0], graph.node[0].output[0], "c0"])
        if rng.random() < 0.3:
            del node.input[place:]
    elif what == 6:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[rng.randrange(len(dims))].dim_value = rng.choice(BAD_SIZES)
    else:
        node.op_type = rng.choice(OPERATORS)[0]


def _absurd_attribute(rng: random.Random, attribute: Any) -> None:
    from onnx import helper

    value, number = helper.get_attribute_value(attribute), rng.choice((*BAD_SIZES, *BAD_NUMBERS))
    if isinstance(value, list | tuple) or attribute.ints:
        changed: Any = list(value)
        how = rng.randrange(4)
        if how == 0:
            changed = changed[:-1] or [number]
        elif how == 1:
            changed = [*changed, rng.choice(BAD_SIZES)]
        else:
            changed[rng.randrange(len(changed))] = rng.choice(BAD_SIZES)
    elif isinstance(value, bytes):
        changed = rng.choice(
            [b"", b"\xff\xfe", b"SAME", b"constant", b"i" * 5000, b"...", b"ab->ba", b"zz,zz->"]
        )
    else:
        changed = rng.choice([number, number, number, [1, 2], "text"])
    attribute.CopyFrom(helper.make_attribute(attribute.name, changed))


def _absurd_array(rng: random.Random, array: Array) -> Array:
    what = rng.randrange(6)
    if what == 0:
        with np.errstate(invalid="ignore", over="ignore"):
            return array.real.astype(rng.choice(KINDS))
    if what == 1 and array.size and array.dtype.kind in "if":
        flat = array.copy().reshape(-1)
        if array.dtype.kind == "i":
            ends = np.iinfo(array.dtype)
            number: Any = min(max(rng.choice(BAD_SIZES), int(ends.min)), int(ends.max))
        else:
            number = rng.choice(BAD_FLOATS)
        with np.errstate(over="ignore"):
            flat[rng.randrange(flat.size)] = number
        return flat.reshape(array.shape)
    if what == 2:
        return array.reshape(-1)[:0] if rng.random() < 0.5 else array.reshape(-1)
    if what == 3:
        return array[None]
    if what == 4:
        return array.T.copy()
    return np.resize(array, rng.choice(SHAPES)) if array.size else array
