"""The decodable twin of KL: outcomes drawn from the model and coded under the explanation."""

import math

import numpy as np
import pytest
import torch
from assay.mdl import CategoricalTarget
from assay.mdl.lengths import kt_bernoulli
from assay.mdl.outcomes import drawn
from assay.mdl.transmit_correction import correction, wanted
from assay.mdl.twin import Twin
from assay.mdl.wire import Receiver, Sender


def logits(rows: int, size: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * 1.5


def twin(q: torch.Tensor, p: torch.Tensor, seed: int) -> Twin:
    return Twin.of(q, p, torch.from_numpy(drawn(p, seed)), seed)


def test_the_mean_over_seeds_is_kl_and_the_standard_error_is_their_spread():
    p, q = logits(50, 8, 0), logits(50, 8, 1)
    twins = [twin(q, p, seed) for seed in range(400)]
    extra = np.array([t.coded - t.sampling for t in twins])
    by_hand = (p.double().softmax(-1) * (p.double().log_softmax(-1) - q.double().log_softmax(-1))).sum()
    assert twins[0].kl == pytest.approx(float(by_hand) / math.log(2))
    assert extra.mean() == pytest.approx(twins[0].kl, abs=4 * twins[0].error / 20)
    assert extra.std() == pytest.approx(twins[0].error, rel=0.15)
    assert {round(t.kl, 9) for t in twins} == {round(twins[0].kl, 9)}


def test_the_wire_takes_what_the_twin_states():
    p, q = logits(800, 30, 0), logits(800, 30, 1)
    target, sender = CategoricalTarget(), Sender()
    told = wanted(target, q, p, 3)
    correction(sender, target, q, told)
    assert torch.equal(correction(Receiver(sender.words()), target, q, None), told.integers)
    assert sender.bits == pytest.approx(twin(q, p, 3).bits + 1, rel=1e-4)


def test_a_perfect_prediction_costs_the_entropy_of_the_outcomes_alone():
    p = logits(300, 5, 0)
    found = twin(p, p, 0)
    assert (found.kl, found.error, found.denied) == (0.0, 0.0, 0)
    assert found.coded == found.sampling


def test_where_an_outcome_is_denied_it_escapes():
    p, q = torch.zeros(400, 4), logits(400, 4, 1)
    q[::10, 2] = -math.inf
    target, sender = CategoricalTarget(), Sender()
    told = wanted(target, q, p, 1)
    found = twin(q, p, 1)
    assert found.denied == 40
    assert found.escapes == pytest.approx(float(kt_bernoulli(40, 400)) + 40 * 2)
    assert math.isfinite(found.bits)
    correction(sender, target, q, told)
    assert torch.equal(correction(Receiver(sender.words()), target, q, None), told.integers)
    assert sender.bits == pytest.approx(found.bits, rel=0.01)
    assert found.checks()["twin_denied_rows"] == 40


def test_a_receiver_that_computes_another_prediction_gets_something_else():
    """Which the seal of the container sees."""
    p, q = logits(300, 6, 0), logits(300, 6, 1)
    target, sender = CategoricalTarget(), Sender()
    told = wanted(target, q, p, 0)
    correction(sender, target, q, told)
    other = correction(Receiver(sender.words()), target, q * 1.01, None)
    assert not torch.equal(other, told.integers)
