"""The plug-in in pytest runs of its own: a test for each claim."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from .claim_texts import ANY, EQUAL, HEAD, TIGHT

pytest_plugins = ["pytester"]


@pytest.fixture
def start(pytester, monkeypatch):
    """Start pytest with our plug-in and no other, in another process: torch is imported but once."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return lambda *words: pytester.runpytest_subprocess("-p", "assay.cli.pytest_plugin", "-rA", *words)


def ini(pytester, **options: str) -> None:
    pytester.makeini("[pytest]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))


def test_each_claim_is_a_test_and_a_refuted_one_shows_its_counterexample(pytester, start):
    ini(pytester, assay_certificates="proofs")
    (pytester.path / "c.claims.toml").write_text(HEAD + EQUAL + ANY)
    result = start("--junitxml", "j.xml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "REFUTED: any*",
            "  counterexample: x1 = *",
            "  f(*) = * (replayed in torch)",
            "  at *c.claims.toml:10:1",
            "FAILED c.claims.toml::any - REFUTED: any*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    case = ElementTree.parse(pytester.path / "j.xml").find(".//testcase[@name='equal']")
    told = {entry.get("name"): entry.get("value") for entry in case.iter("property")}
    (proof,) = (pytester.path / "proofs").glob("equal-*.json")
    assert told == {"verdict": "proved", "certificate": json.loads(proof.read_text())["seal"]}


@pytest.mark.parametrize(("told", "came"), [("fail", "failed"), ("xfail", "xfailed")])
def test_unknown_is_what_the_project_says(pytester, start, told, came):
    ini(pytester, assay_unknown=told, assay_budget="1ms")
    (pytester.path / "c.claims.toml").write_text(HEAD + TIGHT)
    result = start()
    result.assert_outcomes(**{came: 1})
    result.stdout.fnmatch_lines(["*UNKNOWN: tight*"])


def test_faults_of_a_file_are_one_collection_error_without_a_traceback(pytester, start):
    (pytester.path / "c.claims.toml").write_text(HEAD + EQUAL.replace("x1 == x2", "x1 == y") + "[[claim]]\n")
    result = start()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*c.claims.toml:7:*", "*c.claims.toml:9:*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_model_that_is_missing_fails_its_claims_without_a_traceback(pytester, start):
    (pytester.path / "c.claims.toml").write_text(HEAD.replace("zoo:comparator", "lost.safetensors") + EQUAL)
    result = start()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*lost.safetensors: there is no such file*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("line", ["assay_unknown = perhaps", "assay_budget = soon"])
def test_an_ini_value_that_means_nothing_is_refused(pytester, start, line):
    pytester.makeini(f"[pytest]\n{line}\n")
    result = start()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{line.split()[0]}: *{line.split()[-1]}*"])


def test_nothing_heavy_is_imported_where_no_claims_are(pytester, start):
    pytester.makepyfile("""
        import sys
        def test_light():
            assert not {"torch", "numpy", "pandas", "sympy", "z3", "scipy"} & set(sys.modules)
    """)
    start().assert_outcomes(passed=1)
