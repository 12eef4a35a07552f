import pytest
import torch
from assay.mdl import Incomparable, ReportError, comparison, longer_than, score_mechanism
from assay.mdl.compare import REMEDY, SAME, check_same

from .conftest import Table, reported


@pytest.fixture
def two(table, problem):
    """The true table, and one whose parts predict nothing."""
    return [
        reported(score_mechanism(Table(table.W), problem, precision=10), "true"),
        reported(score_mechanism(Table(torch.zeros_like(table.W)), problem, precision=10), "nothing"),
    ]


def test_rows_carry_the_reports(two):
    made = comparison(two)
    assert [row.name for row in made.rows] == ["true", "nothing"]
    for row, report in zip(made.rows, two, strict=True):
        assert row.total == report.ledger.total_per_sample
        assert row.parts + row.support + row.values + row.correction == pytest.approx(row.total)
        assert (row.L1, row.L1e3, row.L1e6) == tuple(report.law.at.values())
    frame = made.frame()
    assert frame.loc["true", "total"] == two[0].ledger.total_per_sample
    assert frame.loc["nothing", "fvu"] > frame.loc["true", "fvu"]


def test_differences_are_paired_and_signed(two):
    difference = comparison(two).paired[0]
    assert (difference.a, difference.b) == ("nothing", "true")
    assert difference.difference == two[1].ledger.total_per_sample - two[0].ledger.total_per_sample
    low, high = difference.interval
    assert 0 < low < difference.difference < high
    other = comparison(two, baseline="nothing").paired[0]
    assert other.difference == -difference.difference
    assert other.interval == pytest.approx((-high, -low))


def test_the_same_report_twice_differs_by_nothing(two):
    made = comparison([two[0], two[0]])
    assert [row.name for row in made.rows] == ["true", "true (2)"]
    assert made.paired[0].difference == 0
    assert made.paired[0].interval == (0, 0)
    assert made.crossings[0].at == ()


def test_crossings_are_where_the_laws_cross(two):
    made = comparison(two)
    (crossing,) = made.crossings
    true, nothing = (report.law.law() for report in two)
    assert crossing.at
    for N in crossing.at:
        assert (true(N) <= nothing(N)) != (true(N - 1) <= nothing(N - 1))
    assert crossing.shorter_at_one == ("true" if true(1) <= nothing(1) else "nothing")
    assert made.break_even("true") == {"nothing": crossing.at}
    assert made.break_even("nothing") == {"true": crossing.at}


@pytest.mark.parametrize("field", SAME)
def test_reports_about_different_things_are_not_compared(two, field):
    changed = {
        "setting": "site", "target": "activations", "delta": 0.1, "rows": 7
    }.get(field, "another")  # fmt: skip
    other = two[1].model_copy(update={"scope": two[1].scope.model_copy(update={field: changed})})
    with pytest.raises(Incomparable) as refused:
        comparison([two[0], other])
    message = str(refused.value)
    assert field in message
    assert REMEDY[field] in message
    assert "\n" not in message


def test_what_may_differ_may_differ(two):
    other = two[1].model_copy(
        update={"scope": two[1].scope.model_copy(update={"condition": "said otherwise", "unit": "datum"})}
    )
    check_same([two[0], other])


def test_longer_than_names_each_offender(two):
    assert longer_than(two, 1000.0) == []
    (line,) = longer_than(two, 0.01)
    assert line.startswith("nothing: ")
    assert "against true (allowed +1.00%)" in line
    assert longer_than(two[::-1], 0.0) == []


def test_nothing_to_compare_and_unknown_baselines_are_refused(two):
    with pytest.raises(ReportError, match="nothing to compare"):
        comparison([])
    with pytest.raises(ReportError, match="no report is called 'x'; there are true, nothing"):
        comparison(two, baseline="x")
