"""ONNX and VNN-LIB: read exactly, refused clearly."""

import contextlib
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch
from assay.models import Network
from assay.proofs import InputError, verify
from assay.proofs.claims import claim
from assay.proofs.vnnlib import parse_property
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

PROPERTY = """
; unsafe if Y_0 is the largest
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
(assert (>= X_0 -0.303531156))
(assert (<= X_0 0.5))
(assert (<= X_1 1e-1))
(assert (<= -0.5 X_1))
(assert (or (and (<= Y_1 Y_0) (>= Y_0 {bound})) (and (>= Y_1 {bound}))))
"""


def onnx_network(path, seed=0):
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(seed)
    arrays = {
        "mean": rng.normal(size=(1, 2)),
        "W": rng.normal(size=(2, 6)),
        "b": rng.normal(size=6),
        "V": rng.normal(size=(2, 6)),
        "c": rng.normal(size=2),
    }
    arrays = {name: a.astype(np.float32) for name, a in arrays.items()}
    nodes = [
        onnx.helper.make_node("Sub", ["x", "mean"], ["x0"]),
        onnx.helper.make_node("MatMul", ["x0", "W"], ["h0"]),
        onnx.helper.make_node("Add", ["h0", "b"], ["h1"]),
        onnx.helper.make_node("Relu", ["h1"], ["h2"]),
        onnx.helper.make_node("Gemm", ["h2", "V", "c"], ["y"], transB=1),
    ]
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [onnx.helper.make_tensor_value_info("x", floats, [1, 2])],
        [onnx.helper.make_tensor_value_info("y", floats, [1, 2])],
        [onnx.numpy_helper.from_array(a, name) for name, a in arrays.items()],
    )
    onnx.save(onnx.helper.make_model(graph), path)

    def run(x):
        hidden = np.maximum((x - arrays["mean"]) @ arrays["W"] + arrays["b"], 0)
        return hidden @ arrays["V"].T + arrays["c"]

    return run


def test_a_property_of_an_onnx_network_is_decided(tmp_path):
    from assay.proofs.onnx_files import read_onnx

    run = onnx_network(tmp_path / "small.onnx")
    network = read_onnx(tmp_path / "small.onnx")
    points = np.random.default_rng(1).uniform([-0.3, -0.5], [0.5, 0.1], size=(5000, 2)).astype(np.float32)
    answers = run(points)
    assert np.allclose(network(torch.tensor(points)).numpy(), answers, atol=1e-5)
    top = float(answers.max())
    for bound, status in ((top + 1, "proved"), (top - 0.05, "refuted")):
        asked = parse_property(PROPERTY.format(bound=f"{bound:.6f}"), "p.vnnlib")
        (outcome,) = verify([asked], networks={"f": network})
        assert outcome.status == status
        assert outcome.verdict.certificate is not None


class Attending(nn.Module):
    """One head over three tokens, with a layer norm before it and GELU after it."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(3, 4), nn.Parameter(torch.randn(3, 4))
        self.norm, self.qkv, self.out = nn.LayerNorm(4), nn.Linear(4, 12), nn.Linear(4, 2)

    def forward(self, x):
        h = self.tokens(x) + self.places
        q, k, v = self.qkv(self.norm(h)).chunk(3, -1)
        z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(functional.gelu(h + z)[:, -1])


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_a_transformer_that_torch_exported_is_proved_and_refuted(tmp_path, semantics):
    pytest.importorskip("onnx")
    from assay.proofs.onnx_files import read_onnx

    torch.manual_seed(0)
    module = Attending().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(1, 3, dtype=torch.long)
        torch.onnx.export(module, example, tmp_path / "t.onnx", dynamo=False, opset_version=17)
    network = read_onnx(tmp_path / "t.onnx")
    with torch.no_grad():
        top = float(module(torch.cartesian_prod(*[torch.arange(3)] * 3))[:, 0].max())
    for bound, status in ((top + 0.05, "proved"), (top - 0.05, "refuted")):
        asked = claim(f"f(x)[0] <= {bound:.6f}", {"x[0..2]": "token 0..2"}, semantics=semantics)
        (outcome,) = verify([asked], networks={"f": network})
        assert outcome.status == status
        assert outcome.verdict.certificate is not None
        assert outcome.verdict.trusted == ()


def test_networks_of_equal_weights_are_not_taken_for_one_another():
    weights = torch.tensor([[1.0]])
    layers = [nn.Sequential(nn.Linear(1, 1, bias=False), act) for act in (nn.ReLU(), nn.LeakyReLU(0.5))]
    for module in layers:
        module[0].weight.data = weights.clone()
    f, g = (Network(n, m, "regression", "real", (1,)) for n, m in zip("fg", layers, strict=True))
    assert f.weights_digest == g.weights_digest
    same = claim("f(x)[0] == g(x)[0]", {"x": "real -1..1"}, semantics="real")
    (outcome,) = verify([same], networks={"f": f, "g": g})
    assert outcome.status == "refuted"


def test_numbers_of_a_property_are_exact():
    found = parse_property(PROPERTY.format(bound="1e-3"), "p.vnnlib")
    assert found.variables[0].lo == -Fraction("0.303531156")
    assert found.variables[1].hi == Fraction(1, 10)
    assert found.semantics == "float32"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(assert (<= X_0 1))", "unknown name"),
        ("(declare-const X_0 Real)(assert (<= X_0 1))", "without bounds"),
        ("(declare-const X_1 Real)", "expected the next"),
        ("(declare-const X_0 Int)", "sort Real"),
        ("(push 1)", "expected declare-const"),
        ("(declare-const X_0 Real)(assert (<= X_0 1))(assert (>= X_0 0))(assert (<= Y_3 1))", "Y_3"),
        ("(declare-const X_0 Real", "not closed"),
        ("hello", "in parentheses"),
        ("(" * 100_000, "deep"),
        ("(declare-const X_0 Real)(assert (<= X_0 1e999999999))", "too large"),
    ],
)
def test_bad_properties_are_refused_with_their_line(text, told):
    with pytest.raises(InputError, match=told):
        parse_property(text, "bad.vnnlib")


@given(st.text(alphabet="()XY_01 <=>+-*andorse;\n.", max_size=80))
def test_no_text_crashes_the_reader(text):
    with contextlib.suppress(InputError):
        parse_property(text, "fuzz.vnnlib")


def test_what_is_no_onnx_file_is_refused(tmp_path):
    pytest.importorskip("onnx")
    from assay.proofs.onnx_files import read_onnx

    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07not an onnx file")
    with pytest.raises(InputError, match="bad"):
        read_onnx(tmp_path / "bad.onnx")
