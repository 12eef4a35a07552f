import math

import numpy as np
import pytest
import torch
from assay.mdl import PartError, Parts, PartTensor, one_part
from assay.mdl.lengths import elias_delta, log2_binomial
from assay.mdl.part_codes import step_exponent
from assay.mdl.parts import send_parts
from assay.mdl.structure import COUNT_CHOICE
from hypothesis import given, settings
from hypothesis import strategies as st


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 20), st.floats(1e-8, 1e8), st.integers(0, 1000))
def test_restored_numbers_lie_on_a_dyadic_grid_of_so_many_bits(precision, scale, seed):
    values = drawn(3, 4, seed=seed) * scale
    sent = send_parts(Parts(3, (PartTensor("w", values, torch.arange(3)),)), precision)
    step = 2.0 ** step_exponent(values, precision)
    integers = sent.restored["w"] / step
    assert torch.equal(integers, integers.round())
    assert float(integers.abs().max()) <= 2 ** (precision - 1) - 1
    assert float((sent.restored["w"] - values).abs().max()) <= step / 2 * (1 + 1e-12)


def test_more_bits_come_closer_and_cost_more():
    values = drawn(20, 30)
    error, cost = [], []
    for precision in (4, 8, 12, 16):
        sent = send_parts(Parts(20, (PartTensor("w", values, torch.arange(20)),)), precision)
        error.append(float((sent.restored["w"] - values).abs().max()))
        cost.append(sent.total(np.ones(20, dtype=np.int64)))
    assert error == sorted(error, reverse=True)
    assert cost == sorted(cost)


def test_only_used_parts_and_the_remainder_are_paid():
    values = drawn(10, 6)
    sent = send_parts(
        Parts(10, (PartTensor("w", values, torch.arange(10)), one_part("rest", drawn(50), 10))), 8
    )
    none, one, all_ = (sent.total(np.array(u)) for u in ([0] * 10, [0, 3] + [0] * 8, [1] * 10))
    assert none < one < all_
    assert sent.numbers.tolist() == [6] * 10 + [50]
    raw = 50 * math.log2(255)
    assert none <= raw + 60  # headers included


def test_how_often_a_part_is_used_does_not_matter():
    sent = send_parts(Parts(3, (PartTensor("w", drawn(3, 4), torch.arange(3)),)), 8)
    assert sent.total(np.array([1, 0, 1])) == sent.total(np.array([99, 0, 7]))


def test_a_sparse_tensor_is_told_as_a_mask_and_what_it_keeps():
    values = torch.zeros(1, 1000, dtype=torch.float64)
    values[0, ::100] = drawn(10)
    sent = send_parts(Parts(1, (PartTensor("w", values, torch.zeros(1, dtype=torch.long)),)), 8)
    chosen = sent.chosen(np.array([1]))[0]
    assert "sparse" in chosen.name
    mask = float(log2_binomial(1000, 10)) + float(elias_delta(11))
    assert mask + 10 * 2 < chosen.bits[0] < mask + 10 * 10


def test_masked_entries_are_zero_and_the_mask_is_paid():
    mask = torch.rand(200, generator=torch.Generator().manual_seed(1)) < 0.3
    sent = send_parts(Parts(1, (one_part("w", drawn(200), 0, mask),)), 8)
    assert torch.equal(sent.restored["w"][0] != 0, (sent.restored["w"][0] != 0) & mask)
    assert sent.numbers[0] == int(mask.sum())
    structure = float(log2_binomial(200, int(mask.sum()))) + float(elias_delta(int(mask.sum()) + 1))
    assert all(way.bits[0] >= structure for way in sent.ways[0])


def test_boolean_values_are_structure():
    kept = torch.tensor([True, False, True, False, False])
    sent = send_parts(Parts(0, (one_part("kept", kept, 0),)), 8)
    assert torch.equal(sent.restored["kept"][0], kept)
    bits = COUNT_CHOICE + math.log2(math.comb(5, 2)) + math.log2(6)
    assert sent.total(np.zeros(0, dtype=np.int64)) == pytest.approx(float(elias_delta(8)) + bits)


def test_constant_and_empty_tensors_are_sent():
    parts = Parts(1, (one_part("zeros", torch.zeros(4), 0), one_part("none", torch.zeros(0, 8, 9), 0)))
    sent = send_parts(parts, 8)
    assert torch.equal(sent.restored["zeros"], torch.zeros(1, 4, dtype=torch.float64))
    assert math.isfinite(sent.total(np.array([1])))


@pytest.mark.parametrize("precision", [1, 33])
def test_precision_has_bounds(precision):
    with pytest.raises(PartError, match=f"2 to 32 bits, got {precision}"):
        send_parts(Parts(0, ()), precision)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(PartError, match="w: 3 slices, owners"):
        PartTensor("w", torch.zeros(3, 2), torch.arange(2))
    with pytest.raises(PartError, match="w: mask"):
        PartTensor("w", torch.zeros(3, 2), torch.arange(3), torch.ones(3, 1, dtype=torch.bool))
    with pytest.raises(PartError, match="w: a part holds NaN or infinite"):
        one_part("w", torch.tensor([0.0, math.inf]), 0)
    with pytest.raises(PartError, match=r"w: owners must lie in 0\.\.2"):
        Parts(2, (PartTensor("w", torch.zeros(1, 2), torch.tensor([3])),))


def used_by_all(parts: Parts, precision: int = 8) -> tuple[float, str]:
    sent = send_parts(parts, precision)
    everyone = np.ones(parts.count, dtype=np.int64)
    return sent.total(everyone), sent.chosen(everyone)[-1].name


def test_a_tensor_that_is_sent_already_costs_the_naming_of_it():
    W = drawn(30, 20)
    alone, _ = used_by_all(Parts(0, (one_part("in", W, 0),)))
    for again in (W.clone(), W.T.contiguous()):
        twice, name = used_by_all(Parts(0, (one_part("in", W, 0), one_part("out", again, 0))))
        assert name == "same as in"
        assert 0 < twice - alone < 8


def test_only_what_is_sent_in_any_case_can_be_referred_to():
    W = drawn(5, 6)
    rows, remainder = torch.arange(5), torch.full((5,), 5)
    first = [PartTensor("first", W, owner) for owner in (rows, remainder, torch.arange(5).flip(0))]
    second = PartTensor("second", W, rows)
    shared = ["same as" in used_by_all(Parts(5, (one, second)))[1] for one in first]
    assert shared == [True, True, False]


@pytest.mark.parametrize("shape", [(1, 60, 90), (3, 40, 50), (1, 2, 40, 50)])
def test_matrices_of_low_rank_are_told_as_factors(shape):
    *lead, a, b = shape
    thin = drawn(*lead, a, 3) @ drawn(*lead, 3, b, seed=1)
    owner = torch.zeros(shape[0], dtype=torch.long)
    for noise, gain in ((0.0, 0.5), (0.05, 0.2)):
        values = thin + noise * drawn(*shape, seed=2)
        parts = Parts(0, (PartTensor("w", values, owner),))
        bits, name = used_by_all(parts, 10)
        without = send_parts(parts, 10, thorough=False).total(np.zeros(0, dtype=np.int64))
        assert name.startswith("rank 3 of")
        assert bits < (1 - gain) * without


def test_a_matrix_of_full_rank_is_not_factored():
    assert "rank" not in used_by_all(Parts(0, (one_part("w", drawn(60, 90), 0),)))[1]


def test_the_ideal_spectrum_is_that_of_a_singular_value_decomposition():
    from assay.mdl.low_rank import Spectrum

    W = drawn(2, 30, 20)
    spectrum = Spectrum.of(W)
    squares = torch.linalg.svdvals(W).square().sum(0)
    for rank in (0, 1, 7, 20):
        assert spectrum.tails[rank] == pytest.approx(float(squares[rank:].sum()), abs=1e-8)
    U, V = spectrum.factors(20)
    assert torch.allclose(U @ V, W)


def test_factors_whose_products_float64_cannot_hold_are_refused():
    from assay.mdl.low_rank import is_exact, product

    assert is_exact(8, 16)
    assert not is_exact(2**24, 16)
    assert not is_exact(1, 17)
    big = np.full((1, 1, 1), 2**20)
    assert product(big, big, -3).item() == 2**37
    with pytest.raises(ValueError, match=r"beyond 2\^53"):
        product(big, big, 20)


def test_copies_are_priced_as_one():
    one = drawn(12, 9)
    copies = send_parts(Parts(6, (PartTensor("w", one.expand(6, 12, 9), torch.arange(6)),)), 6)
    singly = send_parts(Parts(6, (PartTensor("w", one.repeat(6, 1, 1), torch.arange(6)),)), 6)
    assert torch.equal(copies.restored["w"], singly.restored["w"])
    assert copies.numbers.tolist() == singly.numbers.tolist()
    bits = copies.chosen(np.ones(6))[0].bits
    assert bits[:6] == pytest.approx(bits[0])
