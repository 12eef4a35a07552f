"""Numbers from the literature, by name, recomputed."""

import math

import numpy as np
import pytest
import torch
from assay.explanations.two_numbers import Comparer, surprise
from assay.mdl import Parts, one_part
from assay.mdl.lengths import elias_delta, log2_binomial
from assay.mdl.parts import send_parts
from assay.mdl.readings import (
    KBIT,
    apd_description_length,
    break_even,
    mdl_sae_upper_bound,
    ordered_index_list,
    parameter_count_bits,
    uniform_code,
    unordered_index_set,
)
from assay.mdl.structure import uniform_subset_bits
from assay.mdl.surprise import equality_surprise, outcome_surprise
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
    assert int(elias_delta(68 + 1)) == 11  # what our own masks pay for the count, that being shorter


def test_acdc_greater_than_circuit_as_a_part():
    """68 of 32,000 edges under our own codes: the set, the count, log2 3 for which code of the count."""
    edges = torch.zeros(160, 200, dtype=torch.bool)
    edges.view(-1)[torch.randperm(32_000, generator=torch.Generator().manual_seed(0))[:68]] = True
    sent = send_parts(Parts(0, (one_part("edges", edges.flatten(), 0),)), 8)
    assert sent.total(np.zeros(0)) - sent.header == pytest.approx(697.4 + 11 + math.log2(3), abs=0.05)
    assert uniform_subset_bits(32_000, 68) == pytest.approx(697.4 + 15, abs=0.1)


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


def m22() -> Comparer:
    return Comparer(W_IH.numpy(), W_HH.numpy(), W_OH.numpy())


def test_algzoo_m22_surprise_accounting():
    """14 for ten signs and four comparisons with 1; 4 for pieces without ties; 11.58 + 10.60 for those with.

    Where both neurons are on, the logit difference is c (x_2 − x_1), but for 3.27e-4 and 6.46e-4 of c.
    """
    account = surprise(m22())
    bits = [step.bits for step in account.steps]
    assert bits[:3] == [10, 4, 4]
    assert sorted(round(b, 2) for b in bits[3:]) == [10.6, 11.58]
    assert account.total == pytest.approx(40.18, abs=0.01)
    relative = [abs(c.a + c.b) / c.b for c in m22().standardised().cones() if c.decides]
    assert sorted(relative) == pytest.approx([3.27e-4, 6.46e-4], rel=1e-3)


def test_algzoo_m22_is_explained_exactly_so_outcomes_surprise_nobody():
    """The pieces give the error rate; what four million pairs then do is as expected, to a bit or so."""
    rate = m22().error_rate()
    assert 11_900 < 1 / rate < 13_030
    x = torch.randn(2**22, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h = torch.relu(torch.relu(x[:, :1] * W_IH) @ W_HH.T + x[:, 1:] * W_IH)
    wrong = int(((h @ W_OH.T).argmax(1) != x.argmin(1)).sum())
    given = outcome_surprise(wrong, len(x), rate)
    assert given < 4
    assert surprise(m22(), given).total == pytest.approx(40.17 + given, abs=0.01)


def test_a_network_that_compares_exactly_is_infinitely_surprising():
    """AlgZoo's handcrafted model of two numbers: one piece, coefficients that cancel without rest."""
    W = np.array([1.0, -1.0])
    exact = Comparer(W, np.array([[-1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert exact.error_rate() == 0
    assert surprise(exact).total == math.inf
    assert equality_surprise(2.0, 2.0) == math.inf
