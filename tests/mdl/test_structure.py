"""Masks as sets within sets: which order is found, and what it costs against counting by hand."""

import math

import numpy as np
import pytest
import torch
from assay.mdl import PartError, Parts, PartTensor, one_part
from assay.mdl.lengths import elias_delta, elias_gamma, log2_binomial
from assay.mdl.parts import send_parts
from assay.mdl.structure import COUNT_CHOICE, Frame, price_mask

FLAT = COUNT_CHOICE + 1  # one level, of more than one axis


def priced(mask: np.ndarray, joined: bool = True, exists: np.ndarray | None = None):
    frame = Frame(len(mask), mask.shape[1:], joined, exists)
    return price_mask(mask.reshape(len(mask), math.prod(mask.shape[1:])), frame)


def random_mask(*shape: int, density: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def test_one_level_is_the_enumerative_code():
    mask = random_mask(1, 40, 25, density=0.3)
    kept = int(mask.sum())
    by_hand = FLAT + float(log2_binomial(1000, kept)) + min(math.log2(1001), int(elias_delta(kept + 1)))
    assert priced(mask).total == pytest.approx(by_hand)


@pytest.mark.parametrize("axis", [1, 2])
def test_rows_or_columns_that_are_empty_are_told_first(axis):
    mask = random_mask(1, 60, 40, density=0.5)
    mask &= np.expand_dims(random_mask(1, (60, 40)[axis - 1], density=0.2, seed=1), 3 - axis)
    best = priced(mask)
    assert best.structure.levels[0].axes == (axis - 1,)
    lines = np.moveaxis(mask[0], axis - 1, 0)
    held = lines.any(1)
    counts = lines[held].sum(1)
    sets = float(log2_binomial(len(held), held.sum()) + log2_binomial(lines.shape[1], counts).sum())
    numbers = math.log2(len(held) + 1) + len(counts) * math.log2(lines.shape[1])
    by_hand = elias_gamma(2) + 2 + 2 * COUNT_CHOICE + sets + numbers
    assert best.total <= float(by_hand)
    assert best.total < 0.5 * (FLAT + float(log2_binomial(2400, mask.sum())))


def test_levels_of_layer_and_head_in_any_order_of_axes():
    mask = np.zeros((1, 6, 30, 8, 10), dtype=bool)  # layer, entry, head, entry
    mask[0, 4, :, 2] = random_mask(30, 10, density=0.5)
    mask[0, 1, :, 7] = random_mask(30, 10, density=0.5, seed=1)
    best = priced(mask)
    assert [level.axes for level in best.structure.levels] == [(0, 2), (1, 3)]
    assert best.total < 600 + 50


def test_slices_of_one_owner_are_told_together_and_others_one_by_one():
    mask = random_mask(30, 20, density=0.1)
    together, apart = priced(mask), priced(mask, joined=False)
    assert together.total < apart.total
    assert (apart.bits > 0).all()
    assert not together.bits[1:].any()


def test_entries_that_no_slice_keeps_are_told_once():
    mask = random_mask(50, 200, density=0.5) & (np.arange(200) % 10 == 0)
    best = priced(mask, joined=False)
    assert best.structure.union is not None
    assert best.header > float(log2_binomial(200, 20))
    assert best.bits.max() <= 20 + 10


def test_sizes_that_are_all_alike_cost_nothing_each():
    rng = np.random.default_rng(0)
    mask = np.zeros((1, 400, 64), dtype=bool)
    for row in mask[0]:
        row[rng.choice(64, 16, replace=False)] = True
    best = priced(mask)
    sets = 400 * float(log2_binomial(64, 16))
    assert sets < best.total < sets + 40


def test_edges_of_a_graph_without_cycles_are_counted_among_those_that_exist():
    exists = np.triu(np.ones((50, 50), dtype=bool), 1)
    edges = random_mask(1, 50, 50, density=0.05) & exists
    best, blind = priced(edges, exists=exists), priced(edges)
    allowed, kept = int(exists.sum()), int(edges.sum())
    count = min(math.log2(allowed + 1), int(elias_delta(kept + 1)))
    assert best.total == pytest.approx(FLAT + float(log2_binomial(allowed, kept)) + count)
    assert best.total < blind.total


def test_what_exists_not_is_neither_told_nor_kept():
    allowed = torch.triu(torch.ones(30, 30, dtype=torch.bool))
    values = torch.randn(30, 30, generator=torch.Generator().manual_seed(0)) * allowed
    known = send_parts(Parts(0, (one_part("w", values, 0, allowed=allowed),)), 8)
    masked = send_parts(Parts(0, (one_part("w", values, 0, mask=allowed),)), 8)
    assert known.numbers[0] == int(allowed.sum())
    assert masked.total(np.zeros(0)) - known.total(np.zeros(0)) > 50


def test_allowed_entries_that_do_not_fit_are_refused():
    ones = torch.ones(1, 2, 2)
    with pytest.raises(PartError, match=r"w: allowed is torch.bool \(3,\), expected torch.bool \(2, 2\)"):
        PartTensor("w", ones, torch.tensor([0]), allowed=torch.ones(3, dtype=torch.bool))
    with pytest.raises(PartError, match="w: 1 entries are not zero where nothing is allowed"):
        one_part("w", ones[0], 0, allowed=torch.tensor([[True, True], [True, False]]))


def test_an_empty_mask_and_one_of_no_entries():
    assert priced(np.zeros((3, 5), dtype=bool), joined=False).total < 10
    assert priced(np.zeros((2, 0), dtype=bool)).total < 5
    assert priced(np.zeros((0, 4), dtype=bool), joined=False).total <= 5
