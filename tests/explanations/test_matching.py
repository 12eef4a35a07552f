"""Matching with a known truth: published chance values, brute force, and what misleads."""

import itertools

import pytest
import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.matching import (
    chance_mmcs,
    column_recovery,
    corrected_mmcs,
    cosines,
    match,
    match_columns,
    mmcs,
)


@pytest.mark.parametrize(("d", "K", "published"), [(8, 16, 0.60), (8, 512, 0.86), (256, 16_384, 0.24)])
def test_chance_is_what_the_field_states(d, K, published):
    assert chance_mmcs(d, K) == pytest.approx(published, abs=0.0055)  # .2451 is stated as .24


@pytest.mark.parametrize(("d", "K"), [(1, 3), (2, 20), (3, 5), (8, 16)])
def test_chance_is_the_mean_over_random_directions(d, K):
    g = torch.Generator().manual_seed(0)
    drawn = [mmcs(torch.randn(20, d, generator=g), torch.randn(K, d, generator=g)) for _ in range(300)]
    assert sum(drawn) / 300 == pytest.approx(chance_mmcs(d, K), abs=0.03)


def test_corrected_similarity_is_one_for_the_truth_and_nought_for_chance():
    g = torch.Generator().manual_seed(1)
    truth = torch.randn(12, 6, generator=g)
    assert corrected_mmcs(truth, truth) == pytest.approx(1)
    drawn = [corrected_mmcs(truth, torch.randn(40, 6, generator=g)) for _ in range(200)]
    assert sum(drawn) / 200 == pytest.approx(0, abs=0.03)


def test_matching_is_the_best_of_all_matchings():
    g = torch.Generator().manual_seed(2)
    for _ in range(20):
        truth, found = torch.randn(4, 3, generator=g), torch.randn(6, 3, generator=g)
        table = cosines(truth, found)
        best = max(
            sum(float(table[i, j]) for i, j in enumerate(p)) for p in itertools.permutations(range(6), 4)
        )
        assert float(match(truth, found).cosine.sum()) == pytest.approx(best)


def test_one_candidate_cannot_serve_two_truths():
    truth = torch.tensor([[1.0, 0.1], [1.0, -0.1]])
    found = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert mmcs(truth, found) > 0.99
    assert sorted(match(truth, found).cosine.tolist())[0] < 0
    assert match(truth, found).agrees().sum() == 1


def test_lengths_and_order_do_not_matter_to_the_cosine_but_lengths_do_to_the_verdict():
    g = torch.Generator().manual_seed(3)
    truth = torch.randn(5, 2, 7, generator=g)
    order = torch.tensor([3, 0, 4, 1, 2])
    paired = match(truth, 0.8 * truth[order])
    assert torch.equal(order[paired.found], paired.truth)
    assert paired.cosine.tolist() == pytest.approx([1.0] * 5)
    assert paired.ratio.tolist() == pytest.approx([0.8] * 5)
    assert not paired.agrees().any()
    assert paired.agrees(ratio=0.21).all()


def test_columns_are_found_by_their_own_columns():
    g = torch.Generator().manual_seed(4)
    W = torch.randn(3, 5, generator=g)
    planted = torch.stack([W * (torch.arange(5) == j) for j in range(5)])
    true = column_recovery(W, planted)
    assert (true.mmcs, true.corrected, true.ml2r) == pytest.approx((1, 1, 1))
    split = column_recovery(W, torch.cat([0.4 * planted, 0.6 * planted]))
    assert (split.mmcs, split.ml2r) == pytest.approx((1, split.ml2r))
    assert split.ml2r in (pytest.approx(0.4), pytest.approx(0.6), pytest.approx(0.5, abs=0.11))
    assert column_recovery(W, W[None] * 2).ml2r == pytest.approx(2)


def test_columns_are_matched_by_length_as_well_as_direction():
    g = torch.Generator().manual_seed(5)
    W = torch.randn(2, 4, generator=g)
    planted = torch.stack([W * (torch.arange(4) == j) for j in range(4)])
    stray = planted + 0.3 * torch.randn(4, 2, 4, generator=g) * (torch.eye(4)[:, None] == 0)
    parts = torch.cat([0.01 * W[None], stray[[2, 0, 3, 1]]])
    paired = match_columns(W, parts)
    assert paired.found.tolist() == [2, 4, 1, 3]
    assert paired.cosine.tolist() == pytest.approx([1.0] * 4)
    assert paired.ratio.tolist() == pytest.approx([1.0] * 4)
    merged = torch.stack([planted[0] + planted[1], planted[2], planted[3], 0 * W])
    assert match_columns(W, merged).agrees().sum() == 3


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ExplanationError, match=r"\(2, 3\) and \(2, 4\)"):
        mmcs(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(ExplanationError, match="expected"):
        column_recovery(torch.ones(2, 3), torch.ones(4, 3, 2))
    with pytest.raises(ExplanationError, match="width"):
        chance_mmcs(0, 4)
