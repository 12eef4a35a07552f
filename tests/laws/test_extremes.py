"""Numbers and data at the ends: what no number is, the largest, the least, none, one."""

from __future__ import annotations

import math

import pytest
import torch
from assay.explanations import Evidence, ExplanationError, Question, weigh_one
from assay.mdl import (
    CategoricalTarget,
    DoesNotDecode,
    GridTarget,
    MechanismProblem,
    PartError,
    SiteProblem,
    score_mechanism,
    score_site,
)
from assay.mdl.grid import GridError
from assay.models import Activations

from .honest import DELTA, WIDTH, Changing, Linear, N


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused_everywhere(evidence, bad):
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    spoilt = x.clone()
    spoilt[7, 2] = bad
    W = torch.randn(3, WIDTH)
    with pytest.raises(GridError, match="NaN or infinite"):
        score_site(Changing(torch.eye(4), math.inf), SiteProblem(spoilt, GridTarget(0.1), 0.1), 8)
    with pytest.raises(PartError, match="NaN or infinite"):
        score_site(Changing(spoilt[:8], math.inf), SiteProblem(x, GridTarget(0.1), 0.1), 8)
    with pytest.raises(PartError, match="NaN or infinite"):
        weigh_one(evidence, Linear(torch.full((3, WIDTH), bad)))
    problem = MechanismProblem(x[:, :3], spoilt, GridTarget(0.1))
    with pytest.raises(GridError, match="NaN or infinite"):
        score_mechanism(Linear(W), problem, 8)


class Overflowing(Linear):
    """Infinite where it likes: no code for what it denies."""

    def predict(self, restored, x, active):
        made = super().predict(restored, x, active)
        return made.index_fill(1, torch.tensor([0]), -math.inf)


def test_what_is_denied_and_happens_is_paid_raw(evidence):
    """q = 0 where the model gives something: KL is infinite, and the rows are told as they are."""
    x, W = evidence.dataset.inputs, torch.randn(3, WIDTH)
    problem = MechanismProblem(x, torch.randn(N, WIDTH), CategoricalTarget())
    score = score_mechanism(Overflowing(W), problem, 8)
    assert score.faithfulness["kl_bits"] == math.inf
    assert score.ledger.section("correction") >= N * math.log2(WIDTH)


def test_negative_zeros_are_zeros(evidence):
    W = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    W[1] = 0.0
    x, y = evidence.dataset.inputs.clone(), evidence.outputs[:].clone()
    y[::3] = 0.0
    lines = [
        score_mechanism(Linear(w), MechanismProblem(x, out, GridTarget(DELTA)), 8).ledger.lines
        for w, out in ((W, y), (torch.where(W == 0, -0.0, W), torch.where(y == 0, -0.0, y)))
    ]
    assert lines[0] == lines[1]
    site = [
        score_site(Changing(torch.eye(4), math.inf), SiteProblem(one, GridTarget(0.1), 0.1), 8).ledger.lines
        for one in (y, torch.where(y == 0, -0.0, y))
    ]
    assert site[0] == site[1]


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300, 1.7e308])
def test_parts_of_any_size_have_a_finite_price_that_knows_their_exponent(size):
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    W = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64).sign()

    class Scaled(Linear):
        def predict(self, restored, x, active):
            return (x * active[:, 0]) @ restored["W"].sign()

    problem = MechanismProblem(x, x @ W, GridTarget(0.1))
    plain, extreme = (score_mechanism(Scaled(W * s), problem, 4).ledger for s in (1.0, size))
    assert math.isfinite(extreme.total)
    assert extreme.section("parts") > plain.section("parts")
    assert extreme.section("correction") == plain.section("correction")


def test_parts_below_the_least_double_with_all_its_digits_are_zeros(evidence):
    problem = MechanismProblem(evidence.dataset.inputs, evidence.outputs, GridTarget(DELTA))
    least, zero = (
        score_mechanism(Linear(torch.full((3, WIDTH), v).double()), problem, 8) for v in (5e-324, 0.0)
    )
    assert least.ledger.section("correction") == zero.ledger.section("correction")
    assert least.ledger.section("parts") >= zero.ledger.section("parts")


@pytest.mark.parametrize("precision", [2, 32])
@pytest.mark.parametrize("delta", [1e-8, 1e8])
def test_the_ends_of_precision_and_grid_are_scored(evidence, precision, delta):
    W = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(2))
    problem = MechanismProblem(evidence.dataset.inputs, evidence.outputs, GridTarget(delta))
    score = score_mechanism(Linear(W), problem, precision)
    assert math.isfinite(score.ledger.total)
    assert (score.ledger.section("correction") > N * WIDTH * 20) == (delta < 1)


@pytest.mark.parametrize("precision", [-1, 0, 1, 33])
def test_beyond_them_it_is_refused(evidence, precision):
    problem = MechanismProblem(evidence.dataset.inputs, evidence.outputs, GridTarget(DELTA))
    with pytest.raises(PartError, match="2 to 32 bits"):
        score_mechanism(Linear(torch.randn(3, WIDTH)), problem, precision)


@pytest.mark.parametrize("delta", [1e-300, 1e-17])
def test_a_grid_too_fine_for_floats_is_refused(evidence, delta):
    problem = MechanismProblem(evidence.dataset.inputs, evidence.outputs, GridTarget(delta))
    with pytest.raises(ValueError, match=r"too fine|coarser step|NaN or infinite"):
        score_mechanism(Linear(torch.randn(3, WIDTH)), problem, 8)


def test_no_data_are_refused_and_one_datum_is_scored(evidence):
    x, y = evidence.dataset.inputs, evidence.outputs
    W = torch.randn(3, WIDTH)
    with pytest.raises(DoesNotDecode, match="0 inputs and 0 outputs"):
        MechanismProblem(x[:0], y[:0], GridTarget(DELTA))
    with pytest.raises(DoesNotDecode, match="5 inputs and 4 outputs"):
        MechanismProblem(x[:5], y[:4], GridTarget(DELTA))
    one = score_mechanism(Linear(W), MechanismProblem(x[:1], y[:1], GridTarget(DELTA)), 8)
    assert 0 < one.ledger.total < math.inf
    nothing = Activations(torch.zeros(0, 4), "x", "", "")
    seen = Evidence(Question("site", "activations", "x", 0.25, 8), None, None, nothing, None)
    with pytest.raises(ExplanationError, match="no activations"):
        weigh_one(seen, Changing(torch.eye(4), math.inf))
