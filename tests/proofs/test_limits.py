"""Conditions on single inputs narrow the box; absolute values and maxima below a bound are told apart."""

import itertools
from fractions import Fraction

import pytest
from assay.proofs import claim, verify
from assay.proofs.formulas import Both, flat, holds
from assay.proofs.limits import narrowed_box
from assay.proofs.lowering import lower
from assay.proofs.obligations import bind

ROUND = [0.3, 0.5, 0.1, 0.8, 0.4, 0.6, 0.2, 0.7]


def bound(show, variables, given=None):
    return bind(claim(show, variables, given=given), {})


def judged(network, show, variables, given=None, semantics="real"):
    asked = claim(show, variables, given=given, semantics=semantics)
    (outcome,) = verify([asked], networks={"f": network}, budget_s=20)
    return outcome


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize(
    "written", ["abs(x[{i}] - {c}) <= 0.01", "x[{i}] >= {c} - 0.01 and x[{i}] <= {c} + 0.01"]
)
def test_a_box_in_the_condition_costs_no_search(random_network, written, semantics):
    network = random_network([8, 16, 16, 3], 1)
    given = " and ".join(written.format(i=i, c=c) for i, c in enumerate(ROUND))
    declared = {f"x{i}": f"real {c - 0.01:.2f}..{c + 0.01:.2f}" for i, c in enumerate(ROUND)}
    called = ", ".join(declared)
    for k in range(3):
        narrowed = judged(network, f"argmax(f(x)) == {k}", {"x[0..7]": "real 0..1"}, given, semantics)
        plain = judged(network, f"argmax(f({called})) == {k}", declared, None, semantics)
        assert narrowed.status == plain.status != "unknown"
        if plain.status == "proved":
            assert narrowed.verdict.certificate.leaves == plain.verdict.certificate.leaves + 16


def test_what_is_shown_only_beyond_a_limit_is_looked_for_there(random_network):
    network = random_network([2, 16, 1], 3)
    low = bind(
        claim("x[0] <= 0.9 or f(x)[0] > -9", {"x[0..1]": "real 0..1"}), {"f": lower(network.module, (2,))}
    )
    assert (low.lo, low.hi) == ((Fraction(9, 10), 0), (1, 1))
    outcome = judged(network, "x[0] > 0.9 => f(x)[0] > -9", {"x[0..1]": "real 0..1"})
    assert outcome.status == "proved"
    assert outcome.verdict.trusted == ()


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("x < 3", (-9, 2)),
        ("2*x <= 5", (-9, 2)),
        ("2*x < 6 and x > -1.5", (-1, 2)),
        ("x >= 4 and x <= 2", (4, 9)),
        ("not (x > 5 or 3*x < -7)", (-2, 5)),
        ("x == y and y < 4", (-9, 3)),
        ("abs(2*x + 1) <= 5", (-3, 2)),
        ("max(x, y, -x - 3) < 2 and y == 0", (-4, 1)),
        ("abs(x) + abs(y) <= 3 and y == 0", (-9, 9)),
    ],
)
def test_the_box_of_whole_numbers_that_is_left(given, left):
    obligation = bound("x >= -99", {"x": "integer -9..9", "y": "integer -9..9"}, given)
    k = 0
    assert (obligation.lo[k], obligation.hi[k]) == left


def test_only_atoms_of_one_variable_set_limits():
    obligation = bound(
        "x + y >= -99", {"x": "real 0..1", "y": "real 0..1"}, "x + y <= 1 and (x < 0.5 or y < 0.5)"
    )
    assert obligation.limits == ()
    assert narrowed_box(Both(()), [Fraction(0)], [Fraction(1)], [False]) == ((0,), (1,), ())


def test_an_empty_scope_is_proved_whatever_is_shown(random_network):
    for kind in ("real", "integer"):
        outcome = judged(
            random_network([1, 4, 1], 0), "f(x)[0] > 99", {"x": f"{kind} 0..9"}, "x >= 4 and x <= 2"
        )
        assert (outcome.status, outcome.verdict.trusted) == ("proved", ())


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("show", ["f(x)[0] <= {}", "f(x)[0] <= {} + x[0] * 0"])
def test_a_counterexample_at_the_edge_of_the_limits_is_found(random_network, show, semantics):
    network = random_network([2, 8, 1], 5)
    given = "x[0] >= 0.3 and x[0] <= 0.30001 and abs(x[1] - 1/3) <= 1/100000"
    import torch

    value = float(network(torch.tensor([[0.300005, 1 / 3]]))[0, 0])
    outcome = judged(network, show.format(f"{value - 1e-3:.6f}"), {"x[0..1]": "real -1..1"}, given, semantics)
    assert outcome.status == "refuted"
    above = judged(network, show.format(f"{value + 1e-3:.6f}"), {"x[0..1]": "real -1..1"}, given, semantics)
    assert above.status == "proved"


STATEMENTS = [
    "abs(x - y) <= 1",
    "abs(abs(x) - 2) < 1",
    "max(x, y, x + y) <= 2",
    "max(abs(x), 2*y) + 1 < 3",
    "2*abs(x + y) - y <= x",
    "-abs(x) <= y - 2",
    "abs(x) + abs(y) <= 2",
    "abs(x) >= 2",
    "min(x, y) <= -1",
    "max(min(x, y), -1) < max(x, -y)",
    "abs(max(x, y) - 1) <= 1",
    "not (abs(x) <= 1) or max(x, y) == 2",
    "second_max(x, y, 1) <= 1",
]
NAMES = {"x": "integer -3..3", "y": "integer -3..3"}


@pytest.mark.parametrize("text", STATEMENTS)
def test_statements_mean_what_they_say(text):
    obligation = bound(text, NAMES)
    words = {"abs": abs, "max": max, "min": min, "second_max": lambda *each: sorted(each)[-2]}
    for x, y in itertools.product(range(-3, 4), repeat=2):
        values = obligation.program.evaluate([Fraction(x), Fraction(y)])
        assert holds(obligation.counterexample, values) == (not eval(text, words, {"x": x, "y": y}))


@pytest.mark.parametrize(
    ("text", "relus"), [("abs(x - y) <= 1", 0), ("max(x, y, 2) < 3", 0), ("abs(x) >= 2", 1)]
)
def test_absolute_values_below_a_bound_need_no_relu(text, relus):
    assert bound(text, NAMES).program.relus() == relus


def test_sums_of_many_absolute_values_stay_short():
    size = 40
    total = " + ".join(f"abs(x[{i}] - 1/2)" for i in range(size))
    obligation = bound(f"{total} <= 99", {f"x[0..{size - 1}]": "real 0..1"})
    assert obligation.program.relus() == size
    assert len(flat(obligation.counterexample)) == 1
    deep = "abs(x)"
    for k in range(12):
        deep = f"abs({deep} - {k}/7)"
    assert len(flat(bound(f"{deep} <= 1", {"x": "real 0..1"}).counterexample)) == 1
