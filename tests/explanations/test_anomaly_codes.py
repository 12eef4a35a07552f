"""Codes found by search, and explanations that grow for one input."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from assay.explanations import ExplanationError, NeuronBasis
from assay.explanations.anomalies import (
    Beam,
    Limited,
    Memorised,
    Observations,
    OutputBits,
    PartsGrowth,
    RepeatedData,
    ShortestCode,
    SiteBits,
    auroc,
    mahalanobis,
    observe,
    tolerated_delta,
    train_repeated,
    usual_delta,
    usual_output_delta,
)
from assay.explanations.anomalies.growth import part_bits
from assay.explanations.anomalies.repeated import explanation, features, ordinary, represented, unusual
from assay.explanations.components import svd_components
from assay.models import zoo

from .memorised import seen


@pytest.fixture(scope="module")
def toy() -> Memorised:
    return train_repeated(RepeatedData(n=200, m=8, eps=0.02, steps=600, batch=128, lr=1e-2), 1)


@pytest.fixture(scope="module")
def trusted(toy: Memorised) -> Observations:
    return seen(toy, ordinary(toy.task, 700, torch.Generator().manual_seed(1)))


def nonnegative(rows: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """scipy's non-negative least squares: an independent route."""
    from scipy.optimize import nnls

    return torch.from_numpy(nnls(rows.T.numpy(), x.numpy())[0])


def test_a_wide_beam_tries_every_set() -> None:
    g = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(5, 3, generator=g).double(), dim=1)
    x = torch.randn(7, 3, generator=g)
    told = Beam(2, 25).candidates(x, rows)
    for i in range(len(x)):
        best = min(
            float((x[i].double() - v @ rows[list(s)]).square().sum())
            for s in combinations(range(5), 2)
            for v in [nonnegative(rows[list(s)], x[i].double())]
        )
        kept = told.part[i]
        left = x[i].double() - (told.value[i][..., None] * rows[kept.clamp_min(0)]).sum(1)
        assert float(left.square().sum(1).min()) == pytest.approx(best, abs=1e-6)
        sets = [tuple(sorted(p)) for p in kept.tolist() if p != [-1, -1]]
        assert len(sets) == len(set(sets))
        assert bool((told.value[i] >= 0).all())


def test_the_shortest_code_is_shorter_than_a_fixed_one_and_decodes(toy, trusted) -> None:
    W, delta = toy.network.parameters()["W"], usual_delta(trusted)
    told = ShortestCode.fit(W[:, represented(W)].T, trusted, delta, "features", Beam(3, 4))
    plain = SiteBits.fit(told.prices.channel.explanation, trusted, delta)
    assert told.trusted_bits < plain.trusted_bits
    x = trusted.rows()[:50]
    code, bits = told.told(x)
    channel = told.prices.channel
    restored = (channel.predict(code) / delta).round() + channel.residual(x, code)
    assert torch.equal(restored, (x.double() / delta).round())
    assert torch.allclose(told.prices.bits(code, channel.residual(x, code)), bits)
    with pytest.raises(ExplanationError, match="dictionary"):
        ShortestCode.fit(W, trusted, delta, "turned")


def test_bits_find_what_distance_misses_in_eight_dimensions(toy, trusted) -> None:
    W, g = toy.network.parameters()["W"], torch.Generator().manual_seed(2)
    star, strange = seen(toy, toy.star[None]), seen(toy, unusual(toy, 200, 2, g))
    features_told = ShortestCode.fit(
        W[:, represented(W)].T, trusted, usual_delta(trusted), "features", Beam(3, 4)
    )
    minimal = explanation(toy)
    outputs = OutputBits.fit(minimal, trusted, tolerated_delta(minimal, trusted))
    distance = mahalanobis(trusted)
    by_distance = auroc(distance.score(strange), distance.score(star))
    assert by_distance < 0.8
    assert auroc(features_told.score(strange), features_told.score(star)) > 0.95
    assert auroc(outputs.score(strange), outputs.score(star)) > 0.85


def test_an_explanation_holds_at_its_step(toy, trusted) -> None:
    minimal = explanation(toy)
    step = tolerated_delta(minimal, trusted, 0.1)
    with torch.no_grad():
        told = minimal.run(trusted.inputs, torch.ones(trusted.size, minimal.parts_count))
    inside = ((told - trusted.outputs).abs() <= step / 2).all(1).double().mean()
    assert float(inside) == pytest.approx(0.9, abs=0.01)
    assert tolerated_delta(minimal, trusted, 0.5) < step
    assert tolerated_delta(features(toy), trusted) == pytest.approx(usual_output_delta(trusted))


def test_a_mechanism_grows_by_the_parts_that_a_datum_needs() -> None:
    network, data = zoo.load("digits"), zoo.data("digits", 100, 1)
    whole = svd_components(network, ("layers.2.weight",))
    kept = torch.arange(10) != 1
    trusted = Observations(outputs=network(data.inputs), inputs=data.inputs)
    base = OutputBits.fit(Limited(whole, kept, "all but one"), trusted, None)
    grown = PartsGrowth(base)
    assert grown.lacking.tolist() == [1]
    loud = 100 * data.inputs[:20]
    seen_here = Observations(outputs=network(loud), inputs=loud)
    found, plain = grown.grow(seen_here), base.score(seen_here)
    price = float(part_bits(base.sent)[1] + torch.log2(torch.tensor(10.0)))
    paid = found.added > 0
    assert 0 < int(paid.sum()) < 20
    assert found.added[paid].tolist() == pytest.approx([price] * int(paid.sum()))
    assert bool((plain[paid] > price).all())
    assert bool((found.total[paid] < plain[paid]).all())
    assert torch.equal(found.total[~paid], plain[~paid])
    with pytest.raises(ExplanationError, match="limited"):
        PartsGrowth(OutputBits.fit(whole, seen_here, 0.05))


def test_a_base_of_neurons_is_told_in_order() -> None:
    seen_all = observe(zoo.load("digits"), zoo.data("digits", 64, 0), "layers.1")
    fitted = SiteBits.fit(NeuronBasis(32), seen_all, 0.1)
    assert torch.allclose(fitted.score(seen_all.take(torch.arange(5))), fitted.score(seen_all)[:5])
