"""Outcomes on the wire: drawn as they should be, coded at any probability, alike everywhere."""

import math

import numpy as np
import pytest
import torch
from assay.mdl.outcomes import PredictionError, Table, depths, drawn, mantissas, outcomes
from assay.mdl.wire import Receiver, Sender
from hypothesis import given, settings
from hypothesis import strategies as st


def logits(rows: int, size: int, spread: float, seed: int) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * spread


def there_and_back(symbols: np.ndarray, q: torch.Tensor) -> float:
    """Ideal bits of the symbols, once they came back."""
    sender = Sender()
    outcomes(sender, symbols, q)
    receiver = Receiver(sender.words())
    assert np.array_equal(outcomes(receiver, None, q), symbols)
    receiver.finish()
    return sender.bits


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 70), st.sampled_from([0.0, 1.0, 30.0, 200.0]), st.integers(0, 10**6)
)
def test_any_outcome_costs_what_its_probability_says(rows, size, spread, seed):
    """Also where the probability is 2⁻¹⁰⁰⁰, which no coder of 24 bits can hold at once."""
    q = logits(rows, size, spread, seed)
    symbols = np.random.default_rng(seed).integers(size, size=rows)
    stated = -(q.double().log_softmax(-1) / math.log(2))[torch.arange(rows), torch.from_numpy(symbols)]
    bits = there_and_back(symbols, q)
    assert bits == pytest.approx(float(stated.sum()), rel=2e-5, abs=1e-3 * rows)


def test_a_row_costs_the_same_in_any_company():
    q = logits(40, 9, 60.0, 3)
    symbols = np.random.default_rng(0).integers(9, size=40)
    alone = sum(there_and_back(symbols[i : i + 1], q[i : i + 1]) for i in range(40))
    assert there_and_back(symbols, q) == pytest.approx(alone, rel=1e-12)


def test_what_cannot_be_is_not_said():
    q = torch.tensor([[0.0, -math.inf, 1.0]])
    with pytest.raises(PredictionError, match="probability 0"):
        outcomes(Sender(), np.array([1]), q)
    assert there_and_back(np.array([2]), q) == pytest.approx(math.log2(1 + math.exp(-1)), abs=1e-5)


@pytest.mark.parametrize("bad", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_rows_that_are_no_distribution_are_refused(bad):
    with pytest.raises(PredictionError, match="1 of 2 rows"):
        depths(torch.tensor([[0.0, 1.0], bad]))


def test_tables_are_the_powers_of_two():
    depth = np.arange(0, 2**20, 997)
    assert np.abs(mantissas(depth) - 2.0 ** (30 - depth / 2**20)).max() < 2.5
    table = Table.of(torch.tensor([[0.0, -math.log(2), -math.inf]], dtype=torch.float64))
    assert table.weight.tolist() == [[2**30, 2**29, 0]]


def test_tables_are_these_integers_on_every_machine():
    """A change here means that old streams are read as something else."""
    q = torch.tensor([[0.3, -1.25, 2.0, -17.5]], dtype=torch.float64)
    table = Table.of(q)
    assert depths(q).tolist() == [[2571718, 4916520, 0, 29499120]]
    assert table.level.tolist() == [[0, 0, 0, 1]]
    assert table.weight.tolist() == [[196154962, 41633489, 1073741824, 239131]]
    assert drawn(torch.zeros(12, 4), 7).tolist() == [3, 1, 1, 1, 0, 2, 1, 2, 0, 3, 3, 2]


def test_draws_follow_the_distribution_and_the_seed():
    q = logits(1, 6, 1.5, 0).expand(60_000, -1)
    y = drawn(q, 5)
    p = q[0].double().softmax(-1).numpy()
    expected = 60_000 * p
    assert float(((np.bincount(y, minlength=6) - expected) ** 2 / expected).sum()) < 30  # χ² of 5 degrees
    assert not np.array_equal(y, drawn(q, 6))
    for first in (1, 3, 4, 7, 1000):
        assert np.array_equal(drawn(q[first : first + 50], 5, first), y[first : first + 50])
    assert (drawn(torch.tensor([[-math.inf, 3.0, -900.0]]).expand(500, -1), 1) == 1).all()
