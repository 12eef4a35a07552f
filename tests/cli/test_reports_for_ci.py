"""JUnit, SARIF, annotations and the job summary tell what ``assay verify`` found, where it stands."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import jsonschema
import junitparser
import pytest
from assay.cli.github import claim_annotations, summary
from assay.cli.judged import Judged, claim_places
from assay.cli.junit import junit
from assay.cli.sarif import sarif
from assay.proofs import Lengths, Outcome, Proved, Refuted, Unknown, Witness
from hypothesis import given
from hypothesis import strategies as st

LINES = """model = "zoo:comparator"
semantics = "float32"

[[claim]]
name = "equal"
for = { x1 = "integer 0..1000000", x2 = "integer 0..1000000" }
given = "x1 == x2"
show = "abs(f(x1, x2)[0]) <= 1e-6"

  [[claim]]
  name = "any, 100%: all"
  for = { x1 = "integer 0..1000000", x2 = "integer 0..1000000" }
  show = "abs(f(x1, x2)[0]) <= 1e-6"
"""
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "$schema": {"type": "string"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "properties": {"driver": {"required": ["name", "rules"]}},
                        "required": ["driver"],
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "required": ["ruleId", "ruleIndex", "level", "message", "locations"],
                            "properties": {
                                "message": {"required": ["text"], "properties": {"text": {"minLength": 1}}},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "locations": {"minItems": 1},
                            },
                        },
                    },
                },
            },
        },
    },
}
"""What the standard requires, of what we write (sections 3.13 to 3.27)."""


def outcome(verdict: Proved | Refuted | Unknown, name: str = "claim") -> Outcome:
    return Outcome(name, "for x in real 0..1: f(x) >= 0", verdict, 0.25, "split", Lengths(*[None] * 5))


REFUTED = Refuted(Witness({"x": Fraction(1, 4)}, {"f(1/4)": (-0.5,)}))
UNKNOWN = Unknown("split", "out of time", needed="more time")


def judged(verdict: Proved | Refuted | Unknown, name: str = "claim", file: str = "a.claims.toml") -> Judged:
    return Judged(outcome(verdict, name), Path(file), 4, 3)


@pytest.fixture
def verified(run, tmp_path, monkeypatch):
    """The command's run in a workflow, on one claim that holds and one that does not."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.claims.toml").write_text(LINES)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    return run("verify", "sub/c.claims.toml", "--junit", "out/j.xml", "--sarif", "out/s.sarif")


def test_every_report_tells_the_refuted_claim_and_its_place(verified, tmp_path):
    assert verified.exit_code == 1, verified.output
    (suite,) = junitparser.JUnitXml.fromfile(str(tmp_path / "out" / "j.xml"))
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("sub/c.claims.toml", 2, 1, 0)
    good, bad = suite
    assert good.is_passed
    (failure,) = bad.result
    assert (bad.name, failure.type) == ("any, 100%: all", "refuted")
    assert "counterexample: x1 = " in failure.text

    log = json.loads((tmp_path / "out" / "s.sarif").read_text())
    jsonschema.validate(log, SARIF)
    (result,) = log["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert result["ruleId"] == "assay/refuted"
    assert log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert place["artifactLocation"]["uri"] == "sub/c.claims.toml"
    assert place["region"] == {"startLine": 10, "startColumn": 3}

    (command,) = [line for line in verified.stdout.splitlines() if line.startswith("::")]
    assert command.startswith(
        "::error file=sub/c.claims.toml,line=10,col=3,title=refuted%3A any%2C 100%25%3A all::for x1 in"
    )
    assert "%0Acounterexample: x1 = " in command
    told = (tmp_path / "summary.md").read_text()
    assert told.startswith("before\n")
    assert "### Claims: 1 proved, 1 refuted" in told


def test_faults_of_a_claim_file_are_annotated_and_nothing_is_written(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (tmp_path / "c.claims.toml").write_text(LINES.replace("x1 == x2", "x1 == y"))
    done = run("verify", "c.claims.toml", "--junit", "j.xml")
    assert done.exit_code == 2
    assert done.stdout.startswith("::error file=c.claims.toml,line=7,")
    assert not (tmp_path / "j.xml").exists()


def test_json_keeps_standard_output_for_itself(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (tmp_path / "c.claims.toml").write_text(LINES)
    done = run("verify", "c.claims.toml", "--json")
    assert [claim["status"] for claim in json.loads(done.stdout)] == ["proved", "refuted"]
    assert done.stderr.startswith("::error file=")


def test_unknown_fails_unless_it_is_allowed():
    found = [judged(Proved(None)), judged(UNKNOWN)]
    strict = junitparser.JUnitXml.fromstring(junit(found, allow_unknown=False))
    lenient = junitparser.JUnitXml.fromstring(junit(found, allow_unknown=True))
    assert (strict.failures, strict.skipped) == (1, 0)
    assert (lenient.failures, lenient.skipped) == (0, 1)
    (suite,) = lenient
    assert [case.is_skipped for case in suite] == [False, True]
    assert claim_annotations(found, allow_unknown=False)[0].startswith("::error ")
    assert claim_annotations(found, allow_unknown=True)[0].startswith("::warning ")
    (result,) = json.loads(sarif(found))["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("assay/unknown", "warning")


def test_a_claim_that_moves_in_its_file_stays_the_same_alert():
    here, there = (Judged(outcome(REFUTED), Path("a.claims.toml"), line, 1) for line in (3, 30))
    first, second, other = (
        json.loads(sarif([one]))["runs"][0]["results"][0]["partialFingerprints"]
        for one in (here, there, judged(REFUTED, "another"))
    )
    assert first == second != other


@given(st.text(st.characters(codec="utf-8")), st.text("ab c%:,é/", min_size=1))
def test_no_name_breaks_a_report(name, file):
    one = [judged(REFUTED, name, file)]
    (suite,) = junitparser.JUnitXml.fromstring(junit(one, allow_unknown=False))
    assert suite.failures == 1
    jsonschema.validate(json.loads(sarif(one)), SARIF)
    (command,) = claim_annotations(one, allow_unknown=False)
    assert not set("\r\n") & set(command)
    assert command.count("::") >= 2
    head = command.split("::")[1]
    assert head.count(",") == 3
    assert summary(one).count("\n| **refuted** |") == 1
    row = next(line for line in summary(one).split("\n") if line.startswith("| **"))
    assert row.count("|") == 5


def test_places_are_those_of_the_headers():
    assert claim_places(LINES, 2) == [(4, 1), (10, 3)]
    assert claim_places("# [[claim]]\n[[ 'claim' ]]\n[[claim.lemma]]\n", 1) == [(2, 1)]
    assert claim_places("claim = [{}, {}]", 2) == [(1, 10), (1, 14)]


@pytest.mark.parametrize("words", [[], ["--onnx", "n.onnx"], ["--vnnlib", "p.vnnlib"]], ids=" ".join)
def test_what_is_verified_must_be_said(run, words):
    done = run("verify", *words)
    assert done.exit_code == 2
    assert "--onnx" in done.stderr
    assert "--vnnlib" in done.stderr


def test_properties_of_an_onnx_network(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weight = helper.make_tensor("W", floats, [1, 2], [1.0, -1.0])
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "W"], ["h"], transB=1), helper.make_node("Relu", ["h"], ["y"])],
        "difference",
        [helper.make_tensor_value_info("x", floats, [1, 2])],
        [helper.make_tensor_value_info("y", floats, [1, 1])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "n.onnx"))
    declared = "".join(f"(declare-const {v} Real)\n" for v in ("X_0", "X_1", "Y_0"))
    ranges = "".join(f"(assert (>= X_{i} 0.0))\n(assert (<= X_{i} 1.0))\n" for i in (0, 1))
    (tmp_path / "low.vnnlib").write_text(f"{declared}{ranges}(assert (<= Y_0 -0.5))\n")
    (tmp_path / "high.vnnlib").write_text(f"{declared}{ranges}(assert (>= Y_0 0.5))\n")
    words = ("verify", "--onnx", "n.onnx", "--vnnlib", "low.vnnlib")
    assert run(*words).exit_code == 0, run(*words).output
    done = run(*words, "--vnnlib", "high.vnnlib", "--sarif", "s.sarif")
    assert done.exit_code == 1
    assert "PROVED: low.vnnlib" in done.stdout
    assert "REFUTED: high.vnnlib" in done.stdout
    (result,) = json.loads((tmp_path / "s.sarif").read_text())["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "high.vnnlib"
