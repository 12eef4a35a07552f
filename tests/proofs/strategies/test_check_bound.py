"""The second stand-alone checker: it runs alone, agrees with the prover, rejects every tampered file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from assay.proofs import InputError, check_bound
from assay.proofs.strategies import CHECKER, RejectedCertificate, Subject, apply, best, certify, named, search
from assay.proofs.strategies import certificates as writing
from safetensors.torch import load_file, save_file

from tests.proofs.tampering import changed, resealed, verdict, without

STRATEGIES = (
    "joint-apart-exact",
    "paired-together-exact-blocks-4-bits",
    "paired-apart-exact-blocks-low-rank-QK",
    "split-apart-exact-blocks-low-rank-EU-5-bits",
    "split-together-threshold-blocks",
    "split-apart-exact-outputs",
    "joint-apart-exact-blocks-outputs-28",
    "sub-cubic",
    "sub-cubic-low-rank-QK-low-rank-EU",
    "by-paths",
    "cubic",
)


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory) -> Path:
    """Of a model so little trained that all strategies count differently."""
    subject = trained(3, 9, steps=60)
    bound = apply(named("joint-apart-exact"), subject)
    return certify(bound, subject, tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_prover_and_checker_count_the_same(trained, tmp_path, name, semantics):
    for k, v in ((2, 12), (3, 9), (4, 6)):
        subject = Subject(trained(k, v).network, semantics)
        bound = apply(named(name), subject)
        path = tmp_path / f"{k}.json"
        path.write_bytes(writing.document(bound, subject))
        weights = tmp_path / f"{subject.network.weights_digest}.safetensors"
        save_file(subject.network.module.state_dict(), weights)
        assert f"at least {bound.certified} of {bound.sequences}" in verdict(check_bound, path)
        assert path.stat().st_size <= 1024


@pytest.mark.parametrize("size", [0.0, 1e-42, 1e-9, 1e-4, 0.02, 0.8, 8.0])
def test_they_agree_on_models_that_were_never_trained(random_model, tmp_path, size):
    subject = random_model(3, 6, 0, size=size)
    for name in STRATEGIES:
        bound = apply(named(name), subject)
        path = tmp_path / f"{name}.json"
        path.write_bytes(writing.document(bound, subject))
        save_file(
            subject.network.module.state_dict(), tmp_path / f"{subject.network.weights_digest}.safetensors"
        )
        assert f"at least {bound.certified} of" in verdict(check_bound, path)


def test_the_checker_runs_alone(made):
    done = subprocess.run([sys.executable, "-I", str(CHECKER), str(made)], capture_output=True, text=True)
    assert done.returncode == 0
    assert "accepted: right on at least" in done.stdout


CHANGES = [
    ("format", "assay.bound/1"),
    ("weights", "0" * 64),
    ("K", 2),
    ("K", 4),
    ("K", "3"),
    ("K", True),
    ("K", 3.0),
    ("semantics", "exact"),
    ("certified", lambda s: str(int(s) + 1)),
    ("certified", lambda s: str(int(s) - 1)),
    ("certified", int),
    ("certified", lambda s: "0" + s),
    ("of", lambda s: str(int(s) + 1)),
    ("strategy", {}),
    ("strategy", lambda s: {**s, "bracket": "split"}),
    ("strategy", lambda s: {**s, "bracket": "both"}),
    ("strategy", lambda s: {**s, "positions": "together"}),
    ("strategy", lambda s: {**s, "positions": None}),
    ("strategy", lambda s: {**s, "counting": "threshold"}),
    ("strategy", lambda s: {**s, "counting": "all"}),
    ("strategy", lambda s: {**s, "bracket": "paired"}),
    ("strategy", lambda s: {**s, "counting": "listed"}),
    ("strategy", lambda s: {**s, "counting": "pure"}),
    ("strategy", lambda s: {**s, "tokens": "prefixes"}),
    ("strategy", lambda s: {**s, "tokens": "some"}),
    ("strategy", lambda s: {**s, "QK": "low-rank"}),
    ("strategy", lambda s: {**s, "QK": ["full"]}),
    ("strategy", lambda s: {**s, "EU": "low-rank"}),
    ("strategy", lambda s: {**s, "outputs": 40}),
    ("strategy", lambda s: {**s, "outputs": True}),
    ("strategy", lambda s: {**s, "outputs": -1}),
    ("direction", [1] + [0] * 7),
    ("direction", None),
    ("strategy", lambda s: {**s, "grid": 3}),
    ("strategy", lambda s: {**s, "grid": -1}),
    ("strategy", lambda s: {**s, "grid": 10**9}),
    ("strategy", lambda s: {**s, "more": 1}),
    ("seal", "0" * 64),
    ("comment", "hello"),
]


@pytest.mark.parametrize(("field", "change"), CHANGES)
@pytest.mark.parametrize("seal", [True, False])
def test_every_change_of_a_field_is_rejected(made, field, change, seal):
    path = changed(made, field, change, seal)
    assert verdict(check_bound, path).startswith("REJECTED"), path.read_text()


@pytest.mark.parametrize(
    "field", ["format", "weights", "K", "semantics", "strategy", "direction", "certified", "of", "seal"]
)
def test_every_missing_field_is_rejected(made, field):
    assert verdict(check_bound, without(made, field)).startswith("REJECTED")


@pytest.mark.parametrize("how", ["last bit", "renamed", "reshaped", "extra bias"])
def test_other_weights_are_rejected(made, tmp_path, how):
    digest = json.loads(made.read_text())["weights"]
    state = load_file(made.with_name(f"{digest}.safetensors"))
    if how == "last bit":
        state["embed.W_E"].view(-1)[0] = state["embed.W_E"].view(-1)[0] * (1 + 2**-23)
    elif how == "renamed":
        state["W_E"] = state.pop("embed.W_E")
    elif how == "reshaped":
        state["embed.W_E"] = state["embed.W_E"].T.contiguous()
    else:
        state["blocks.0.attn.b_Q"] = state["embed.W_E"][0].clone()
    save_file(state, tmp_path / f"{digest}.safetensors")
    path = tmp_path / "c.json"
    path.write_text(made.read_text())
    assert verdict(check_bound, path).startswith("REJECTED")
    # Even a certificate that names these weights, with the count of the others, is refused.
    other, _ = check_bound.read_weights(tmp_path / f"{digest}.safetensors")
    (tmp_path / f"{digest}.safetensors").rename(tmp_path / f"{other}.safetensors")
    content = json.loads(made.read_text())
    content |= {"weights": other, "certified": str(int(content["certified"]) + 1)}
    path.write_bytes(resealed(content))
    assert verdict(check_bound, path).startswith("REJECTED")


def test_a_bound_that_the_checker_refuses_leaves_no_file(trained, tmp_path, monkeypatch):
    subject = trained(3, 9)
    bound = apply(named("joint-apart-exact"), subject)
    object.__setattr__(bound, "certified", bound.certified + 1)
    with pytest.raises(RejectedCertificate, match="are certified"):
        certify(bound, subject, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_strategies_without_certificates_say_so(trained, tmp_path):
    subject = Subject(trained(3, 9).network, "float32")
    with pytest.raises(InputError, match="brute-force: its proofs have no certificates"):
        certify(apply(named("brute-force"), subject), subject, tmp_path)


def test_certificates_of_what_a_search_finds_are_accepted(trained, tmp_path):
    subject = trained(3, 9)
    found = best([b for b in search(subject) if writing.has_certificate(b)])
    assert found is not None
    assert certify(found, subject, tmp_path).exists()
