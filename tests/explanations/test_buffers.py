"""Buffers that were learned: the statistics of a BatchNorm layer are told as weights are."""

import numpy as np
import pytest
import torch
from assay.explanations import EdgeCircuit, SAECoefficients, SAEMechanism, WholeNetwork
from assay.explanations.rebuilt import Rebuilt
from assay.explanations.receiving import receiver
from assay.explanations.sae.mechanism import weights_behind
from assay.mdl import GridTarget, MechanismProblem, score_mechanism
from assay.mdl.audit import audit_mechanism
from assay.mdl.parts import send_parts
from assay.models import Network, load
from torch import nn

from .conftest import sae

FACTORY = """
import torch
from assay.models import Network
from torch import nn


def normed():
    torch.manual_seed(1)
    norms = [nn.BatchNorm1d(6), nn.BatchNorm1d(12)]
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 3)
    first, last = nn.Linear(6, 12), nn.Linear(12, 3)
    module = nn.Sequential(norms[0], first, norms[1], nn.ReLU(), last)
    return Network("normed", module, "regression", "real", (6,))
"""
STATISTICS = {"0.running_mean", "0.running_var", "2.running_mean", "2.running_var"}


@pytest.fixture
def normed(tmp_path, monkeypatch) -> Network:
    (tmp_path / "factory_of_norms.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    return load("python:factory_of_norms:normed")


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(80, 6, generator=torch.Generator().manual_seed(2))


def explanations(network: Network, x: torch.Tensor):
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in network.parameters().items() if p.ndim > 1}
    own = sae(site="3")
    yield WholeNetwork(network)
    yield EdgeCircuit(network, masks)
    yield SAEMechanism(own, network)
    yield SAECoefficients(own, network, x)


def test_running_statistics_are_weights_and_counters_are_not(normed):
    names = normed.parameters().keys()
    assert names >= STATISTICS
    assert not any(name.endswith("num_batches_tracked") for name in names)


def test_every_kind_is_charged_and_its_stream_decodes_without_the_network(normed, x):
    problem = MechanismProblem(x, normed(x), GridTarget(0.01))
    for explanation in explanations(normed, x):
        score = score_mechanism(explanation, problem, 12)
        known = [receiver(explanation, normed)]
        assert audit_mechanism(explanation, problem, score, known)["decodes"] is True
    assert {t.name for t in WholeNetwork(normed).parts().tensors} >= STATISTICS


def test_what_is_not_told_of_the_statistics_is_zero(normed, x):
    lacking = {n: p[None] for n, p in normed.parameters().items() if n != "2.running_mean"}
    rebuilt = Rebuilt(normed)(lacking)
    assert not rebuilt.module[2].running_mean.any()
    assert not torch.allclose(rebuilt(x), normed(x), atol=1e-3)


def test_only_the_statistics_behind_a_site_are_told_with_its_coefficients(normed, x):
    assert set(weights_behind(normed, "3", x[:1])) == {"4.weight", "4.bias"}
    behind = {"2.weight", "2.bias", "2.running_mean", "2.running_var", "4.weight", "4.bias"}
    assert set(weights_behind(normed, "1", x[:1])) == behind


def test_a_statistic_behind_a_relu_that_is_off_is_told(x):
    module = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        module[1].bias.fill_(-100.0)
    network = Network("off", module, "regression", "real", (6,))
    assert {"1.running_mean", "1.running_var"} <= set(weights_behind(network, "0", x[:1]))


def test_a_buffer_that_no_file_holds_belongs_to_the_architecture():
    module = nn.Linear(2, 2)
    module.register_buffer("told", torch.ones(3))
    module.register_buffer("known", torch.ones(3), persistent=False)
    module.register_buffer("mask", torch.ones(3, dtype=torch.bool))
    network = Network("buffers", module, "regression", "real", (2,))
    assert list(network.parameters()) == ["weight", "bias", "told"]


def test_an_onnx_network_pays_for_its_batch_normalisation(tmp_path, x):
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    made = {"W": (6, 12), "s": (12,), "b": (12,), "m": (12,), "V": (12, 3)}
    constants = {name: rng.normal(size=shape).astype(np.float32) for name, shape in made.items()}
    constants["v"] = rng.uniform(0.5, 2, 12).astype(np.float32)
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "W"], ["h"]),
        onnx.helper.make_node("BatchNormalization", ["h", "s", "b", "m", "v"], ["n"]),
        onnx.helper.make_node("Relu", ["n"], ["r"]),
        onnx.helper.make_node("MatMul", ["r", "V"], ["y"]),
    ]
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", real, [1, 6])],
        [onnx.helper.make_tensor_value_info("y", real, [1, 3])],
        [onnx.numpy_helper.from_array(constants[name], name) for name in "WsbmvV"],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "n.onnx")
    network = load(str(tmp_path / "n.onnx"))
    statistics = [n for n in network.parameters() if n.rpartition(".")[2].startswith("running_")]
    assert len(statistics) == 2
    problem = MechanismProblem(x, network(x), GridTarget(0.01))
    explanation = WholeNetwork(network)
    score = score_mechanism(explanation, problem, 12)
    checks = audit_mechanism(explanation, problem, score, [receiver(explanation, network)])
    assert checks["decodes"] is True
    trained = sum(p.numel() for p in network.module.parameters())
    assert send_parts(explanation.parts(), 8).numbers.tolist() == [trained + 2 * 12, 0]
