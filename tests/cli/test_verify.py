from __future__ import annotations

import json
from pathlib import Path

import pytest

from .claim_texts import ANY, EQUAL, HEAD, TIGHT


@pytest.fixture
def claims(tmp_path):
    def write(*parts: str) -> Path:
        path = tmp_path / "c.claims.toml"
        path.write_text(HEAD + "".join(parts))
        return path

    return write


def test_proved_is_0_and_the_certificate_can_be_checked(run, claims, tmp_path):
    done = run("verify", claims(EQUAL), "--certificates", "certs")
    assert done.exit_code == 0, done.output
    assert "PROVED: equal" in done.stdout
    assert "1,000,001 entries" in done.stdout
    (certificate,) = (tmp_path / "certs").glob("*.json")
    assert run("check", certificate).exit_code == 0
    certificate.write_text(certificate.read_text().replace('"proved"', '"refuted"'))
    rejected = run("check", certificate)
    assert rejected.exit_code == 1
    assert "REJECTED" in rejected.stdout


def test_a_folder_stands_for_its_certificates(run, claims, tmp_path):
    run("verify", claims(EQUAL, ANY), "--certificates", "certs")
    checked = run("check", "certs")
    assert checked.exit_code == 0
    assert checked.stdout.count(": accepted: ") == 2
    (tmp_path / "empty").mkdir()
    refused = run("check", "empty")
    assert refused.exit_code == 2
    assert "empty: there is no certificate (*.json) in this folder" in refused.output


def test_refuted_is_1_and_shows_where(run, claims):
    done = run("verify", claims(EQUAL, ANY))
    assert done.exit_code == 1
    assert "REFUTED: any" in done.stdout
    assert "counterexample: x1 = " in done.stdout
    made = json.loads(run("verify", claims(EQUAL, ANY), "--json").stdout)
    assert [claim["status"] for claim in made] == ["proved", "refuted"]
    witness = made[1]["verdict"]["witness"]["inputs"]
    assert abs(int(witness["x1"]) - int(witness["x2"])) > 0


def test_unknown_is_3_unless_it_is_allowed(run, claims):
    done = run("verify", claims(TIGHT), "--budget", "1ms")
    assert done.exit_code == 3
    assert "UNKNOWN: tight" in done.stdout
    assert "stopped in" in done.stdout
    assert run("verify", claims(TIGHT), "--budget", "1ms", "--allow-unknown").exit_code == 0


def test_refuted_outweighs_unknown(run, claims):
    from assay.cli.verify import exit_code

    assert exit_code(["unknown", "refuted", "proved"], allow_unknown=True) == 1
    assert exit_code(["unknown", "proved"], allow_unknown=False) == 3
    assert exit_code([], allow_unknown=False) == 0


def test_several_files_are_read_before_any_is_verified(run, claims, tmp_path):
    (tmp_path / "bad.claims.toml").write_text(HEAD + "[[claim]]\n")
    done = run("verify", claims(EQUAL), "bad.claims.toml", "--certificates", "certs")
    assert done.exit_code == 2
    assert not (tmp_path / "certs").exists()


QUERY = """(vnnlib-version <2.0>)
(declare-network f (declare-input A float32 [1,2]) (declare-output B float32 [1,1]))
(declare-network g (isomorphic-to f) (declare-input C float32 [1,2]) (declare-output D float32 [1,1]))
(assert (and (<= A[0,0] 1) (>= A[0,0] 0) (<= A[0,1] 1) (>= A[0,1] 0) (== A[0,0] C[0,0]) (== A[0,1] C[0,1])))
(assert (> B[0,0] D[0,0]))
"""


def test_a_query_of_two_onnx_networks(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    import numpy as np

    for name, bias in (("a", 0.0), ("b", 0.5)):
        weights = {"W": np.ones((2, 1), np.float32), "c": np.full(1, bias, np.float32)}
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Gemm", ["x", "W", "c"], ["y"])],
            name,
            [onnx.helper.make_tensor_value_info("x", 1, [1, 2])],
            [onnx.helper.make_tensor_value_info("y", 1, [1, 1])],
            [onnx.numpy_helper.from_array(value, key) for key, value in weights.items()],
        )
        onnx.save(onnx.helper.make_model(graph), tmp_path / f"{name}.onnx")
    (tmp_path / "q.vnnlib").write_text(QUERY)
    proved = run("verify", "--onnx", "f=a.onnx", "--onnx", "g=b.onnx", "--vnnlib", "q.vnnlib")
    assert proved.exit_code == 0, proved.output
    assert run("verify", "--onnx", "f=b.onnx", "--onnx", "g=a.onnx", "--vnnlib", "q.vnnlib").exit_code == 1
    unnamed = run("verify", "--onnx", "a.onnx", "--vnnlib", "q.vnnlib")
    assert unnamed.exit_code == 2
    assert "speaks of g" in unnamed.output
