"""Capacities, and which share of a code or a message each part has."""

from __future__ import annotations

import pytest
import torch
from assay.explanations import ExplanationError, WholeNetwork, planted_components
from assay.explanations.anomalies import Observations, SiteBits
from assay.explanations.pca import pca
from assay.explanations.trials import (
    bit_shares,
    capacities,
    message_shares,
    optimal_capacities,
    quadratic_loss,
    train_quadratic,
)
from assay.mdl import GridTarget, MechanismProblem, score_mechanism
from assay.models import zoo


def test_capacity_follows_the_closed_form():
    worked = optimal_capacities([1, 0.9, 0.8, 0.7, 0.6, 0.5], 4, 3)
    assert worked == pytest.approx([1, 1, 2 / 3, 1 / 3, 0, 0], abs=1e-3)
    assert optimal_capacities([1, 0.9, 0.8], 2.5, 2) == [1.0, 1.0, 0.0]
    identity = capacities(torch.eye(4))
    assert identity.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("v", "kurtosis", "d"),
    [
        pytest.param((1, 0.9, 0.8, 0.7, 0.6, 0.5), 4, 3, marks=pytest.mark.slow),
        ((1, 0.9, 0.5), 8, 2),
    ],
)
def test_trained_quadratic_models_have_the_closed_forms_capacities(v, kurtosis, d):
    W = train_quadratic(v, kurtosis, d, restarts=3)
    assert capacities(W).tolist() == pytest.approx(optimal_capacities(v, kurtosis, d), abs=1e-3)


def test_the_quadratic_loss_is_an_expectation():
    g = torch.Generator().manual_seed(0)
    W, v = torch.randn(2, 3, generator=g).double(), torch.tensor([1.0, 0.5, 0.2]).double()
    signs = torch.randint(2, (400_000, 3), generator=g) * 2 - 1
    x = (torch.rand(400_000, 3, generator=g) < 0.25) * signs * 2.0  # variance 1, fourth moment 4
    missed = (v * x.double().square()).sum(1) - (x.double() @ W.T).square().sum(1)
    assert float(missed.var()) == pytest.approx(float(quadratic_loss(W, v, 4.0)), rel=0.02)


def test_shares_of_the_code_sum_to_one():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=g) * torch.tensor([8.0, 2.0]) @ torch.randn(2, 12, generator=g)
    seen = Observations(x)
    shares = bit_shares(SiteBits.fit(pca(x), seen, 0.1), seen)
    assert float(shares.sum()) == pytest.approx(1.0)
    assert shares[0] > shares[1] > shares[2:].max()


def test_shares_of_a_message_are_the_ledger_over_again():
    """Parts and what no part owns sum to the message; a part that no datum uses owns nothing."""
    network = zoo.load("tms-5-2")
    x = zoo.data("tms-5-2", 200, 1).inputs.clone()
    x[:, 4] = 0
    problem = MechanismProblem(x, network(x), GridTarget(0.05))
    parts = planted_components(network)
    score = score_mechanism(parts, problem, 8)
    done = message_shares(score, [t.name for t in parts.parts().tensors])
    assert float(done.parts.sum()) + done.common == pytest.approx(1.0)
    assert float(done.parts[4]) == 0.0 < float(done.parts[:4].min())
    lines = {line.name: line.bits for line in score.ledger.lines}
    total = score.ledger.total
    assert done.common * total >= lines["residual"] - 1e-6
    assert sum(done.tensors.values()) * total == pytest.approx(lines["mechanism"] - score.law.preamble)
    whole = score_mechanism(WholeNetwork(network), problem, 8)
    with pytest.raises(ExplanationError, match="1 names for"):
        message_shares(whole, ["W"])
