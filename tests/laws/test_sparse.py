"""Sparse flags and sets travel at the length of the codes that tell them flag by flag."""

import tracemalloc

import numpy as np
import pytest
import torch
from assay.mdl import GridTarget, SiteProblem
from assay.mdl.active import Active
from assay.mdl.audit import audit_site
from assay.mdl.joint import Together
from assay.mdl.lengths import log2_binomial
from assay.mdl.message import Code, Dictionary
from assay.mdl.site_score import score_site
from assay.mdl.support import support_costs
from assay.mdl.tally import Histogram, Usage
from assay.mdl.transmit_sets import FEW, sets, sparse_flags
from assay.mdl.transmit_support import support
from assay.mdl.wire import BitstreamError, Receiver, Sender
from hypothesis import given
from hypothesis import strategies as st

from .strategies import LAWFUL


@LAWFUL
@given(
    st.lists(st.tuples(st.integers(0, 700), st.floats(0, 1)), min_size=1, max_size=8), st.integers(0, 10**6)
)
def test_flags_arrive_and_cost_what_they_cost_one_by_one(sequences, seed):
    rng = np.random.default_rng(seed)
    lengths, p = np.array([n for n, _ in sequences]), np.array([q for _, q in sequences])
    flags = rng.random(lengths.sum()) < np.repeat(p, lengths)
    sender = Sender()
    sparse_flags(sender, np.nonzero(flags)[0], lengths, p)
    each = np.clip(np.repeat(p, lengths), 2.0**-23, 1 - 2.0**-23)
    wanted = -np.log2(np.where(flags, each, 1 - each)).sum()
    assert sender.bits == pytest.approx(wanted, rel=1e-3, abs=1e-2)
    receiver = Receiver(sender.words())
    assert np.array_equal(sparse_flags(receiver, None, lengths, p), np.nonzero(flags)[0])
    receiver.finish()


def test_flags_take_symbols_for_the_ones_alone():
    """2^36 flags, of which a thousand are set."""
    lengths, p = np.full(2**16, 2**20), np.full(2**16, 2.0**-22)
    place = np.unique(np.random.default_rng(0).integers(0, 2**36, 1000))
    sender = Sender()
    sparse_flags(sender, place, lengths, p)
    wanted = -place.size * np.log2(2.0**-22) - (2**36 - place.size) * np.log1p(-(2.0**-22)) / np.log(2)
    assert sender.bits == pytest.approx(wanted, rel=1e-4)
    assert np.array_equal(sparse_flags(Receiver(sender.words()), None, lengths, p), place)


@LAWFUL
@given(st.integers(0, 30), st.integers(1, 3000), st.integers(0, 60), st.integers(0, 10**6))
def test_sets_arrive_at_the_logarithm_of_their_number(rows, parts, most, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, min(most, parts) + 1, rows)
    chosen = [np.sort(rng.permutation(parts)[:size]) for size in sizes]
    given_sets = Active(
        np.repeat(np.arange(rows), sizes), np.concatenate([*chosen, np.zeros(0, dtype=np.int64)]), rows, parts
    )
    sender = Sender()
    sets(sender, given_sets, sizes, parts)
    assert sender.bits == pytest.approx(float(log2_binomial(parts, sizes).sum()), rel=1e-4, abs=1e-2)
    receiver = Receiver(sender.words())
    arrived = sets(receiver, None, sizes, parts)
    receiver.finish()
    assert np.array_equal(arrived.row, given_sets.row)
    assert np.array_equal(arrived.part, given_sets.part)


def test_entries_of_any_order_are_sorted():
    found = Active.at(np.array([2, 0, 2]), np.array([1, 3, 0]), 3, 4)
    assert found.row.tolist() == [0, 2, 2]
    assert found.part.tolist() == [3, 0, 1]
    assert np.array_equal(Active.of(found.dense()).part, found.part)
    assert found.counts.tolist() == [1, 1, 0, 1]
    assert found.sizes.tolist() == [1, 0, 2]
    assert found.between(1, 3).row.tolist() == [1, 1]


@pytest.mark.parametrize(("positions", "parts"), [(1, 60), (7, 60), (1, 700), (10, 700)])
def test_every_code_of_many_rows_is_as_long_as_its_price(positions, parts):
    """Stretches that are large, so that the tree of flags is used, and parts that depend on each other."""
    g = torch.Generator().manual_seed(parts + positions)
    rows = 300 * positions
    base = torch.rand(rows, parts, generator=g) < 0.03
    base[1:] |= base[:-1] & (torch.rand(rows - 1, parts, generator=g) < 0.6)
    base[:, 1::2] = base[:, ::2] & (torch.rand(rows, parts // 2, generator=g) < 0.7)
    given_sets = Active.of(base.long().numpy())
    usage = Together(positions, parts <= 512).usage(base)
    names = set()
    for cost in support_costs(usage):
        sender = Sender()
        support(sender, given_sets, cost, rows, parts)
        assert sender.bits == pytest.approx(cost.bits(rows), rel=0.03)
        receiver = Receiver(sender.words())
        arrived = support(receiver, None, None, rows, parts)
        receiver.finish()
        assert np.array_equal(arrived.row * parts + arrived.part, given_sets.row * parts + given_sets.part)
        names.add(cost.name)
    assert names >= {"free", "enumerative", "per-part", "frequencies"}
    if positions > 1 or parts <= 512:
        assert names >= {"dependent", "dependent frequencies"}


@pytest.mark.parametrize("name", ["free", "enumerative", "frequencies", "per-part"])
def test_neither_end_holds_a_matrix_of_rows_and_parts(name):
    """65,536 rows of 24,576 parts would be 1.6 GB as bytes."""
    rows, parts = 65_536, 24_576
    rng = np.random.default_rng(0)
    place = np.unique(rng.integers(0, rows, 60_000) * parts + rng.integers(0, 2048, 60_000))
    given_sets = Active(place // parts, place % parts, rows, parts)
    usage = Usage(given_sets.counts, rows, Histogram.of(given_sets.sizes))
    cost = next(c for c in support_costs(usage) if c.name == name)
    tracemalloc.start()
    try:
        sender = Sender()
        support(sender, given_sets, cost, rows, parts)
        arrived = support(Receiver(sender.words()), None, None, rows, parts)
        assert tracemalloc.get_traced_memory()[1] < 4e8
    finally:
        tracemalloc.stop()
    assert sender.bits == pytest.approx(cost.bits(rows), rel=0.01)
    assert np.array_equal(arrived.row * parts + arrived.part, place)


def test_more_active_parts_than_could_be_meant_are_refused():
    sizes = np.full(2**14, 2**15)
    with pytest.raises(BitstreamError, match="active parts"):
        sets(Receiver(np.ones(4, dtype=np.uint32)), None, sizes, 2**16)


class Unordered:
    """Parts of a row in no order."""

    kind, name, open_ended = "unordered", "unordered", False

    def dictionary(self) -> Dictionary:
        return Dictionary(torch.eye(6).double(), torch.zeros(6))

    def code(self, x: torch.Tensor) -> Code:
        code = Code.dense(x.double())
        backwards = (code.row * 6 + (5 - code.part)).argsort()
        return Code(code.row, code.part[backwards], code.value[backwards], code.rows, code.parts)

    def recipe(self) -> dict[str, object]:
        return {}


def test_parts_of_a_row_may_come_in_any_order():
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) * 3
    asked = SiteProblem(x, GridTarget(0.5), 0.5)
    explanation = Unordered()
    assert audit_site(explanation, asked, score_site(explanation, asked, precision=4))["decodes"] is True


def test_few_flags_are_told_one_by_one_and_many_as_a_tree():
    rng = np.random.default_rng(1)
    for length in (FEW - 1, FEW, FEW + 1, 3 * FEW):
        flags, lengths, p = rng.random(length) < 0.3, np.array([length]), np.array([0.3])
        sender = Sender()
        sparse_flags(sender, np.nonzero(flags)[0], lengths, p)
        bits = -(np.log2(0.3) * flags.sum() + np.log2(0.7) * (~flags).sum())
        assert sender.bits == pytest.approx(bits, rel=1e-4)
