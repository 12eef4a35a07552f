from __future__ import annotations

from itertools import product

from assay.proofs.strategies import Meter
from assay.proofs.strategies.counting import below, tables
from hypothesis import given
from hypothesis import strategies as st

rows = st.lists(st.lists(st.integers(-9, 20), min_size=0, max_size=4), min_size=1, max_size=4)


@given(rows, st.integers(-40, 60))
def test_counts_are_those_of_listing(positions, limit):
    listed = sum(sum(choice) < limit for choice in product(*positions))
    assert below(tables(positions), limit, Meter()) == listed


def test_counts_beyond_64_bits_are_exact():
    assert below(tables([[0, 1]] * 100), 1, Meter()) == 1
    assert below(tables([[0, 1]] * 100), 100, Meter()) == 2**100 - 1
    assert below(tables([[-3] * 64] * 20), 0, Meter()) == 64**20
