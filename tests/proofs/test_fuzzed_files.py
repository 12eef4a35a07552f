"""A few hundred of the files that benchmarks/proofs_fuzz.py tries a hundred thousand of."""

import math
import runpy
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from assay.proofs import InputError, UnsupportedError, claim, lower, read_onnx, verify
from assay.proofs.networks import ClaimNetworks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(BENCHMARKS)
    FUZZ = runpy.run_path(str(BENCHMARKS / "proofs_fuzz.py"))
NETWORKS = FUZZ["networks"]()


@pytest.fixture(scope="module")
def seeds():
    pytest.importorskip("onnx")
    return FUZZ["onnx_seeds"]()


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """In an empty folder, where code that runs would leave a trace; no longer than a minute."""
    monkeypatch.chdir(tmp_path)
    signal.alarm(60)
    yield tmp_path
    signal.alarm(0)
    assert not list(tmp_path.glob(f"{FUZZ['CANARY']}*"))


@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # torch's, of a norm of float64 with float32 weights
@pytest.mark.parametrize("kind", ["claims", "vnnlib", "onnx", "words", "operators"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(k=st.integers(10**6, 10**9))
def test_files_are_read_or_refused(kind, k, limited, seeds):
    assert FUZZ["tried"](kind, k, NETWORKS, seeds, limited) in ("read", "does not fit", "refused")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(k=st.integers(10**6, 10**9))
def test_what_is_read_comes_to_a_verdict(k, limited, seeds):
    assert FUZZ["tried"]("verdicts", k, NETWORKS, seeds, limited) in ("told", "refused")


def built(tmp_path, nodes, shape, **constants):
    """A network of some nodes from x to y."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    inputs = [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, *shape])]
    outputs = [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", "m"])]
    graph = make.make_graph([make.make_node(*node[:3], **node[3]) for node in nodes], "n", inputs, outputs)
    graph.initializer.extend(tensors)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 21)])
    (tmp_path / "n.onnx").write_bytes(model.SerializeToString())
    return read_onnx(tmp_path / "n.onnx")


def faults(network, show):
    """What is wrong with a claim about a network."""
    size = math.prod(network.in_shape)
    asked = claim(show, {f"x[0..{size - 1}]": "real -1..1"})
    return [str(fault) for fault in ClaimNetworks(None, {"f": network}).faults(asked)]


@pytest.mark.parametrize(("low", "high"), [(3.0, -1.0), (2.0, 2.0), (np.inf, -1.0), (-1.0, 3.0)])
def test_a_clip_from_above_to_below_gives_its_upper_end(tmp_path, low, high):
    ends = {"low": np.float32(low), "high": np.float32(high)}
    network = built(tmp_path, [("Clip", ["x", "low", "high"], ["y"], {})], (3,), **ends)
    x = torch.tensor([[-5.0, 0.5, 9.0]])
    assert network(x).tolist() == x.clamp(low, high).tolist()
    if math.isfinite(low):
        (outcome,) = verify([claim(f"f(x)[2] <= {high}", {"x[0..2]": "real -9..9"})], networks={"f": network})
        assert outcome.status == "proved"


def test_an_output_without_numbers_is_told(tmp_path):
    ends = {"first": np.array([2]), "last": np.array([1]), "axis": np.array([1])}
    network = built(tmp_path, [("Slice", ["x", "first", "last", "axis"], ["y"], {})], (3,), **ends)
    with pytest.raises(UnsupportedError, match="the output has no numbers"):
        lower(network.module, network.in_shape)


def test_a_slice_may_end_anywhere(tmp_path, recwarn):
    far = {
        "first": np.array([-(2**63)]),
        "last": np.array([2**63 - 1]),
        "axis": np.array([1]),
        "by": np.array([2**62]),
    }
    network = built(tmp_path, [("Slice", ["x", "first", "last", "axis", "by"], ["y"], {})], (3,), **far)
    assert network(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[1.0]]
    assert not faults(network, "f(x)[0] <= 1")
    assert not recwarn.list


def test_constants_that_onnx_cannot_compute_are_told(tmp_path):
    nodes = [("Max", [""], ["c"], {}), ("Add", ["x", "c"], ["y"], {})]
    with pytest.raises(InputError, match="Max of constants cannot be computed"):
        built(tmp_path, nodes, (3,))


def test_complex_constants_are_told(tmp_path):
    nodes = [("Pad", ["x", "widths"], ["y"], {})]
    with pytest.raises(InputError, match="Pad reads complex numbers"):
        built(tmp_path, nodes, (3,), widths=np.array([0, 1, 0, 1j], dtype=np.complex64))


@pytest.mark.parametrize(
    ("kind", "told"), [("InstanceNormalization", {}), ("GroupNormalization", {"num_groups": 3})]
)
def test_norms_of_single_numbers_are_told(tmp_path, kind, told):
    """torch runs them on batches, but not on a datum alone."""
    ones = {name: np.ones(3, dtype=np.float32) for name in ("scale", "shift")}
    with pytest.raises(InputError, match=r"normalises 3 groups of data of shape .3,., one number each"):
        built(tmp_path, [(kind, ["x", "scale", "shift"], ["y"], told)], (3,), **ones)
    with pytest.raises(UnsupportedError, match="alone than in a batch"):
        lower(nn.GroupNorm(3, 3), (3,))


def test_claims_about_many_outputs_take_no_longer_than_their_text(tmp_path):
    widths = np.array([0, 0, 0, 357])
    network = built(tmp_path, [("Pad", ["x", "widths"], ["y"], {"mode": "wrap"})], (3,), widths=widths)
    start = time.process_time()
    assert not faults(network, "max(f(x)) < sum(f(x)) + 1000")
    assert time.process_time() - start < 20
    wide = built(tmp_path, [("Pad", ["x", "widths"], ["y"], {})], (3,), widths=np.array([0, 0, 0, 1 << 18]))
    (told,) = faults(wide, "f(x)[0] <= 1")
    assert "f gives 262147 numbers, at most 262144 can be spoken of" in told


def test_a_fault_of_a_reader_would_be_seen(limited, seeds, monkeypatch):
    def broken(text, path):
        raise ZeroDivisionError

    monkeypatch.setitem(FUZZ["tried"].__globals__, "parse_file", broken)
    with pytest.raises(ZeroDivisionError):
        FUZZ["tried"]("claims", 0, NETWORKS, seeds, limited)
