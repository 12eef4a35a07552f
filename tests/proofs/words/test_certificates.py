"""The stand-alone checker of words: it runs alone, agrees with the prover, rejects every tampered file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from assay.models.automata import automaton
from assay.proofs import InputError, check_words
from assay.proofs.words import CHECKER, BruteForce, Explained, RejectedCertificate, apply, certify
from assay.proofs.words.certificates import document
from assay.proofs.words.fixed import roots
from safetensors.torch import load_file, save_file

from tests.proofs.tampering import changed, resealed, verdict, without

FREQUENCIES = (1, 2, 3, 5)


def written(bound, subject, folder: Path) -> Path:
    path = folder / "c.words.json"
    path.write_bytes(document(bound, subject))
    save_file(subject.network.module.state_dict(), folder / f"{subject.network.weights_digest}.safetensors")
    return path


@pytest.fixture(scope="module")
def made(summing, tmp_path_factory) -> Path:
    """Of a network on which the count hangs on everything."""
    subject = summing(11, 4, FREQUENCIES, 0.05, 1)
    bound = apply(Explained("fourier", 2), subject)
    assert 0 < bound.accuracy < 1
    return certify(bound, subject, tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def made_by_pairs(permuting, tmp_path_factory) -> Path:
    subject = permuting(3, 5, 1e-4)
    bound = apply(Explained("pairs"), subject)
    assert bound.accuracy == 1
    return certify(bound, subject, tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("noise", [0.0, 0.013, 0.05, 0.055, 0.3])
def test_prover_and_checker_count_the_same_sums(summing, tmp_path, noise, semantics):
    for strategy in (Explained("fourier"), Explained("fourier", 2), Explained("pairs")):
        subject = replace(summing(11, 4, FREQUENCIES, noise, 1), semantics=semantics)
        bound = apply(strategy, subject)
        path = written(bound, subject, tmp_path)
        assert f"at least {bound.certified} of {11**4} words" in verdict(check_words, path)
        assert path.stat().st_size <= 1024


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("noise", [0.0, 3e-4, 1e-3, 3e-3, 0.1])
def test_prover_and_checker_count_the_same_words(permuting, tmp_path, noise, semantics):
    subject = replace(permuting(3, 5, noise, 2), semantics=semantics)
    bound = apply(Explained("pairs"), subject)
    assert f"at least {bound.certified} of {6**5} words" in verdict(
        check_words, written(bound, subject, tmp_path)
    )


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3, 0.004, 0.007, 0.01])
def test_prover_and_checker_count_the_same_brackets(bracketing, tmp_path, noise, semantics):
    for depth in (1, 3):
        subject = replace(bracketing(depth, 12, noise, 1), semantics=semantics)
        bound = apply(Explained("pairs"), subject)
        assert f"at least {bound.certified} of {2**12} words" in verdict(
            check_words, written(bound, subject, tmp_path)
        )


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("frequencies", [(1, 2, 3, 5, 5), (1, 2, 3, 5, 6), (1, 2, 3, 4, 5, 6, 7)])
def test_they_agree_where_states_do_not_span(summing, tmp_path, frequencies, semantics):
    for noise in (0.0, 1e-5, 1e-3):
        subject = replace(summing(11, 3, frequencies, noise, 1), semantics=semantics)
        bound = apply(Explained("pairs"), subject)
        assert bound.accuracy == (noise < 1e-3)
        assert f"at least {bound.certified} of {11**3} words" in verdict(
            check_words, written(bound, subject, tmp_path)
        )


def test_both_know_the_same_automata():
    for name in ("Z2", "Z7", "S2", "S4", "D1", "D4", "D64"):
        assert check_words.transitions(name) == automaton(name).table.tolist()


def test_both_know_the_same_roots_of_unity():
    for n in (2, 3, 5, 12, 59, 113, 1024):
        assert check_words.roots(n) == list(roots(n))


def test_the_checker_runs_alone(made, made_by_pairs):
    files = [str(made), str(made_by_pairs)]
    done = subprocess.run([sys.executable, "-I", str(CHECKER), *files], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count("accepted: right on at least") == 2


CHANGES = [
    ("format", "assay.words/2"),
    ("format", "assay.bound/1"),
    ("weights", "0" * 64),
    ("automaton", "Z12"),
    ("automaton", "Z10"),
    ("automaton", "S3"),
    ("automaton", "Z011"),
    ("automaton", "Z-11"),
    ("automaton", 11),
    ("K", 3),
    ("K", 5),
    ("K", "4"),
    ("K", True),
    ("K", 4.0),
    ("K", 10**9),
    ("semantics", "exact"),
    ("form", "pairs"),
    ("form", "brute-force"),
    ("apart", []),
    ("apart", lambda a: a[:1]),
    ("apart", lambda a: a[::-1]),
    ("apart", lambda a: [a[0], a[0]]),
    ("apart", lambda a: [a[0], 11]),
    ("apart", [-1, 3]),
    ("apart", list(range(11))),
    ("apart", 2),
    ("told", []),
    ("told", [1, 2, 3]),
    ("told", [1, 2, 3, 4]),
    ("told", [1, 2, 3, 5, 6]),
    ("told", [1, 2, 3, 16]),
    ("told", [1, 2, 3, -6]),
    ("told", [1, 2, 3, 5.0]),
    ("told", [5, 3, 2, 1]),
    ("told", None),
    ("certified", lambda s: str(int(s) + 1)),
    ("certified", lambda s: str(int(s) - 1)),
    ("certified", int),
    ("certified", lambda s: "0" + s),
    ("of", lambda s: str(int(s) + 1)),
    ("of", int),
    ("seal", "0" * 64),
    ("comment", "hello"),
]


@pytest.mark.parametrize(("field", "change"), CHANGES)
@pytest.mark.parametrize("seal", [True, False])
def test_every_change_of_a_field_is_rejected(made, field, change, seal):
    path = changed(made, field, change, seal)
    assert verdict(check_words, path).startswith("REJECTED"), path.read_text()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("automaton", "Z6"),
        ("automaton", "S4"),
        ("K", 6),
        ("form", "fourier"),
        ("apart", [1]),
        ("told", [0, 1, 2, 3, 4, 4]),
        ("told", [0, 1, 2, 3, 4]),
        ("told", [0, 1, 2, 3, 4, 12]),
        ("certified", str(6**5 - 1)),
    ],
)
def test_changes_of_words_by_pairs_are_rejected(made_by_pairs, field, change):
    assert verdict(check_words, changed(made_by_pairs, field, change)).startswith("REJECTED")


@pytest.mark.parametrize("field", [*check_words.FIELDS, "seal"])
def test_every_missing_field_is_rejected(made, field):
    assert verdict(check_words, without(made, field)).startswith("REJECTED")


@pytest.mark.parametrize("how", ["sign", "renamed", "reshaped", "more", "last bit"])
def test_other_weights_are_rejected(made, tmp_path, how):
    content = json.loads(made.read_text())
    state = load_file(made.with_name(f"{content['weights']}.safetensors"))
    if how in ("sign", "last bit"):
        state["Z"][3, 0] *= -1 if how == "sign" else 1 + 2**-23
    elif how == "renamed":
        state["X"] = state.pop("Z")
    elif how == "reshaped":
        state["Z"] = state["Z"].flatten(1)
    else:
        state["b"] = state["Z"][0].clone()
    save_file(state, tmp_path / f"{content['weights']}.safetensors")
    path = tmp_path / "c.json"
    path.write_text(made.read_text())
    assert verdict(check_words, path).startswith("REJECTED")
    if how != "last bit":  # named honestly, they do not carry the count
        digest, _ = check_words.read_weights(tmp_path / f"{content['weights']}.safetensors")
        (tmp_path / f"{content['weights']}.safetensors").rename(tmp_path / f"{digest}.safetensors")
        path.write_bytes(resealed({**content, "weights": digest}))
        assert verdict(check_words, path).startswith("REJECTED")


def test_a_bound_that_the_checker_refuses_leaves_no_file(summing, tmp_path):
    subject = summing(11, 4, FREQUENCIES, 0.05, 1)
    bound = apply(Explained("fourier", 2), subject)
    with pytest.raises(RejectedCertificate, match="are certified"):
        certify(replace(bound, certified=bound.certified + 1), subject, tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_brute_force_has_no_certificates(summing, tmp_path):
    subject = replace(summing(11, 3, FREQUENCIES, 0.0), semantics="float32")
    with pytest.raises(InputError, match="brute-force: its proofs have no certificates"):
        certify(apply(BruteForce(), subject), subject, tmp_path)
