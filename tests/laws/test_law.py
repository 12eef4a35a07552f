"""L(N): against exact integers, by its shape, and under regrouping."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from assay.mdl import Law, Rate
from assay.mdl.law import curve, used
from assay.mdl.parts import PartWay
from hypothesis import given, settings
from hypothesis import strategies as st

from .strategies import LAWFUL

PRICES = st.floats(0, 1000)


@st.composite
def laws(draw, most=40, open_ended=None):
    n = draw(st.integers(1, most))
    parts = draw(st.integers(0, 5))
    usage = np.array(draw(st.lists(st.integers(0, n), min_size=parts, max_size=parts)), dtype=np.int64)
    tensors = draw(st.integers(0, 3))
    ways = tuple(
        tuple(
            PartWay(f"way {w}", draw(PRICES), np.array([draw(PRICES) for _ in range(parts + 1)]))
            for w in range(draw(st.integers(1, 3)))
        )
        for _ in range(tensors)
    )
    rates = {
        line: tuple(Rate(f"code {r}", draw(PRICES), draw(PRICES)) for r in range(draw(st.integers(1, 3))))
        for line in ("support", "values")
    }
    is_open = draw(st.booleans()) if open_ended is None else open_ended
    return Law(n, usage, ways, draw(PRICES), rates, is_open)


@LAWFUL
@given(st.data())
def test_used_is_the_hypergeometric_of_exact_integers(data):
    n = data.draw(st.integers(1, 3000))
    k = data.draw(st.integers(0, n))
    N = data.draw(st.integers(1, n))
    exact = 1 - Fraction(math.comb(n - k, N), math.comb(n, N))
    assert float(used(n, np.array([k]), N)[0]) == pytest.approx(float(exact), abs=1e-9)


@pytest.mark.parametrize("n", [10**5, 10**7])
def test_used_stays_accurate_for_much_data(n):
    """k = 1 is used with probability N/n exactly; k = n always."""
    for N in (1, 7, 1000, n // 2, n - 1):
        assert used(n, np.array([1]), N)[0] == pytest.approx(N / n, rel=1e-3 if N == 1000 else 1e-7)
    assert used(n, np.array([0, n]), 1).tolist() == [0.0, 1.0]


@LAWFUL
@given(laws())
def test_the_law_never_falls(law):
    values = [law(N) for N in (*range(1, 60), 100, 1000, 10**6)]
    assert all(b >= a - 1e-9 * max(1, a) for a, b in pairwise(values))


@LAWFUL
@given(laws(open_ended=False))
def test_parts_are_concave(law):
    bits = [law.part_bits(N) for N in range(1, 60)]
    steps = np.diff(bits)
    assert (np.diff(steps) <= 1e-7 * max(1.0, max(bits))).all()


@LAWFUL
@given(laws())
def test_one_datum_pays_each_part_by_its_frequency(law):
    """L(1): every part with probability k_c / n; L(n): every part in use, whole."""
    for N, sent in ((1, law.usage / law.n), (law.n, (law.usage > 0).astype(float))):
        by_tensor = [min(w.header + float(w.bits @ np.append(sent, 1)) for w in ways) for ways in law.parts]
        assert law.part_bits(N) == pytest.approx(law.preamble + sum(by_tensor), rel=1e-9, abs=1e-9)
        lines = sum(min(r.header + r.per_datum * N for r in ways) for ways in law.rates.values())
        assert law(N) == pytest.approx(law.part_bits(N) + lines, rel=1e-12)


@LAWFUL
@given(laws(open_ended=False), st.integers(1, 10**6))
def test_beyond_n_parts_cost_no_more(law, more):
    assert law.part_bits(law.n + more) == law.part_bits(law.n)


@LAWFUL
@given(laws())
def test_the_rate_is_the_slope_at_infinity(law):
    far = 10**12
    assert (law(2 * far) - law(far)) / far == pytest.approx(law.rate, rel=1e-3, abs=1e-3)


@LAWFUL
@given(laws())
def test_grouping_parts_of_equal_usage_changes_nothing(law):
    grouped = law.grouped()
    assert len(grouped.usage) == len(set(law.usage.tolist()))
    for N in (*range(1, 50), 97, 1000, 54321, 10**6, 10**9, 10**12):
        assert grouped(N) == pytest.approx(law(N), rel=1e-9, abs=1e-9)
    assert grouped.rate == pytest.approx(law.rate, rel=1e-9, abs=1e-8)


@settings(max_examples=25, deadline=None)
@given(laws(most=30), laws(most=30))
def test_crossings_agree_with_a_scan_of_the_integers(a, b):
    ahead = [a(N) <= b(N) for N in range(1, 700)]
    scanned = [N + 1 for N in range(1, 699) if ahead[N] != ahead[N - 1]]
    found = [N for N in a.crossings(b) if N < 700]
    if all(later - earlier > 0.07 * earlier for earlier, later in pairwise(scanned)):
        assert found == scanned
    assert set(found) <= set(scanned)


def test_a_crossing_far_beyond_the_data_is_found():
    """1000 + N against 3 N + 1: equal at 499.5; 10⁹ + N against 2 N: equal at 10⁹."""

    def line(once: float, each: float) -> Law:
        return Law(10, np.zeros(0, dtype=np.int64), (), once, {"line": (Rate("code", 0.0, each),)})

    assert line(1000, 1).crossings(line(1, 3)) == [500]
    assert line(10**9, 1).crossings(line(0, 2)) == [10**9]
    assert line(1, 1).crossings(line(2, 1)) == []


@LAWFUL
@given(laws())
def test_points_of_the_curve_lie_on_the_law(law):
    points = curve(law, upto=10**4, points=12)
    assert [N for N, _ in points] == sorted({N for N, _ in points})
    assert all(bits == law(N) for N, bits in points)


@LAWFUL
@given(laws(), st.integers(1, 10**4))
def test_a_point_adds_up_and_names_its_codes(law, N):
    point = law.at(N)
    assert point.total == pytest.approx(point.parts + sum(point.lines.values()))
    for line, name in point.codes.items():
        chosen = next(r for r in law.rates[line] if r.name == name)
        assert point.lines[line] == min(r.at(N) for r in law.rates[line]) == chosen.at(N)


def test_the_law_refuses_what_makes_no_sense():
    law = Law(10, np.array([3, 10]), ())
    with pytest.raises(ValueError, match="starts at one datum"):
        law.at(0)
    with pytest.raises(ValueError, match=r"must lie in 0\.\.10"):
        Law(10, np.array([11]), ())
    with pytest.raises(ValueError, match="2 part lengths, 2 parts and a remainder"):
        replace(law, parts=((PartWay("w", 0.0, np.zeros(2)),),))
