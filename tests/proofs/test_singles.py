"""float32 numbers among the exact ones, against torch; and inputs that no float32 reaches."""

from fractions import Fraction

import torch
from assay.models import Network
from assay.proofs import Proved, Refuted, Unknown, claim, verify
from assay.proofs.singles import LARGEST, holds, nearest, within
from assay.proofs.vnnlib import parse_property
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

numbers = st.fractions(-(10**6), 10**6, max_denominator=10**12)
PINNED = """
(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)
(assert (>= X_0 0.1)) (assert (<= X_0 0.1))
(assert (>= X_1 0)) (assert (<= X_1 1)) {more}
(assert (>= Y_0 {bound}))
"""


def summing() -> Network:
    """x0 + x1."""
    module = nn.Sequential(nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.zero_()
    return Network("sum", module, "regression", "real", (2,))


@given(value=numbers)
def test_the_nearest_is_that_of_torch(value):
    found = nearest(value)
    assert holds(found)
    assert holds(value) == (found == value)
    theirs = Fraction(torch.tensor(float(value), dtype=torch.float32).item())
    assert abs(found - value) <= abs(theirs - value)


@given(a=numbers, width=st.fractions(0, 1, max_denominator=10**9), x=st.floats(-1e6, 1e6))
def test_within_a_range_there_is_one_or_none(a, width, x):
    found = within(x, a, a + width)
    if found is not None:
        assert holds(found)
        assert a <= found <= a + width
    else:
        below = nearest(a)
        ends = {below, Fraction(torch.nextafter(torch.tensor(float(below)), torch.tensor(torch.inf)).item())}
        assert not any(a <= end <= a + width for end in ends)


def test_beyond_the_largest_there_is_none():
    assert within(0.0, 2 * LARGEST, 3 * LARGEST) is None
    assert nearest(3 * LARGEST) == LARGEST


def test_a_pinned_decimal_is_the_float32_next_to_it():
    tenth = Fraction(torch.tensor(0.1).item())
    single, real = (
        parse_property(PINNED.format(bound=1.05, more=""), "p", semantics)
        for semantics in ("float32", "real")
    )
    assert (single.variables[0].lo, single.variables[0].hi) == (tenth, tenth)
    assert "1 inputs taken as the float32 next to" in single.text
    assert real.variables[0].lo == Fraction(1, 10)
    assert "float32" not in real.text.removesuffix("[float32]")
    for asked in (single, real):
        (outcome,) = verify([asked], networks={"f": summing()}, budget_s=10)
        assert isinstance(outcome.verdict, Refuted)
        assert outcome.verdict.certificate is not None
        assert outcome.verdict.witness.inputs["x0"] == asked.variables[0].lo


def test_what_other_conditions_speak_of_is_not_moved():
    text = PINNED.format(bound=1.05, more="(assert (<= (* 2 X_0) X_1))")
    asked = parse_property(text, "p", "float32")
    assert asked.variables[0].lo == Fraction(1, 10)


def test_ranges_without_a_float32_are_told():
    scope = {"x[0..1]": "real 0..1"}
    for given_, status in (("x[0] == 1/10", Unknown), ("x[0] == 1/8", Refuted)):
        (outcome,) = verify(
            [claim("f(x) <= 1", scope, given=given_, semantics="float32")],
            networks={"f": summing()},
            budget_s=3,
        )
        assert isinstance(outcome.verdict, status)
    scope = {"a": "real 0.1..0.1", "b": "real 0..1"}
    for bound, status in ((1, Unknown), (2, Proved)):
        (outcome,) = verify(
            [claim(f"f(a, b) <= {bound}", scope, semantics="float32")], networks={"f": summing()}, budget_s=3
        )
        assert isinstance(outcome.verdict, status)
        told = outcome.verdict.reason if status is Unknown else " ".join(outcome.log)
        assert "no float32 lies in the range of a" in told
