from __future__ import annotations

import json
from pathlib import Path

import pytest
from assay.explanations import Spec
from assay.explanations.frontiers import KNOBS

SITE = ["frontier", "zoo:tms-5-2", "--site", "hook_hidden", "--limit", "200"]


def test_a_knob_with_several_values_is_a_spec_for_each():
    specs = Spec.parse("pca,k=1:2,name=a").each(KNOBS)
    assert [s.options for s in specs] == [{"k": "1", "name": "a"}, {"k": "2", "name": "a"}]
    assert [Spec.parse(s.text) for s in specs] == specs
    assert Spec.parse("neurons").each(KNOBS) == [Spec.parse("neurons")]


def test_json_tables_and_page_say_the_same(run):
    words = [*SITE, "--explain", "neurons", "--explain", "pca,k=1:2", "--at", "0.05", "--at", "0.3"]
    told = json.loads(run(*words, "--json", "--out", "f.json", "--html", "f.html").stdout)
    assert json.loads(Path("f.json").read_text()) == told
    assert [f["name"] for f in told["frontiers"]] == ["neuron basis", "PCA"]
    assert told["levels"] == {"fvu": [0.05, 0.3]}
    assert {p["knob"] for p in told["frontiers"][1]["points"]} <= {"k=1", "k=2"}
    for f in told["frontiers"]:
        bits = f["bits_at"]["fvu"]
        assert bits[0] is None or bits[0] > bits[1]
    shown = run(*words).stdout
    assert "FVU 0.050" in shown
    assert f"{told['frontiers'][0]['bits_at']['fvu'][0]:.2f}" in shown
    page = Path("f.html").read_text()
    assert page.count("<svg") == 1
    assert "Gaussian, water-filling" in page
    assert "Operating points" in page


def test_kl_is_measured_downstream_of_a_language_model(run):
    done = run(
        "frontier", "zoo:byte-lm", "--site", "blocks.1.hook_resid_post", "--limit", "2", "--part-bits", "8",
        "--explain", "neurons", "--explain", "sae:byte-lm-sae-256,k=4:16", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["levels"]) == {"kl", "fvu"}
    for f in told["frontiers"]:
        kl = f["hulls"]["kl"]
        assert [x for x, _ in kl] == sorted(x for x, _ in kl)
        assert [b for _, b in kl] == sorted((b for _, b in kl), reverse=True)
    assert {p["knob"] for p in told["frontiers"][1]["points"]} == {"k=4", "k=16"}


def test_circuits_trade_edges_for_faithfulness(run):
    words = ["frontier", "zoo:tms-5-2", "--setting", "mechanism", "--delta", "0.05", "--limit", "200"]
    done = run(*words, "--explain", "circuit,keep=0.3:0.6:1.0", "--explain", "network", "--json")
    assert done.exit_code == 0, done.stderr
    circuit, network = json.loads(done.stdout)["frontiers"]
    assert {p["knob"] for p in circuit["points"]} == {"keep=0.3", "keep=0.6", "keep=1.0"}
    least = min(p["fvu"] for p in circuit["points"])
    assert least == pytest.approx(min(p["fvu"] for p in network["points"]), rel=0.2)


def test_a_missing_folder_is_told_before_anything_runs(run):
    done = run(*SITE, "--explain", "neurons", "--html", "no/f.html")
    assert done.exit_code == 2
    assert "there is no folder no" in done.stderr


def test_a_knob_that_an_sae_does_not_have_is_refused(run):
    done = run(
        "frontier", "zoo:byte-lm", "--site", "blocks.1.hook_resid_post", "--limit", "1",
        "--explain", "sae:byte-lm-sae-256,k=4,threshold=0.1",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "k=4, threshold=0.1" in done.stderr
