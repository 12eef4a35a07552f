from __future__ import annotations

import json

import numpy as np
import pytest
from assay.mdl import load_report
from assay.models import zoo

DIGITS = ["zoo:digits", "--site", "layers.1", "--limit", "200"]


def test_scrubbing_says_what_is_sufficient(run):
    good = run("trial", "scrub", *DIGITS, "--important", "all", "--json")
    assert good.exit_code == 0, good.output
    told = json.loads(good.output)
    assert told["figures"]["divergence"] == 0.0
    assert told["figures"]["loss_recovered"] == 1.0
    assert told["sufficient"]
    bad = run("trial", "scrub", *DIGITS, "--important", "none", "--joint")
    assert "NOT sufficient" in bad.output
    assert "resample, joint" in bad.output


def test_compute_is_read_from_a_curve(run, tmp_path):
    (tmp_path / "c.csv").write_text("compute,loss\n1,2.4\n10,0.5\n100,0.000001\n")
    words = ["trial", "scrub", *DIGITS, "--important", "all", "--compute-curve", "c.csv", "--json"]
    assert json.loads(run(*words).output)["figures"]["compute_recovered"] == 1.0


def test_figures_go_into_a_report(run, tmp_path):
    made = run(
        "score",
        "zoo:digits",
        "--setting",
        "mechanism",
        "--explain",
        "network",
        "--part-bits",
        "8",
        "--limit",
        "50",
        "--out",
        "r.json",
    )
    assert made.exit_code == 0, made.output
    done = run("trial", "masks", *DIGITS, "--important", "top:0.5", "--report", "r.json")
    assert done.exit_code == 0, done.output
    assert load_report(tmp_path / "r.json").readings["trial_masks_adversary"] > 0
    other = run("trial", "capacity", "zoo:tms-5-2", "--weight", "W", "--report", "r.json")
    assert other.exit_code == 2
    assert "is about digits" in other.output


def test_sensitivity_draws_a_chart(run, tmp_path):
    done = run("trial", "sensitivity", *DIGITS, "--later", "layers.2", "--plot", "p.html")
    assert done.exit_code == 0, done.output
    assert "to real other" in done.output
    assert (tmp_path / "p.html").stat().st_size > 10_000


def test_capacity_is_proved_and_recovery_read(run, tmp_path):
    done = run("trial", "capacity", "zoo:tms-5-2", "--weight", "W")
    assert done.exit_code == 0, done.output
    assert "proved in exact arithmetic" in done.output
    np.save(tmp_path / "d.npy", zoo.load("tms-5-2").parameters()["W"].T.numpy())
    told = run("trial", "recovery", "zoo:tms-5-2", "--weight", "W", "--directions", "d.npy", "--json")
    assert json.loads(told.output)["figures"]["matched_cosine"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scrub", *DIGITS, "--important", "99"], "expected numbers 0 to 31"),
        (["scrub", *DIGITS, "--important", "top:2"], "between 0 and 1"),
        (["scrub", "zoo:digits", "--site", "layer"], "has no site 'layer'"),
        (["capacity", "zoo:digits", "--weight", "W"], "has no such matrix"),
        (["sensitivity", *DIGITS, "--length", "-1"], "expected a positive number"),
    ],
)
def test_bad_input_is_one_clear_error(run, words, said):
    done = run("trial", *words)
    assert done.exit_code == 2
    assert said in done.output
