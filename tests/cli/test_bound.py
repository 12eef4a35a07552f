"""``assay bound``: bounds, budgets, certificates, pictures, and what it refuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from assay.models import Network, Transformer, save
from assay.models.zoo import max_of_k
from assay.proofs import check_bound
from assay.proofs.strategies import certificates


@pytest.fixture
def model(tmp_path) -> Path:
    """A small model, as it comes out of initialisation."""
    import torch

    module = Transformer(max_of_k.architecture(3, 8))
    module.initialise(0.1, torch.Generator().manual_seed(0))
    path = tmp_path / "model.safetensors"
    save(Network("max-of-3", module, "categorical", "token", (3,), vocabulary=8), path)
    return path


def test_all_strategies_with_report_picture_and_certificate(run, model):
    done = run(
        "bound",
        model,
        "--out",
        "sub/r.json",
        "--plot",
        "sub/f.svg",
        "--certificates",
        "kept",
        "--budget",
        "1e7",
    )
    assert done.exit_code == 0, done.output
    assert "accuracy at least" in done.output
    report = json.loads(Path("sub/r.json").read_text())
    assert report["schema"] == "assay.bounds/1"
    assert report["shape"] == {"v": 8, "K": 3, "d_model": 32, "d_head": 32}
    assert report["sequences"] == str(8**3)
    chosen = next(row for row in report["bounds"] if row["strategy"] == report["best"])
    assert chosen["operations"] <= 1e7
    assert int(chosen["certified"]) == max(
        int(r["certified"]) for r in report["bounds"] if r["operations"] <= 1e7
    )
    assert 0 <= report["quality"] <= 1
    assert check_bound.main([report["certificate"]]) == 0
    checked = run("check", report["certificate"])
    assert checked.exit_code == 0
    assert "accepted: right on at least" in checked.output
    ElementTree.parse("sub/f.svg")


def test_both_kinds_of_certificates_are_checked_together(run, model):
    assert (
        run(
            "bound", model, "--strategy", "split-together-threshold-blocks", "--certificates", "kept"
        ).exit_code
        == 0
    )
    (certificate,) = Path("kept").glob("*.json")
    Path("other.json").write_text("{}")
    checked = run("check", "other.json", certificate)
    assert checked.exit_code == 1
    assert "other.json: REJECTED" in checked.output
    assert "accepted: right on at least" in checked.output


def test_one_strategy_as_json(run, model):
    done = run(
        "bound", model, "--strategy", "split-together-threshold-blocks", "--semantics", "float32", "--json"
    )
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["bounds"]
    assert row["strategy"] == "split-together-threshold-blocks"
    assert sum(row["operations_by_part"].values()) == row["operations"]
    assert "common threshold" in row["argument"]


def test_a_search(run, model):
    done = run("bound", model, "--strategy", "search", "--budget", "1e6", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found["bounds"]) > 20
    assert all(r["operations"] <= 1e6 for r in found["bounds"] if r["strategy"] == found["best"])


def test_the_released_form_is_rejected_with_its_counterexample(run, model):
    done = run("bound", model, "--strategy", "sub-cubic-released")
    assert done.exit_code == 1
    assert "rejected" in done.stderr
    assert "w0 = " in done.stderr


def test_no_proof_fits_a_tiny_budget(run, model):
    done = run("bound", model, "--budget", "10")
    assert done.exit_code == 1
    assert "no proof fits the budget" in done.output


def test_sums_and_words_are_bounded_beyond_any_list(run):
    models = (
        ("sum-of-8", 59**8, "fourier"),
        ("word-of-6", 24**6, "pairs"),
        ("brackets-of-40", 2**40, "pairs"),
    )
    for model, words, strategy in models:
        done = run("bound", f"zoo:{model}", "--strategy", strategy, "--certificates", "kept", "--json")
        assert done.exit_code == 0, done.output
        report = json.loads(done.stdout)
        assert report["bounds"][0]["certified"] == report["sequences"] == str(words)
        assert report["shape"]["n"] ** report["shape"]["K"] == words
        checked = run("check", report["certificate"])
        assert checked.exit_code == 0
        assert f"right on at least {words} of {words} words" in checked.output


def test_products_are_drawn_without_published_points_of_others(run):
    args = ("--strategy", "fourier", "--semantics", "float32", "--plot", "f.svg", "--out", "r.json")
    assert run("bound", "zoo:sum-of-8", *args).exit_code == 0
    assert "published" not in Path("f.svg").read_text().replace(".published", "")
    assert json.loads(Path("r.json").read_text())["shape"] == {
        "automaton": "Z59",
        "n": 59,
        "K": 8,
        "width": 16,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["zoo:sum-of-8", "--strategy", "fouriers"], "did you mean fourier"),
        (["zoo:word-of-6", "--strategy", "fourier"], "S4, 24 symbols, expected sums"),
        (["zoo:digits"], "expected a transformer"),
        (["zoo:max-of-4", "--strategy", "cubik"], "did you mean cubic"),
        (["zoo:max-of-4", "--strategy", "brute-force"], "sound for semantics float32"),
        (["zoo:max-of-4", "--budget", "many"], "no number of operations"),
        (["zoo:max-of-4", "--budget", "nan"], "no number of operations"),
        (["zoo:max-of-4", "--plot", "f.gif"], "expected .svg or .html"),
        (["missing.safetensors"], "no such file"),
    ],
)
def test_bad_input_is_told(run, words, said):
    done = run("bound", *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_strategy_without_certificates_is_told(run, model):
    done = run(
        "bound", model, "--strategy", "brute-force", "--semantics", "float32", "--certificates", "kept"
    )
    assert done.exit_code == 2
    assert "has a certificate" in done.stderr


def test_a_certificate_that_does_not_check_is_our_fault(run, model, tmp_path, monkeypatch):
    refusing = tmp_path / "check_bound.py"
    refusing.write_text("raise SystemExit('no')")
    monkeypatch.setattr(certificates, "CHECKER", refusing)
    done = run("bound", model, "--strategy", "joint-apart-exact", "--certificates", "kept")
    assert done.exit_code == 4
    assert not list(Path("kept").glob("*.json"))
