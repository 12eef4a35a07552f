"""Codes of the support that know dependence: tallies add, trees are trees, what is priced travels."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from assay.mdl.active import Active
from assay.mdl.dependence import BEFORE, NONE, dependence, with_parents
from assay.mdl.joint import Together
from assay.mdl.support import shortest_support, support_costs
from assay.mdl.tally import Usage, merge
from assay.mdl.transmit_support import support
from assay.mdl.wire import BitstreamError, Receiver, Sender
from hypothesis import given
from hypothesis import strategies as st

from .strategies import LAWFUL


def drawn(data: int, positions: int, parts: int, seed: int) -> torch.Tensor:
    """Parts that copy one another, or themselves on the row before, more or less."""
    rng = np.random.default_rng(seed)
    active = rng.random((data, positions, parts)) < rng.random(parts)
    for part in range(1, parts):
        source = int(rng.integers(part))
        active[..., part] = np.where(
            rng.random((data, positions)) < 0.8, active[..., source], active[..., part]
        )
    for place in range(1, positions):
        active[:, place] |= active[:, place - 1] & (rng.random(parts) < 0.5)
    return torch.from_numpy(active)


CASES = (st.integers(1, 40), st.integers(1, 5), st.integers(2, 7), st.integers(0, 10**6))


def tallied(active: torch.Tensor) -> Usage:
    return Together(active.shape[1], True).usage(active.flatten(0, 1))


@LAWFUL
@given(*CASES)
def test_counts_are_those_of_a_plain_count(data, positions, parts, seed):
    active = drawn(data, positions, parts, seed)
    joint, a = tallied(active).joint, active.numpy()
    assert joint.before.tolist() == a[:, :-1].sum((0, 1)).tolist()
    assert joint.stays.tolist() == (a[:, :-1] & a[:, 1:]).sum((0, 1)).tolist()
    for i, j in product(range(parts), repeat=2):
        assert joint.pairs[i, j] == ((a[..., i] & a[..., j]).sum() if i < j else 0)


@LAWFUL
@given(*CASES, st.randoms(use_true_random=False))
def test_joint_tallies_of_data_add_in_any_order(data, positions, parts, seed, random):
    active = drawn(data, positions, parts, seed)
    shards = [tallied(datum[None]) for datum in active]
    random.shuffle(shards)
    whole = tallied(active)
    assert merge([Usage.zero(parts), *shards]) == whole
    assert shortest_support(merge(shards)) == shortest_support(whole)


@LAWFUL
@given(*CASES)
def test_every_part_has_one_parent_and_no_part_is_its_own_ancestor(data, positions, parts, seed):
    tree = dependence(tallied(drawn(data, positions, parts, seed)))
    if tree is None:
        return
    for part in range(parts):
        seen = [part]
        while tree.parent[seen[-1]] >= 0:
            seen.append(int(tree.parent[seen[-1]]))
            assert len(seen) == len(set(seen))
        assert tree.parent[seen[-1]] in (NONE, BEFORE)


@LAWFUL
@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 10**6))
def test_given_the_parents_the_code_is_a_probability(data, positions, seed):
    """All supports of two or three parts: their probabilities under one tree sum to one."""
    parts, parent = 2, np.array([BEFORE, 0])
    if data * positions * parts > 10:
        return
    total = 0.0
    for bits in product([False, True], repeat=data * positions * parts):
        active = torch.tensor(bits).reshape(data, positions, parts)
        total += 2.0 ** -with_parents(tallied(active), parent).adaptive
    assert total == pytest.approx(1, abs=1e-9)


@LAWFUL
@given(*CASES)
def test_every_code_of_the_support_travels(data, positions, parts, seed):
    active = drawn(data, positions, parts, seed)
    sets, rows = Active.of(active.flatten(0, 1).long().numpy()), data * positions
    for cost in support_costs(tallied(active)):
        sender = Sender()
        support(sender, sets, cost, rows, parts)
        arrived = support(Receiver(sender.words()), None, None, rows, parts)
        assert np.array_equal(arrived.dense(), sets.dense())


def test_the_stream_is_as_long_as_the_price():
    active = drawn(3000, 10, 12, 3)
    sets = Active.of(active.flatten(0, 1).long().numpy())
    costs = {cost.name: cost for cost in support_costs(tallied(active))}
    for name in ("dependent", "dependent frequencies"):
        sender = Sender()
        support(sender, sets, costs[name], sets.rows, sets.parts)
        assert 32 * len(sender.words()) == pytest.approx(costs[name].bits(sets.rows), rel=0.005)
    assert costs["dependent"].bits(30_000) < 0.85 * costs["per-part"].bits(30_000)


def test_a_copy_costs_next_to_nothing():
    """Two equal parts: one bit a row for the first, and for the second what KT needs to see that."""
    one = torch.from_numpy(np.random.default_rng(0).random((5000, 1, 1)) < 0.5)
    tree = dependence(tallied(one.expand(-1, -1, 2)))
    assert sorted(tree.parent.tolist()) in ([NONE, 0], [NONE, 1])
    assert tree.adaptive == pytest.approx(5000 + 0.5 * math.log2(5000), abs=20)


def test_frequencies_are_linear_in_data():
    active = drawn(60, 4, 6, 5)
    whole = tallied(active)
    parent = dependence(whole).parent
    assert (
        with_parents(whole, parent).seen.tolist()
        == (
            with_parents(tallied(active[:17]), parent).seen + with_parents(tallied(active[17:]), parent).seen
        ).tolist()
    )


def test_tallies_with_and_without_pairs_do_not_add():
    row = torch.tensor([0])
    with pytest.raises(ValueError, match="with and without pairs"):
        Together(1, True).tally(row, row, 1, 2) + Together(1, False).tally(row, row, 1, 2)


def test_parents_in_a_circle_are_refused():
    active = drawn(50, 1, 3, 0)
    whole = tallied(active)
    sets = Active.of(active.flatten(0, 1).long().numpy())
    cost = next(c for c in support_costs(whole) if c.name == "dependent")
    honest = cost.dependence.parent
    forged = with_parents(whole, honest)
    forged.parent[:] = [1, 2, 0]
    sender = Sender()
    with pytest.raises(BitstreamError, match="each other's parents"):
        support(sender, sets, cost.__class__("dependent", 0.0, 0.0, False, forged), 50, 3)
