from __future__ import annotations

import json

import numpy as np
import pytest
from assay.explanations.circuits import Graph
from assay.mdl import load_report
from assay.models import zoo
from assay.proofs import check_capacity

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


def told(done):
    assert done.exit_code == 0, done.output
    return json.loads(done.output)["figures"]


def test_capacity_leaves_a_certificate(run, tmp_path):
    run("trial", "capacity", "zoo:tms-5-2", "--weight", "W", "--certificate", "c.json")
    total, rank = check_capacity.check(json.loads((tmp_path / "c.json").read_text()))
    assert rank == 2
    assert 1.99 < total <= 2


def test_capacity_is_a_share_of_bits_where_no_weight_is_an_embedding(run):
    words = [
        "trial",
        "capacity",
        "zoo:tms-5-2",
        "--limit",
        "64",
        "--json",
        "--explain",
        "components,from=truth",
    ]
    mechanism = json.loads(run(*words).output)
    assert mechanism["figures"]["parts"] == pytest.approx(sum(mechanism["shares"]))
    assert len(mechanism["shares"]) == 5
    site = json.loads(run("trial", "capacity", *DIGITS, "--explain", "pca,k=4", "--json").output)
    assert sum(site["shares"]) == pytest.approx(1.0)
    shown = run("trial", "capacity", "program:sort", "--limit", "8", "--explain", "circuit,from=truth")
    assert "blocks.0.attn.W_Q" in shown.output, shown.output
    both = run("trial", "capacity", "zoo:tms-5-2", "--weight", "W", "--explain", "network")
    assert both.exit_code == 2
    assert "and not both" in both.output


def test_circuits_and_codes_are_compared(run, tmp_path):
    words = ["trial", "edges", "program:sort", "--truth", "circuit,from=truth", "--limit", "8", "--json"]
    same = told(run(*words, "--explain", "circuit,from=truth"))
    assert (same["precision"], same["recall"]) == (1.0, 1.0)
    less = told(run(*words, "--explain", "circuit,method=magnitude,keep=0.1"))
    assert less["precision"] < 1
    words = ["trial", "likeness", *DIGITS, "--json", "--explain", "neurons", "--explain"]
    assert told(run(*words, "neurons"))["cka"] == pytest.approx(1.0)
    assert told(run(*words, "pca,k=2"))["cka"] < 0.9
    assert "rsa" not in told(run(*words, "lookup"))  # a list has all data equally far


def test_codes_of_a_switch_sae_and_areas_of_a_file_with_scores(run, tmp_path):
    site = ["zoo:byte-lm", "--site", "blocks.1.hook_resid_post", "--limit", "2", "--json"]
    words = [
        "trial",
        "likeness",
        *site,
        "--explain",
        "sae:byte-lm-switch-768",
        "--explain",
        "sae:byte-lm-sae-256",
    ]
    found = told(run(*words))
    assert found["router_own_1"] > found["router_other_1"]
    assert 0 < found["cka"] < 1
    network = zoo.load("max-of-4")
    graph, config = Graph.of(network), network.module.config
    edges = {name: {"score": float(i), "in_graph": True} for i, name in enumerate(graph.edges(graph.real))}
    about = {"n_layers": config.n_layers, "n_heads": config.n_heads, "d_model": config.d_model}
    nodes = {name: {"in_graph": True} for name in (*graph.sources, "logits")}
    (tmp_path / "c.json").write_text(json.dumps({"cfg": about, "nodes": nodes, "edges": edges}))
    words = ["trial", "areas", "zoo:max-of-4", "--circuit", "c.json", "--limit", "8", "--json"]
    assert told(run(*words))["trivial"] == 0.25
    bare = {name: {"in_graph": True} for name in edges}
    (tmp_path / "c.json").write_text(json.dumps({"cfg": about, "nodes": nodes, "edges": bare}))
    assert "has no scores of edges" in run(*words).output


def test_directions_are_projected_out_and_moved_along(run, tmp_path):
    np.save(tmp_path / "d.npy", np.eye(32, dtype=np.float32))
    done = told(run("trial", "project", *DIGITS, "--directions", "d.npy", "--json"))
    assert done["divergence"] == pytest.approx(done["random"], rel=1e-3)
    words = ["trial", "sensitivity", *DIGITS, "--explain", "pca,k=4", "--directions", "d.npy", "--json"]
    real = told(run(*words))
    assert {"along_PCA", "error_of_PCA", "along_directions"} <= real.keys()
    drawn = told(run(*words, "--base", "covariance-random"))
    assert drawn["isotropic"] > real["isotropic"]


def test_a_rewrite_tries_the_rest(run):
    same = told(run("trial", "rewrite", "zoo:digits", "--with", "zoo:digits", "--limit", "60", "--json"))
    assert same["resample_divergence"] == same["zero_divergence"] == 0.0


def test_parts_are_tried_with_positions_too(run):
    flat = told(
        run("trial", "parts", "zoo:tms-5-2", "--explain", "components,from=truth", "--limit", "40", "--json")
    )
    assert flat["divergence"] < 0.1
    assert (flat["unseen"], flat["twins"]) == (0.0, 0.0)
    bad = run("trial", "parts", "zoo:digits", "--explain", "network", "--limit", "20")
    assert bad.exit_code == 2
    assert "expected components" in bad.output


def test_all_trials_of_named_models_go_into_reports(run, tmp_path):
    made = run(
        "score",
        "zoo:digits",
        "--explain",
        "network",
        "--setting",
        "mechanism",
        "--part-bits",
        "8",
        "--limit",
        "20",
        "--out",
        "r.json",
    )
    assert made.exit_code == 0, made.output
    words = ["trial", "all", "zoo:digits", "zoo:tms-5-2", "--processes", "1", "--limit", "40", "--json"]
    done = run(*words, "--report", "r.json")
    models = json.loads(done.output[: done.output.rindex("}") + 1])["models"]
    assert models.keys() == {"digits", "tms-5-2"}
    assert all(m["control_everything"] == 0.0 for m in models.values())
    assert load_report(tmp_path / "r.json").readings["trial_all_masks_adversary"] > 0
    shown = run("compare", "r.json", "--html", "p.html")
    assert "all masks adversary" in shown.output
    assert "all masks adversary" in (tmp_path / "p.html").read_text(encoding="utf-8")


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
