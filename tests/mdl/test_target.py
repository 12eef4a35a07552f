import math

import pytest
import torch
from assay.mdl import CategoricalTarget, GridTarget, kl_bits
from assay.mdl.grid import quantise


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2


def test_kl_against_its_definition():
    p, q = logits(20, 7), logits(20, 7, seed=1)
    P, Q = p.double().softmax(-1), q.double().softmax(-1)
    by_hand = (P * (P.log2() - Q.log2())).sum(-1)
    assert torch.allclose(kl_bits(p, q), by_hand)
    assert torch.equal(kl_bits(p, p), torch.zeros(20, dtype=torch.float64))


def test_kl_is_infinite_only_where_something_possible_is_denied():
    p = torch.tensor([[0.0, -math.inf], [0.0, 0.0]])
    q = torch.tensor([[0.0, 0.0], [0.0, -math.inf]])
    assert kl_bits(p, q).tolist() == [1.0, math.inf]


def test_coding_drawn_outputs_costs_kl_on_average():
    """−log2 q(y) + log2 p(y) over y drawn from p averages to KL: the decodable twin."""
    p, q = logits(1, 5), logits(1, 5, seed=1)
    log_p, log_q = p.double().log_softmax(-1)[0] / math.log(2), q.double().log_softmax(-1)[0] / math.log(2)
    y = torch.multinomial(
        p.softmax(-1)[0], 200_000, replacement=True, generator=torch.Generator().manual_seed(2)
    )
    extra = (log_p - log_q)[y]
    error = float(extra.std()) / len(y) ** 0.5
    assert float(extra.mean()) == pytest.approx(float(kl_bits(p, q)), abs=4 * error)


def test_infinite_rows_are_counted_and_pay_a_flag_and_the_raw_output():
    p, q = torch.zeros(10, 4), torch.zeros(10, 4)
    q[3, 0] = -math.inf
    tally = CategoricalTarget().compare(q, p)
    assert (tally.rows, tally.infinite, tally.kl) == (10, 1, math.inf)
    finite = CategoricalTarget().compare(p, p)
    assert tally.bits > math.log2(4)
    assert math.isfinite(tally.bits)
    assert finite.bits == finite.kl == 0
    assert "1 rows infinite" in tally.lines()[0].code
    assert tally.lines()[0].status == "estimate"


def test_divergences_add_as_integers():
    p, q = logits(50, 7), logits(50, 7, seed=1)
    target = CategoricalTarget()
    whole = target.compare(q, p)
    shards = [target.compare(q[i : i + 7], p[i : i + 7]) for i in range(0, 50, 7)]
    total = shards[-1]
    for shard in shards[:-1]:
        total = total + shard
    assert total == whole
    assert whole.kl == pytest.approx(float(kl_bits(p, q).mean()), abs=1e-6)


def test_a_perfect_prediction_needs_almost_no_correction():
    truth = logits(500, 3)
    tally = GridTarget(0.1).compare(truth, truth)
    assert tally.fvu == 0
    assert tally.lines()[0].bits < 40


def test_residuals_restore_the_truth_and_fvu_is_about_the_mean():
    truth = logits(400, 3) + 100
    predicted = truth + 0.3 * logits(400, 3, seed=1)
    tally = GridTarget(0.05).compare(predicted, truth)
    wanted, got = quantise(truth, 0.05), quantise(predicted, 0.05)
    centred = wanted.double() - wanted.double().mean(0)
    by_hand = float(((wanted - got).double() ** 2).sum() / (centred**2).sum())
    assert tally.fvu == pytest.approx(by_hand, rel=1e-9)
    assert tally.rows == 400


def test_positions_of_sequences_are_rows():
    truth = logits(6, 5, 3)
    tally = GridTarget(0.1).compare(torch.zeros_like(truth), truth)
    assert (tally.rows, tally.width) == (30, 3)
    assert CategoricalTarget().compare(truth, truth).rows == 30


def test_a_coarser_grid_needs_fewer_bits():
    truth, predicted = logits(300, 4), torch.zeros(300, 4)
    bits = [GridTarget(d).compare(predicted, truth).lines()[0].bits for d in (0.01, 0.1, 1.0)]
    assert bits == sorted(bits, reverse=True)
