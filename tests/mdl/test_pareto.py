from __future__ import annotations

import math

from assay.mdl.compare import Comparison, Row
from assay.mdl.pareto import pareto
from assay.mdl.report import ScopeRecord
from hypothesis import given
from hypothesis import strategies as st

SCOPE = ScopeRecord(
    model="", model_digest="", dataset="", data_fingerprint="", condition="", distribution="", setting="site",
    site="x", target="activations", delta=1.0, donor="zero", receiver_knows="", data=1, rows=1, unit="sample",
)  # fmt: skip


def compared(points: list[tuple[int, int]], measure: str = "fvu") -> Comparison:
    rows = [
        Row(f"e{i}", "k", 99.0, (0, 0), bits / 2, bits / 4, bits / 4, 50.0, 0, 0, 0, 0, {measure: float(d)})
        for i, (bits, d) in enumerate(points)
    ]
    return Comparison(SCOPE, tuple(rows), (), ())


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=8))
def test_somebody_is_efficient_and_beating_is_what_it_says(points):
    places = pareto(compared(points))
    assert any(p.efficient for p in places)
    by_name = {p.name: p for p in places}
    for mine in places:
        for other in places:
            better = other.bits < mine.bits or other.distortion < mine.distortion
            no_worse = other.bits <= mine.bits and other.distortion <= mine.distortion
            assert (other.name in mine.beaten_by) == (better and no_worse)
        if not mine.efficient:
            assert any(by_name[name].efficient for name in mine.beaten_by)


def test_nobody_is_beaten_where_nothing_was_measured():
    (first, second) = pareto(compared([(1, 1), (2, 2)], "other"))
    assert first.efficient
    assert second.efficient
    assert (first.measure, math.isnan(first.distortion)) == ("", True)
