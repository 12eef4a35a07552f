"""Residuals under codes that look at the fraction of the prediction: a mirror, a code, never longer."""

import numpy as np
import pytest
import torch
from assay.mdl import GridTarget
from assay.mdl.keyed import shortest_sharing
from assay.mdl.residual import CELLS, folded, linear_residuals, on_grid, plain, shortest_residuals
from assay.mdl.transmit_keyed import placed
from assay.mdl.wire import Receiver, Sender
from hypothesis import given
from hypothesis import strategies as st

from .strategies import LAWFUL


def drawn(rows: int, width: int, spread: float, seed: int):
    """Predictions, and a truth that lies around them, on a grid of step 1."""
    g = torch.Generator().manual_seed(seed)
    predicted = torch.randn(rows, width, generator=g, dtype=torch.float64) * 5
    return predicted, predicted + spread * torch.randn(rows, width, generator=g, dtype=torch.float64)


CASES = (st.integers(1, 60), st.integers(1, 5), st.floats(0, 4), st.integers(0, 10**6))


@LAWFUL
@given(*CASES)
def test_cells_mirror(rows, width, spread, seed):
    predicted, _ = drawn(rows, width, spread, seed)
    cell = on_grid(predicted, 1.0)[1]
    assert ((cell >= 0) & (cell < CELLS)).all()
    off = (predicted - predicted.round()).abs()
    assert (torch.where(off > 0, on_grid(-predicted, 1.0)[1], cell) % 4 == cell % 4).all()
    assert ((off * 8).floor().clamp(max=3).long() == cell % 4).all()


@LAWFUL
@given(*CASES)
def test_a_mirrored_problem_has_the_same_folded_tally(rows, width, spread, seed):
    predicted, truth = drawn(rows, width, spread, seed)
    one, other = GridTarget(1.0).compare(predicted, truth), GridTarget(1.0).compare(-predicted, -truth)
    assert folded(one.placed) == folded(other.placed)


@LAWFUL
@given(*CASES)
def test_looking_at_fractions_never_costs_more_than_not_looking(rows, width, spread, seed):
    predicted, truth = drawn(rows, width, spread, seed)
    tally = GridTarget(1.0).compare(predicted, truth).placed
    best, blind = shortest_residuals(tally, width), shortest_sharing(plain(tally), width)
    assert best.header + best.bits(tally) <= blind.header + blind.bits(plain(tally))


@LAWFUL
@given(*CASES)
def test_residuals_travel(rows, width, spread, seed):
    predicted, truth = drawn(rows, width, spread, seed)
    cell, residual = on_grid(predicted, 1.0)[1].numpy(), (truth.round() - predicted.round()).long().numpy()
    sender = Sender()
    placed(sender, cell, residual)
    assert np.array_equal(placed(Receiver(sender.words()), cell, None), residual)


@LAWFUL
@given(*CASES, st.integers(0, 60))
def test_linear_codes_of_residuals_are_linear(rows, width, spread, seed, cut):
    predicted, truth = drawn(rows, width, spread, seed)
    compare, cut = GridTarget(1.0).compare, min(cut, rows)
    whole = compare(predicted, truth)
    halves = compare(predicted[:cut], truth[:cut]), compare(predicted[cut:], truth[cut:])
    if cut in (0, rows):
        return
    assert (halves[0] + halves[1]).placed == whole.placed
    for way in linear_residuals(whole.placed, width):
        total = way.bits(halves[0].placed) + way.bits(halves[1].placed)
        assert total == pytest.approx(way.bits(whole.placed), rel=1e-9, abs=1e-6)


def test_a_prediction_half_a_step_off_the_grid_costs_less_where_the_fraction_tells():
    """Truth = prediction + a little noise: only predictions near a half are in doubt."""
    predicted, truth = drawn(20_000, 4, 0.05, 0)
    tally = GridTarget(1.0).compare(predicted, truth)
    best = shortest_residuals(tally.placed, 4)
    told = best.bits(tally.placed) / 80_000
    flat = shortest_sharing(tally.residuals, 4).bits(tally.residuals) / 80_000
    assert best.name == "pooled by fraction"
    assert told < 0.7 * flat
