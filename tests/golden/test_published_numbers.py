"""Numbers from the literature, by name, recomputed."""

import math

import pytest
import torch
from assay.mdl.lengths import elias_delta, log2_binomial
from assay.mdl.readings import (
    KBIT,
    apd_description_length,
    break_even,
    equality_surprise,
    mdl_sae_upper_bound,
    ordered_index_list,
    parameter_count_bits,
    uniform_code,
    unordered_index_set,
)
from assay.mdl.waterfilling import reverse_waterfilling, water_level

L0, B, FEATURES, WIDTH = 65, 7, 25_000, 768  # GPT-2 small, arXiv 2410.11179


def test_mdl_sae_upper_bound():
    assert mdl_sae_upper_bound(L0, B, FEATURES) == pytest.approx(1404.6, abs=0.05)


def test_dense_code_of_768_coordinates_at_7_bits():
    assert parameter_count_bits(WIDTH, B) == 5376


def test_a_set_is_shorter_than_an_ordered_list():
    assert ordered_index_list(L0, FEATURES) == pytest.approx(949.6, abs=0.05)
    assert unordered_index_set(L0, FEATURES) == pytest.approx(647.5, abs=0.05)
    assert L0 * B + unordered_index_set(L0, FEATURES) == pytest.approx(1102.5, abs=0.05)


def test_the_decoder_at_7_bits_and_its_break_even_against_dense():
    decoder = parameter_count_bits(WIDTH * FEATURES, B)
    assert decoder == 134_400_000
    bound = mdl_sae_upper_bound(L0, B, FEATURES)
    assert round(break_even(decoder, bound, parameter_count_bits(WIDTH, B))) == 33_842
    assert break_even(decoder, 6000, 5376) == math.inf


@pytest.mark.parametrize(("fvu", "bits"), [(0.1, 731), (0.2, 352)])
def test_reverse_waterfilling_of_the_spectrum_one_over_i(fvu, bits):
    spectrum = [1 / i for i in range(1, WIDTH + 1)]
    assert round(reverse_waterfilling(spectrum, fvu * sum(spectrum))) == bits


@pytest.mark.parametrize(("fvu", "bits"), [(0.1, 1276), (0.2, 892)])
def test_reverse_waterfilling_of_a_white_spectrum(fvu, bits):
    assert round(reverse_waterfilling([1.0] * WIDTH, fvu * WIDTH)) == bits


@pytest.mark.parametrize("distortion", [0.01, 0.3, 1.0, 2.4, 2.999])
def test_the_water_level_spends_exactly_the_distortion(distortion):
    spectrum = torch.tensor([2.0, 0.0, 0.7, 0.2, 0.1], dtype=torch.float64)
    level = water_level(spectrum.numpy(), distortion)
    assert float(spectrum.clamp(max=level).sum()) == pytest.approx(distortion)
    by_hand = sum(0.5 * math.log2(v / level) for v in spectrum.tolist() if v > level)
    assert reverse_waterfilling(spectrum, distortion) == pytest.approx(by_hand)


def test_reverse_waterfilling_at_its_ends():
    assert reverse_waterfilling([1.0, 2.0], 3.0) == reverse_waterfilling([0.0], 1.0) == 0.0
    with pytest.raises(ValueError, match="none of them negative"):
        reverse_waterfilling([1.0, -1e-3], 0.1)
    with pytest.raises(ValueError, match="must be positive, got 0"):
        reverse_waterfilling([1.0], 0)


def test_acdc_greater_than_circuit():
    """68 of 32,000 edges; the count as a number of 0 … 32,000 takes 15 bits."""
    assert float(log2_binomial(32_000, 68)) == pytest.approx(697.4, abs=0.05)
    assert math.ceil(math.log2(32_001)) == 15
    assert int(elias_delta(68 + 1)) == 11  # what our own masks pay for the count


def test_apd_description_length_of_one_sample():
    """Two of four components are active; ranks by layer; every active one pays α · rank + log2 C."""
    ranks = {"W_in": [1, 2, 0, 3], "W_out": [1, 1, 2, 0]}
    assert apd_description_length(ranks, [0, 3], alpha=5.0, components=4) == 5 * (2 + 3) + 2 * 2
    assert apd_description_length(ranks, [], 5.0, 4) == 0


def test_prequential_part_of_speech_probe_uniform_code():
    assert round(uniform_code(950_028, 45) / KBIT) == 5095


W_IH = torch.tensor([4.174038, -6.7540298], dtype=torch.float64)
W_HH = torch.tensor([[-0.38212356, 1.2886474], [1.847114, -0.75152266]], dtype=torch.float64)
W_OH = torch.tensor([[9.540969, -25.69231], [-9.538148, 25.63807]], dtype=torch.float64)
"""AlgZoo's M(2,2): h_t = relu(W_hh h + W_ih x_t), logits W_oh h_2; it finds the smaller of two numbers."""


def test_algzoo_m22_is_wrong_about_once_in_12500():
    """It is positively homogeneous, so its error on Gaussian pairs is a share of all directions."""
    angle = (torch.arange(2**22, dtype=torch.float64) + 0.5) * (2 * math.pi / 2**22)
    x = torch.stack([angle.cos(), angle.sin()], dim=1)
    h = torch.relu(x[:, :1] * W_IH)
    h = torch.relu(h @ W_HH.T + x[:, 1:] * W_IH)
    wrong = (h @ W_OH.T).argmax(1) != x.argmin(1)
    assert 11_900 < 1 / float(wrong.double().mean()) < 13_030


def test_algzoo_m22_surprise_accounting():
    """Where both neurons are on, the logit difference is c (x_2 − x_1), but for two near-equalities.

    The coefficients of x_1 (one for each sign of x_1) equal that of x_2 to 3.27e-4 and 6.46e-4. The 14 and
    4 bits are those that the source states for the other terms.
    """
    reads = W_OH[0] - W_OH[1]
    of_x2 = float(reads @ W_IH)
    of_x1 = [-float(reads @ W_HH[:, neuron] * W_IH[neuron]) for neuron in (0, 1)]
    relative = [abs(c - of_x2) / of_x2 for c in of_x1]
    assert relative == pytest.approx([3.27e-4, 6.46e-4], rel=1e-3)
    bits = [equality_surprise(c, of_x2) for c in of_x1]
    assert [round(b, 2) for b in bits] == [11.58, 10.6]
    assert 14 + 4 + sum(bits) == pytest.approx(40.18, abs=0.01)


def test_equal_numbers_are_infinitely_surprising():
    assert equality_surprise(2.0, 2.0) == math.inf
