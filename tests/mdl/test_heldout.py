"""Held-out lengths against codes written out symbol by symbol."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from assay.explanations import NeuronBasis, pca
from assay.mdl import GridTarget, SiteProblem
from assay.mdl.heldout import HeldOutError, _frozen, _prequential, held_out
from assay.mdl.tally import Histogram
from hypothesis import given
from hypothesis import strategies as st

SYMBOLS = st.lists(st.integers(-4, 4), min_size=1, max_size=30)


def problem(x: torch.Tensor, delta: float = 0.25) -> SiteProblem:
    return SiteProblem(x, GridTarget(delta), delta)


def in_turn(first: list[int], second: list[int], learning: bool) -> float:
    """−log2 of the KT estimate of each symbol of the second, after the first; all inside the range."""
    counts = {s: first.count(s) for s in range(min(first), max(first) + 1)}
    alphabet, bits = len(counts) + 1, 0.0
    seen = len(first)
    for s in second:
        bits -= math.log2((counts[s] + 0.5) / (seen + alphabet / 2))
        if learning:
            counts[s] += 1
            seen += 1
    return bits


@given(SYMBOLS, SYMBOLS)
def test_frozen_and_prequential_are_kt_in_turn(first, second):
    inside = [min(max(s, min(first)), max(first)) for s in second]
    a, b = (Histogram.of(np.array(x)) for x in (first, inside))
    assert _frozen(a, b) == pytest.approx(in_turn(first, inside, learning=False), abs=1e-6)
    assert _prequential(a, b) == pytest.approx(in_turn(first, inside, learning=True), abs=1e-6)


@given(SYMBOLS, st.integers(-9, 9))
def test_whatever_comes_has_a_finite_price(first, symbol):
    fitted, tested = Histogram.of(np.array(first)), Histogram.of(np.array([symbol]))
    assert 0 < _frozen(fitted, tested) < 64
    assert _frozen(fitted, tested) == pytest.approx(_prequential(fitted, tested), abs=1e-6)
    assert _frozen(Histogram(), tested) < 64


def test_data_that_stay_the_same_have_next_to_no_bias_and_few_data_have_much():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(8000, 4))).float()
    many, few = held_out(NeuronBasis(4), problem(x)), held_out(NeuronBasis(4), problem(x[:60]))
    assert abs(many.bias) < 0.005
    assert not many.checks()["plug_in_bias_notable"]
    assert many.frozen == pytest.approx(4 * (0.5 * math.log2(2 * math.pi * math.e) + 2), rel=0.02)
    assert few.bias > 0.02
    assert few.checks()["plug_in_bias_notable"]


def test_learning_on_pays_where_the_data_change():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(2000, 3)), rng.normal(size=(2000, 3)) * 4]).astype(np.float32)
    found = held_out(pca(torch.from_numpy(x[:2000])), problem(torch.from_numpy(x)))
    assert found.plug_in < found.prequential < found.frozen
    assert found.rows == 2000


def test_one_datum_cannot_be_split():
    with pytest.raises(HeldOutError, match="two data or more, got 1"):
        held_out(NeuronBasis(2), problem(torch.ones(1, 2)))
