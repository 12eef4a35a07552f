"""Every code is a prefix code: its Kraft sum is at most 1, and adaptive codes are probabilities."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from assay.mdl.lengths import (
    elias_delta,
    elias_gamma,
    kt,
    kt_bernoulli,
    log2_binomial,
    signed_delta,
    unzigzag,
    zigzag,
)
from assay.mdl.streams import (
    FLATTEST,
    STEEPEST,
    Adaptive,
    Discretised,
    Frozen,
    Range,
    Raw,
    Table,
    Universal,
    candidates,
    shortest,
)
from assay.mdl.support import shortest_support, support_costs
from assay.mdl.tally import Histogram, Usage
from hypothesis import given
from hypothesis import strategies as st

from .strategies import LAWFUL, histograms, usages

ROUNDING = 1e-9


def kraft(lengths: np.ndarray) -> float:
    return float(np.exp2(-np.asarray(lengths, dtype=np.float64)).sum())


@pytest.mark.parametrize("length", [elias_gamma, elias_delta])
def test_partial_kraft_sums_of_elias_codes_stay_below_one(length):
    n = np.arange(1, 2**16)
    partial = np.cumsum(np.exp2(-length(n).astype(float)))
    assert partial[-1] <= 1
    assert partial[-1] > 0.9  # no bits are wasted: gamma and delta are complete


def test_partial_kraft_sums_of_signed_codes_stay_below_one():
    n = np.arange(-(2**15), 2**15)
    assert 0.9 < kraft(signed_delta(n)) <= 1
    for name in ("gamma", "delta"):
        assert 0.9 < kraft(Universal(name).prices(n)) <= 1


@LAWFUL
@given(st.integers(1, 2**52))
def test_elias_lengths_are_those_of_the_written_codewords(n):
    def gamma(m: int) -> str:
        return "0" * (m.bit_length() - 1) + f"{m:b}"

    delta = gamma(n.bit_length()) + f"{n:b}"[1:]
    assert (int(elias_gamma(n)), int(elias_delta(n))) == (len(gamma(n)), len(delta))


@LAWFUL
@given(st.integers(-(2**51), 2**51))
def test_zigzag_is_undone(n):
    assert int(unzigzag(zigzag(n))) == n
    assert int(zigzag(n)) >= 0


@pytest.mark.parametrize("bad", [0, -1])
def test_elias_codes_start_at_one(bad):
    with pytest.raises(ValueError, match="start at 1"):
        elias_delta([3, bad])


@LAWFUL
@given(st.integers(0, 60), st.integers(0, 60))
def test_enumerative_codes_give_every_subset_one_word(n, k):
    bits = float(log2_binomial(n, k))
    if k > n:
        assert bits == math.inf
    else:
        assert bits == pytest.approx(math.log2(math.comb(n, k)), abs=1e-9)


def test_subset_and_size_together_fill_the_kraft_sum():
    C = 12
    sizes = np.arange(C + 1)
    words = log2_binomial(C, sizes) + elias_delta(sizes + 1)
    assert sum(math.comb(C, k) * 2.0**-bits for k, bits in zip(sizes, words, strict=True)) <= 1


@LAWFUL
@given(st.lists(st.integers(0, 4), max_size=30), st.integers(5, 9))
def test_kt_is_the_product_of_its_sequential_probabilities(sequence, K):
    counts = [0] * K
    probability = Fraction(1)
    for symbol in sequence:
        step = [Fraction(2 * c + 1, 2 * sum(counts) + K) for c in counts]
        assert sum(step) == 1
        probability *= step[symbol]
        counts[symbol] += 1
    exact = math.log2(probability.denominator) - math.log2(probability.numerator)
    assert kt([c for c in counts if c], alphabet=K) == pytest.approx(exact, abs=1e-8)
    assert kt(counts) == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize(("length", "K"), [(0, 3), (1, 2), (4, 3), (7, 2)])
def test_kt_probabilities_of_all_sequences_sum_to_one(length, K):
    words = product(range(K), repeat=length)
    sums = [2.0 ** -kt(np.bincount(np.array(w, dtype=int), minlength=K)) for w in words]
    assert math.fsum(sums) == pytest.approx(1, abs=1e-12)


@LAWFUL
@given(st.integers(0, 200), st.integers(0, 200))
def test_kt_bernoulli_is_kt_with_two_symbols(ones, zeros):
    assert float(kt_bernoulli(ones, ones + zeros)) == pytest.approx(kt([ones, zeros]), abs=1e-9)


def test_kt_refuses_more_symbols_than_its_alphabet():
    with pytest.raises(ValueError, match="3 symbols were seen, the alphabet has 2"):
        kt([1, 1, 1], alphabet=2)


@LAWFUL
@given(st.integers(-300, 300), st.integers(1, 600))
def test_raw_codes_are_complete(lo, size):
    inside = np.arange(lo, lo + size)
    code = Raw(Range(lo, lo + size - 1))
    assert kraft(code.prices(inside)) == pytest.approx(1, abs=ROUNDING)
    assert np.isinf(code.prices(np.array([lo - 1, lo + size]))).all()


@LAWFUL
@given(
    st.sampled_from(["laplace", "gaussian", "exponential"]),
    st.integers(STEEPEST, FLATTEST),
    st.integers(0, 255),
    st.integers(-400, 400),
    st.integers(1, 800),
)
def test_discretised_codes_keep_within_kraft(name, scale, spike, lo, size):
    code = Discretised(name, scale, spike, Range(lo, lo + size - 1))
    prices = code.prices(np.arange(lo, lo + size))
    assert np.isfinite(prices).all()
    assert kraft(prices) <= 1 + ROUNDING
    assert np.isinf(code.prices(np.array([lo - 1, lo + size]))).all()


@pytest.mark.parametrize("lo", [0, 1, 25])
def test_integers_that_are_never_negative_get_a_geometric_code(lo):
    """Its price is the entropy of the geometric distribution, and no bit for a sign that is never used."""
    r = math.exp(-1 / 20)
    k = np.arange(400)
    tally = Histogram(k + lo, np.round(1e9 * (1 - r) * r**k).astype(np.int64))
    tally = Histogram(tally.symbols[tally.counts > 0], tally.counts[tally.counts > 0])
    (code,) = (c for c in candidates(tally) if c.name == "exponential")
    entropy = -math.log2(1 - r) - r / (1 - r) * math.log2(r)
    assert code.bits(tally) / tally.total == pytest.approx(entropy, rel=2e-3)
    assert kraft(code.prices(tally.symbols)) == pytest.approx(1, abs=1e-3)
    assert "laplace" not in {c.name for c in candidates(tally)}


@LAWFUL
@given(histograms(min_size=1))
def test_tables_are_complete_on_what_they_saw(tally):
    code = Table(Range(int(tally.symbols[0]), int(tally.symbols[-1])), tally)
    assert kraft(code.prices(tally.symbols)) == pytest.approx(1, abs=ROUNDING)
    assert np.isinf(code.prices(tally.symbols[-1:] + 1)).all()


@LAWFUL
@given(histograms(min_size=1), histograms())
def test_every_candidate_is_a_code_of_whatever_comes(fitted, other):
    """Fitted to one tally, used on any: a price list, or a probability for each sequence."""
    every = np.arange(int(fitted.symbols[0]), int(fitted.symbols[-1]) + 1)
    for code in candidates(fitted):
        assert code.header >= 3
        assert np.isfinite(code.bits(fitted))
        assert code.bits(other) >= 0
        if isinstance(code, Frozen):
            assert kraft(code.prices(every)) <= 1 + ROUNDING


@pytest.mark.parametrize("within", [Range(0, 0), Range(-1, 1), Range(-2, 0)])
def test_the_adaptive_code_with_its_escape_keeps_within_kraft(within):
    """All sequences of two integers in a wide window: strays pay the escape and a universal code."""
    window = range(-40, 41)
    total = math.fsum(
        2.0 ** -Adaptive(within).bits(Histogram.of(np.array(pair))) for pair in product(window, repeat=2)
    )
    assert 0.5 < total <= 1


@LAWFUL
@given(histograms())
def test_the_shortest_code_is_no_longer_than_any(tally):
    best = shortest(tally)
    cost = best.header + best.bits(tally)
    assert all(cost <= code.header + code.bits(tally) for code in candidates(tally))


@LAWFUL
@given(histograms(), histograms())
def test_frozen_codes_are_linear(a, b):
    code = shortest(a + b, frozen=True)
    assert code.bits(a) + code.bits(b) == pytest.approx(code.bits(a + b), rel=1e-12, abs=1e-9)


@LAWFUL
@given(usages())
def test_support_codes_say_every_row(usage):
    """No code of the support may be shorter than log2 of how many supports share its tally."""
    if usage.n == 0:
        return
    tuples = sum(math.log2(math.comb(usage.parts, int(k))) * int(c) for k, c in _sizes(usage))
    orders = math.log2(_multinomial([int(c) for _, c in _sizes(usage)]))
    by_part = sum(math.log2(math.comb(usage.n, int(k))) for k in usage.counts)
    least = {"enumerative": tuples + orders, "free": tuples + orders, "per-part": by_part}
    for cost in support_costs(usage):
        assert cost.bits(usage.n) + 1e-6 >= least.get(cost.name, 0)
    best = shortest_support(usage).bits(usage.n)
    assert best == min(cost.bits(usage.n) for cost in support_costs(usage))


def _sizes(usage: Usage):
    return zip(usage.sizes.symbols, usage.sizes.counts, strict=True)


def _multinomial(counts: list[int]) -> int:
    total, left = 1, sum(counts)
    for count in counts:
        total, left = total * math.comb(left, count), left - count
    return total
