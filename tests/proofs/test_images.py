"""Convolutions, pools, moves and writing into tensors, against torch: exact values, enclosures, proofs."""

import pytest
import torch
from assay.models import Network
from assay.proofs import claim, read_onnx, verify
from assay.proofs.lowering import UnsupportedError, lower
from torch import nn
from torch.nn import functional

from tests.proofs.agreement import (
    Function,
    bounds_of,
    encloses_float32,
    encloses_in_the_checker,
    exactly_as_torch,
)

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")


def called(function, *shape):
    """A module that calls a function of its input, and of a parameter where a shape of one is told."""
    return lambda: Function(function, *shape)


CONVOLUTIONS = {
    "one axis": (lambda: nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2), (2, 5)),
    "two axes": (lambda: nn.Conv2d(2, 3, (2, 3), padding=(1, 0), dilation=(1, 2), bias=False), (2, 3, 5)),
    "three axes": (lambda: nn.Conv3d(1, 2, 2, padding=(0, 1, 0)), (1, 2, 2, 3)),
    "same": (lambda: nn.Conv1d(1, 2, 4, padding="same"), (1, 5)),
    "circular": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), (1, 3, 3)),
    "reflected": (lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), (1, 3, 3)),
    "replicated": (lambda: nn.Conv1d(1, 2, 3, padding=2, padding_mode="replicate"), (1, 3)),
    "transposed": (lambda: nn.ConvTranspose1d(4, 6, 3, 2, padding=1, output_padding=1, groups=2), (4, 3)),
    "transposed planes": (lambda: nn.ConvTranspose2d(2, 3, (3, 2), stride=(2, 3), dilation=2), (2, 2, 2)),
    "transposed space": (lambda: nn.ConvTranspose3d(1, 2, 2, padding=(1, 0, 1), bias=False), (1, 2, 1, 2)),
    "two layers": (
        lambda: nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.ReLU(), nn.ConvTranspose1d(2, 1, 2, 2)),
        (1, 4),
    ),
    "computed kernel": (
        called(lambda x, w: functional.conv2d(x, w.abs(), padding=1), 2, 1, 3, 2),
        (1, 3, 3),
    ),
    "computed transposed kernel": (
        called(lambda x, w: functional.conv_transpose1d(x, w * 2, w[0, 0, :2], groups=2), 2, 1, 3),
        (2, 3),
    ),
    "one number": (lambda: nn.ConvTranspose1d(1, 1, 1), (1, 1)),
    "turned kernel": (called(lambda x, w: functional.conv1d(x, w.flip(-1), w[:, 0, 0]), 2, 1, 3), (1, 5)),
}
POOLS = {
    "maxima of an axis": (lambda: nn.MaxPool1d(3, 2, padding=1, dilation=2), (1, 7)),
    "maxima up to the end": (lambda: nn.MaxPool2d(2, ceil_mode=True), (1, 3, 5)),
    "maxima of space": (lambda: nn.MaxPool3d((1, 2, 2), 1), (1, 2, 2, 3)),
    "adaptive maxima": (lambda: nn.AdaptiveMaxPool2d((2, 3)), (2, 3, 5)),
    "adaptive maxima of an axis": (lambda: nn.AdaptiveMaxPool1d(2), (2, 5)),
    "adaptive maxima of space": (lambda: nn.AdaptiveMaxPool3d((1, None, 2)), (1, 2, 2, 3)),
    "means of an axis": (lambda: nn.AvgPool1d(3, 2, padding=1), (1, 5)),
    "means inside": (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (1, 4, 5)),
    "means up to the end": (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), (1, 4, 5)),
    "divided otherwise": (lambda: nn.AvgPool3d(2, 1, divisor_override=5), (1, 2, 2, 3)),
    "adaptive means": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (1, 3, 4)),
    "adaptive means of an axis": (lambda: nn.AdaptiveAvgPool1d(2), (1, 5)),
    "adaptive means of space": (lambda: nn.AdaptiveAvgPool3d((1, 2, 2)), (1, 2, 3, 2)),
    "norms of windows": (lambda: nn.LPPool1d(2, 2), (2, 5)),
    "norms of planes": (lambda: nn.LPPool2d(1, 2, 1), (1, 3, 3)),
    "nearest": (lambda: nn.Upsample(scale_factor=1.5), (1, 3, 5)),
    "nearest of an axis": (lambda: nn.Upsample(size=7, mode="nearest-exact"), (2, 3)),
    "linear": (lambda: nn.Upsample(scale_factor=2, mode="linear"), (2, 3)),
    "bilinear": (lambda: nn.Upsample(scale_factor=(2, 4), mode="bilinear"), (1, 2, 3)),
    "bilinear, corners": (lambda: nn.Upsample(size=(3, 5), mode="bilinear", align_corners=True), (1, 2, 3)),
    "trilinear": (lambda: nn.Upsample(scale_factor=2, mode="trilinear"), (1, 2, 1, 2)),
    "bicubic": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), (1, 3, 2)),
    "smaller": (called(lambda x: functional.interpolate(x, size=(2, 2), mode="bilinear")), (1, 4, 4)),
}
PLACES = torch.tensor([[2, 0, 1, 2]])


def _assigned(x):
    y = torch.zeros_like(x)
    y[:, 0], y[:, 1] = x[:, 1], 3 * x[:, 0]
    y[:, 1] += 1
    return y


def _new(x):
    y = torch.zeros(x.shape[0], 3, dtype=x.dtype)
    view = y[:, 1:]
    view[:, 0] = x[:, 2]
    y[:, 0] = view[:, 0] * 2 + y[:, 2]
    return functional.pad(y.relu() + y, (0, 1))


def _padded(x):
    y = torch.empty(x.shape[0], 6, dtype=x.dtype).fill_(0.5)
    y[:, 1:5].copy_(x)
    y[:, [0, 5]] = x[:, :2]
    return y.unfold(1, 2, 2).sum(-1)


def _summed_at_places(x):
    y = x.index_add(1, PLACES[0], x * 2, alpha=0.5).index_copy(1, PLACES[0, 1:3], x[:, 2:])
    return y.index_fill(1, PLACES[0, :1], 7)


def _folded(x):
    return functional.fold(functional.unfold(x, 2, padding=1) * 2, (3, 3), 2, padding=1)


def _scattered(x):
    places = torch.tensor([[3, 2, 0, 4]]).expand(len(x), -1)
    return torch.zeros(len(x), 5, dtype=x.dtype).scatter(1, places, x)


def _diagonals(x):
    return torch.diag_embed(x, 1).sum(1) - x.diag_embed().diagonal(1, 1, 2).sum(1, True)


def _turned(x):
    return torch.rot90(x, 1, (1, 2)).movedim(1, 2).swapaxes(1, 2).tensor_split(2, -1)[0]


def _in_place(x):
    y, z = x * 1, x + 0
    y[:, 0] = 5.0
    functional.leaky_relu(z, 0.25, inplace=True).mul_(2)
    w = functional.relu(y - 1, inplace=True)
    v = x.clone()
    u = functional.relu(v, inplace=True)
    return torch.stack([x + y, y * z, w, v - 3 * u], 1)


def _put(x):
    rows, columns = torch.arange(len(x))[:, None], torch.tensor([[0, 0, 2]])
    y = torch.ones_like(x).index_put((rows, columns), x * 2, accumulate=True)
    y[:, [1, 1]] = 0.5
    return y


MOVES = {
    "shuffled": (lambda: nn.Sequential(nn.PixelShuffle(2), nn.ChannelShuffle(1)), (4, 1, 2)),
    "unshuffled": (lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.ChannelShuffle(2)), (1, 2, 4)),
    "pads": (
        lambda: nn.Sequential(
            nn.ReflectionPad2d((1, 0, 1, 1)),
            nn.ReplicationPad2d((0, 2, 1, 0)),
            nn.ZeroPad2d(1),
            nn.CircularPad2d((1, 1, 0, 1)),
            nn.ConstantPad2d((1, 0, 0, 0), 2.5),
        ),
        (1, 2, 3),
    ),
    "pads of an axis": (lambda: nn.Sequential(nn.ReflectionPad1d(2), nn.CircularPad1d((0, 2))), (1, 3)),
    "pads of space": (
        lambda: nn.Sequential(nn.ReplicationPad3d(1), nn.ReflectionPad3d((1, 0, 0, 1, 0, 0))),
        (1, 1, 2, 2),
    ),
    "diagonals": (called(_diagonals), (4,)),
    "trace": (called(lambda x: torch.einsum("bii->b", x)[:, None, None] + x), (2, 2)),
    "scattered": (called(_scattered), (4,)),
    "scattered sums": (
        called(lambda x: torch.ones_like(x).scatter_add(1, PLACES.expand(len(x), -1), x * 2)),
        (4,),
    ),
    "sums at places": (called(_summed_at_places), (4,)),
    "windows": (called(_folded), (2, 3, 3)),
    "turned": (called(_turned), (3, 2)),
    "chosen": (called(lambda x: torch.stack([r[torch.tensor([True, False, True])] for r in x])), (3,)),
    "put": (called(_put), (3,)),
    "in place": (called(_in_place), (3,)),
    "assigned": (called(_assigned), (3,)),
    "assigned to what is new": (called(_new), (3,)),
    "assigned to a part": (called(_padded), (4,)),
}
EVERY = {**CONVOLUTIONS, **POOLS, **MOVES}


@pytest.mark.parametrize("rounding", [False, True], ids=["real", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_the_exact_form_computes_what_torch_computes(name, rounding):
    with torch.no_grad():
        assert exactly_as_torch(*EVERY[name], rounding)


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_what_torch_computes_lies_in_the_bounds_of_the_checker(name, semantics):
    assert encloses_in_the_checker(*EVERY[name], semantics) < 0.05


@pytest.mark.parametrize("name", EVERY)
def test_what_torch_computes_in_float32_lies_in_the_bounds(name):
    assert encloses_float32(*EVERY[name]) < 1e-3


KEPT = torch.zeros(2)


def _into_what_is_kept(x):
    KEPT[:] = x[0]
    return x + KEPT


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: torch.zeros(len(x), 2, dtype=torch.long).copy_(x), "written into torch.int64"),
        (lambda x: torch.add(x, 1, out=torch.zeros(len(x), 2)), "does not run"),
        (lambda x: torch.zeros(len(x), 2).copy_(x).numpy() + x, "does not run"),
        (_into_what_is_kept, "mixes data"),
        (lambda x: torch.zeros(2, 2).scatter(1, torch.zeros(2, 2, dtype=torch.long), x), "written twice"),
        (
            lambda x: x.clone().index_put_((torch.tensor([[0], [1]]), torch.tensor([[0, 0]])), x),
            "written twice",
        ),
        (lambda x: functional.interpolate(x[:, None], size=3, mode="linear")[:, 0], "float32 rounds"),
    ],
)
def test_what_is_not_followed_is_told(function, told):
    with pytest.raises(UnsupportedError, match=told):
        lower(Function(function), (2,), rounding=True)
    assert not KEPT.any()


def test_a_bias_may_be_added_first():
    """Terms that cancel leave the rounding of a large bias."""
    layer = nn.Conv1d(1, 1, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(2.0**20)
    low, high = bounds_of(layer, (1, 2), True, *[torch.tensor([[0.3, -(2.0**20)]], dtype=torch.float64)] * 2)
    in_order = (torch.tensor(2.0**20) + torch.tensor(0.3)) - 2.0**20
    assert float(low) <= float(in_order) <= float(high)
    assert float(in_order) != pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_an_image_is_proved_about(semantics, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv1d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.ConvTranspose1d(2, 1, 2, 2),
        nn.Flatten(),
    )
    network = Network("image", module, "regression", "real", (1, 4))
    top = float(network(torch.rand(2000, 1, 4)).max())
    asked = [
        claim(f"max(f(x)) <= {top + 0.5}", {"x[0..3]": "real 0..1"}, semantics=semantics),
        claim(f"max(f(x)) <= {top - 0.1}", {"x[0..3]": "real 0..1"}, semantics=semantics),
    ]
    right, wrong = verify(asked, networks={"f": network}, certificates=tmp_path, budget_s=30)
    assert (right.status, wrong.status) == ("proved", "refuted")
    assert right.verdict.trusted == ()
    assert wrong.verdict.certificate is not None


def test_an_onnx_image_is_proved_about(tmp_path):
    onnx = pytest.importorskip("onnx")
    generator = torch.Generator().manual_seed(0)
    constants = {"K": torch.randn(1, 2, 2, generator=generator), "sizes": torch.tensor([1, 2, 7])}
    nodes = [
        onnx.helper.make_node("ConvTranspose", ["x", "K"], ["a"], strides=[2]),
        onnx.helper.make_node("Relu", ["a"], ["b"]),
        onnx.helper.make_node("Resize", ["b", "", "", "sizes"], ["c"], mode="linear"),
        onnx.helper.make_node("GlobalMaxPool", ["c"], ["y"]),
    ]
    of = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [of("x", onnx.TensorProto.FLOAT, [1, 1, 2])],
        [of("y", onnx.TensorProto.FLOAT, [1, 2, 1])],
        [onnx.numpy_helper.from_array(value.numpy(), name) for name, value in constants.items()],
    )
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), str(tmp_path / "n.onnx"))
    network = read_onnx(tmp_path / "n.onnx")
    top = float(network(torch.rand(2000, 1, 2)).max())
    asked = claim(f"max(f(x)) <= {top + 0.1}", {"x[0..1]": "real 0..1"}, semantics="float32")
    (outcome,) = verify([asked], networks={"f": network}, certificates=tmp_path, budget_s=30)
    assert outcome.status == "proved"
    assert outcome.verdict.trusted == ()
