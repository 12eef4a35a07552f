"""Certificates at hand, plans, hard limits, and what verdicts prove of a report."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from assay.mdl import load_reports
from assay.mdl.proved import worst_correction
from assay.models import Network, load, save
from torch import nn

CLAIMS = """
model = "n.safetensors"
[[claim]]
name = "bounded"
for = { "x[0..1]" = "real -1..1" }
show = "abs(f(x)[0]) <= 2"
semantics = "float32"
[[claim]]
name = "never above"
for = { "x[0..1]" = "real -1..1" }
show = "f(x)[0] <= 0"
[[claim]]
name = "near"
for = { "x[0..1]" = "real -1..1" }
within = { explanation = "e.safetensors", epsilon = 0.3 }
"""


def network(bias: float) -> Network:
    """relu(x0) + relu(x1 - 1/2) / 2 + bias."""
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(2))
        module[0].bias.copy_(torch.tensor([0.0, -0.5]))
        module[2].weight.copy_(torch.tensor([[1.0, 0.5]]))
        module[2].bias.fill_(bias)
    return Network("n", module, "regression", "real", (2,))


@pytest.fixture
def folder(tmp_path):
    save(network(0.0), tmp_path / "n.safetensors")
    save(network(0.25), tmp_path / "e.safetensors")
    (tmp_path / "c.claims.toml").write_text(CLAIMS)
    return tmp_path


def verified(run, *options):
    done = run("verify", "c.claims.toml", "--json", "--certificates", "certs", *options)
    assert done.exit_code == 1, done.output
    return {claim["name"]: claim for claim in json.loads(done.stdout)}


def test_an_unchanged_claim_is_checked_again_and_a_changed_bit_is_proved_again(run, folder):
    first = verified(run)
    assert [c["status"] for c in first.values()] == ["proved", "refuted", "proved"]
    assert not any(c["rechecked"] for c in first.values())
    again = verified(run)
    assert all(c["rechecked"] for c in again.values())
    digests = [c["verdict"]["certificate"]["digest"] for c in first.values()]
    assert digests == [c["verdict"]["certificate"]["digest"] for c in again.values()]
    assert (
        "checked again, not proved again" in run("verify", "c.claims.toml", "--certificates", "certs").stdout
    )
    assert not any(c["rechecked"] for c in verified(run, "--no-cache").values())

    changed = network(0.0)
    with torch.no_grad():
        changed.module[2].bias.copy_(torch.nextafter(torch.zeros(1), torch.ones(1)))
    save(changed, folder / "n.safetensors")
    assert not any(c["rechecked"] for c in verified(run).values())


def test_a_certificate_at_hand_is_believed_no_more_than_a_new_one(run, folder):
    verified(run)
    (held,) = (folder / "certs").glob("bounded-*.json")
    data = json.loads(held.read_text())
    data["evidence"] = data["evidence"] * 2
    held.write_text(json.dumps(data))
    (broken,) = (folder / "certs").glob("near-*.json")
    broken.write_text("[" * 100_000)
    found = verified(run)
    assert found["bounded"]["status"] == "proved"
    assert not found["bounded"]["rechecked"]
    assert any("rejected" in line for line in found["bounded"]["log"])
    assert not found["near"]["rechecked"]


def test_a_plan_tells_stages_costs_and_reasons_and_runs_none(run, folder):
    done = run("verify", "c.claims.toml", "--explain-plan", "--json", "--budget", "10s")
    assert done.exit_code == 0
    plan = json.loads(done.stdout)[0]
    assert [step["stage"] for step in plan["steps"]] == ["falsification", "bounds and splitting", "z3"]
    assert all(0 < step["seconds"] <= 10 and step["cost"] > 0 and step["why"] for step in plan["steps"])
    assert {"certificate at hand", "exact sweep in torch"} == {left["stage"] for left in plan["left_out"]}
    assert not (folder / "certs").exists()
    verified(run)
    told = run("verify", "c.claims.toml", "--explain-plan", "--certificates", "certs").stdout
    assert "1. certificate at hand" in told
    assert "multiplications" in told


def test_hard_limits_end_in_unknown_with_the_cause(folder, monkeypatch):
    from assay.proofs import claim, verify
    from assay.proofs.stages import falsify

    asked = claim("f(x)[0] <= 5", {"x[0..1]": "real -1..1"})
    model = load(str(folder / "n.safetensors"))

    def spin(search):
        while True:
            pass

    monkeypatch.setattr(falsify, "falsify", spin)
    (late,) = verify([asked], networks={"f": model}, budget_s=0.01)
    assert (late.verdict.cause, late.verdict.stage) == ("timeout", "falsification")
    assert late.seconds < 5
    monkeypatch.setattr(falsify, "falsify", lambda search: torch.zeros(1 << 40))
    (large,) = verify([asked], networks={"f": model}, memory=1 << 28)
    assert large.verdict.cause == "memory"
    assert large.to_dict()["verdict"]["cause"] == "memory"


def test_a_proved_distance_bounds_the_correction_in_the_report(run, folder):
    np.save(folder / "x.npy", (np.random.default_rng(0).random((64, 2)) * 2 - 1).astype("float32"))
    options = ["--setting", "mechanism", "--delta", "0.1", "--part-bits", "8", "--data", "x.npy"]
    scored = run("score", "n.safetensors", *options, "--explain", "network", "--out", "r.json")
    assert scored.exit_code == 0, scored.output
    done = run("verify", "c.claims.toml", "--report", "r.json")
    assert done.exit_code == 1
    assert "at most" in done.stdout
    claims = {claim["name"]: claim for claim in json.loads((folder / "r.json").read_text())["claims"]}
    assert [c["status"] for c in claims.values()] == ["proved", "refuted", "proved"]
    near = claims["near"]
    assert near["proved_largest_residual"] == 4
    assert near["proved_bits_per_sample"] == pytest.approx(math.log2(9))
    assert near["measured_bits_per_sample"] >= 0
    assert len(near["certificate"]) == 64
    assert len(load_reports([folder / "r.json"])["claims"]) == 3


@pytest.mark.parametrize("seed", range(3))
def test_no_residual_exceeds_what_a_distance_allows(seed):
    rng = np.random.default_rng(seed)
    for delta, epsilon in [(0.1, 0.3), (0.25, 0.5), (1.0, 0.2), (0.5, 0.0)]:
        target = np.concatenate([rng.normal(size=20_000), np.arange(-40, 40) * delta / 2])
        distance = rng.choice([-1.0, 1.0], size=len(target)) * epsilon
        residual = np.round(target / delta) - np.round((target + distance) / delta)
        worst = worst_correction(Fraction(epsilon), delta, 3)
        assert abs(residual).max() <= worst.residual
        assert worst.bits == pytest.approx(3 * math.log2(2 * worst.residual + 1))
