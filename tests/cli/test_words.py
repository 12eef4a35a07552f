"""Numbers, tables and charts as a person reads them."""

from __future__ import annotations

import itertools
import math

import pytest
from assay.cli.breakeven import sentence
from assay.cli.charts import Axis, spread
from assay.cli.figures import amount, bits, count, power, seconds, signed
from assay.cli.render import plain
from assay.cli.sheets import Sheet
from assay.mdl.compare import Crossing
from hypothesis import given
from hypothesis import strategies as st

WEIGHTS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


@given(st.floats(1e-3, 1e20))
def test_an_amount_reads_back_within_its_three_figures(value):
    number, _, prefix = amount(value).partition(" ")
    read = float(number.replace(",", "")) * WEIGHTS[prefix]
    assert read == pytest.approx(value, rel=0.006, abs=5e-4)


def test_amounts_at_the_edges():
    assert amount(999_999) == "1 M"
    assert amount(9_999.4) == "9,999"
    assert amount(9_999.6) == "10 k"
    assert amount(0) == "0"
    assert amount(-1.5) == "−1.50"
    assert (amount(math.nan), amount(math.inf)) == ("–", "∞")
    assert (signed(2.0), signed(-2.5), signed(0)) == ("+2", "−2.50", "0")
    assert (bits(64), bits(5.47e6)) == ("64 bits", "5.47 Mbit")
    assert (count(1_000_001), count(10**40)) == ("1,000,001", "about 1.0 · 10⁴⁰")
    assert (power(10**6), power(250)) == ("10⁶", "250")
    assert (seconds(0.123), seconds(75.2)) == ("0.12 s", "75 s")


@pytest.mark.parametrize(
    ("at", "ahead", "told"),
    [
        ((), "a", "a is shorter than b at every N up to 10¹² data"),
        ((), "b", "a is longer than b at every N up to 10¹² data"),
        ((500,), "b", "a is shorter than b from N = 500 data"),
        ((500,), "a", "a is shorter than b up to N = 499 data"),
        ((5, 90), "b", "a is shorter than b from N = 5 to 89 data"),
        ((5, 1000), "a", "a is shorter than b up to N = 4 and from N = 1,000 data"),
    ],
)
def test_break_even_sentences(at, ahead, told):
    assert sentence(Crossing("a", "b", at, ahead), "a", "b", "data").rstrip("s") == told.rstrip("s")


def test_plain_tables_are_aligned_and_star_the_smallest():
    sheet = Sheet("T", ("name", "n"), (("a", "10"), ("long", "9")), frozenset({(1, 1)}), "note")
    assert plain(sheet).splitlines() == ["T", "name   n", "a     10", "long   9*", "note"]


@given(st.lists(st.floats(0, 400), min_size=1, max_size=12))
def test_labels_never_overlap_and_keep_their_order(wanted):
    placed = spread(wanted, 17.0, 0.0, 400.0)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for i, j in itertools.pairwise(order):
        assert placed[j] - placed[i] >= 17.0 - 1e-6
    assert min(placed) >= -1e-6
    assert max(placed) <= 400.0 + 1e-6


def test_ticks_lie_on_the_axis():
    assert Axis(1, 1e9, 0, 1).ticks(10) == [10.0**e for e in range(10)]
    assert Axis(90, 700, 0, 1).ticks() == [100, 200, 500]
    assert Axis(1, 100, 10, 30).at(10) == pytest.approx(20)


def test_a_progress_bar_says_what_how_fast_and_how_far(capsys, monkeypatch):
    from assay.cli.render import progress_bar

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("rows") as report:
        report("neurons", 0, 100)
        report("neurons", 40, 100)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "neurons" in shown.err
    assert "40/100" in shown.err
