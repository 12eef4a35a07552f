"""Held-out lengths against codes written out symbol by symbol."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from assay.explanations import NeuronBasis, pca
from assay.mdl import CategoricalTarget, GridTarget, MechanismProblem, SiteProblem, kl_bits, score_mechanism
from assay.mdl.answers import AnswerTarget
from assay.mdl.heldout import HeldOutError, _frozen, _prequential, held_out, held_out_mechanism
from assay.mdl.parts import send_parts
from assay.mdl.tally import Histogram
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import sparse_inputs

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


@settings(deadline=None)
@given(SYMBOLS, SYMBOLS)
def test_frozen_and_prequential_are_kt_in_turn(first, second):
    inside = [min(max(s, min(first)), max(first)) for s in second]
    a, b = (Histogram.of(np.array(x)) for x in (first, inside))
    assert _frozen(a, b) == pytest.approx(in_turn(first, inside, learning=False), abs=1e-6)
    assert _prequential(a, b) == pytest.approx(in_turn(first, inside, learning=True), abs=1e-6)


@settings(deadline=None)
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


def flags_in_turn(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Bits of the second half's 0/1 columns, one by one, after the first half's."""
    bits = dict.fromkeys(("frozen", "prequential", "plug_in"), 0.0)
    for a, b in zip(first.T.tolist(), second.T.tolist(), strict=True):
        ones, n = sum(a), len(a)
        own = (sum(b) + 0.5) / (len(b) + 1)
        for flag in b:
            p = (sum(a) + 0.5) / (len(a) + 1)
            q = (ones + 0.5) / (n + 1)
            bits["frozen"] -= math.log2(p if flag else 1 - p)
            bits["prequential"] -= math.log2(q if flag else 1 - q)
            bits["plug_in"] -= math.log2(own if flag else 1 - own)
            ones, n = ones + flag, n + 1
    return bits


@pytest.mark.parametrize("kind", ["outputs", "answers"])
def test_a_mechanisms_second_half_is_told_flag_by_flag(table, kind):
    """Parts that fire more often in the second half; KL needs no code, wrong answers are flags as well."""
    x = sparse_inputs(201, 8, 5)
    x[101:, 0] = 1.0
    x[:101, 7] = 0.0
    target = CategoricalTarget() if kind == "outputs" else AnswerTarget()
    asked = MechanismProblem(x, x @ table.W, target)
    found = held_out_mechanism(table, asked, precision=4)
    active = (x != 0).long().numpy()
    expected = flags_in_turn(active[:101], active[101:])
    restored = send_parts(table.parts(), 4).restored
    told = table.predict(restored, x, table.active(restored, x))
    if kind == "outputs":
        kl = float(kl_bits(asked.outputs[101:], told[101:]).sum())
        expected = {way: bits + kl for way, bits in expected.items()}
    else:
        wrong = (told.argmax(1) != asked.outputs.argmax(1)).long()[:, None].numpy()
        assert wrong[101:].sum() > 0
        for way, bits in flags_in_turn(wrong[:101], wrong[101:]).items():
            expected[way] += bits + wrong[101:].sum() * math.log2(3 - 1)
    got = {"frozen": found.frozen, "prequential": found.prequential, "plug_in": found.plug_in}
    assert got == pytest.approx({way: bits / 100 for way, bits in expected.items()}, rel=1e-5)
    assert (found.rows, found.new_parts) == (100, 1)


def test_a_mechanism_on_a_grid_is_held_out_with_its_residuals(table):
    x = sparse_inputs(600, 8, 6)
    asked = MechanismProblem(x, x @ table.W, GridTarget(0.05))
    found = held_out_mechanism(table, asked)
    assert found.plug_in < found.frozen
    score = score_mechanism(table, asked)
    without_parts = (score.ledger.total - score.ledger.section("parts")) / 600
    assert found.prequential == pytest.approx(without_parts, rel=0.1)


def test_the_network_after_a_site_is_told_which_rows_are_held_out():
    """Outputs depend on the row: a shift would give another KL."""
    x = torch.randn(90, 4, generator=torch.Generator().manual_seed(2))
    heads = torch.randn(90, 4, 3, generator=torch.Generator().manual_seed(3)).double()

    def downstream(told: torch.Tensor, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(torch.einsum("nd,ndk->nk", y.double(), heads[rows]) for y in (told, x[rows]))

    asked = SiteProblem(x, CategoricalTarget(), 0.1, 3, downstream)
    seen: list[slice] = []

    def noted(told: torch.Tensor, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        assert len(told) == rows.stop - rows.start
        seen.append(rows)
        return downstream(told, rows)

    noting = SiteProblem(x, CategoricalTarget(), 0.1, 3, noted)
    assert held_out(NeuronBasis(4), noting, precision=8) == held_out(NeuronBasis(4), asked, precision=8)
    second = sorted((rows.start, rows.stop) for rows in seen if rows.start >= 45)
    assert second[0][0] == 45
    assert second[-1][1] == 90
    assert all(rows.stop <= 45 for rows in seen if rows.start < 45)
