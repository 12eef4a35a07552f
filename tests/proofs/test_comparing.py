"""Two calls of one network compared: monotone claims and small changes, with certificates."""

import itertools
import random
from fractions import Fraction
from itertools import product

import pytest
import torch
from assay.models import Network
from assay.proofs import check, claim, verify
from torch import nn

from .test_check_lemmas import exactly, mlp, relus
from .trees import NONE, asked, scalars

REAL = dict.fromkeys(("x1", "x2", "y1", "y2"), "real -1..1")
WHOLE = dict.fromkeys(("x1", "x2", "y1", "y2"), "integer -9..9")


def rising(positive=True, sizes=(2, 12, 12, 1)):
    """Rises with both inputs, where weights are positive."""
    torch.manual_seed(3)
    layers = []
    for a, b in itertools.pairwise(sizes):
        linear = nn.Linear(a, b)
        linear.weight.data.abs_() if positive else None
        layers += [linear, nn.ReLU()]
    return Network("m", nn.Sequential(*layers[:-1]), "regression", "real", (sizes[0],))


def judged(network, show, given, variables, semantics="real", budget_s=10):
    asked = claim(show, variables, given=given, semantics=semantics)
    (outcome,) = verify([asked], networks={"f": network}, budget_s=budget_s)
    return outcome


@pytest.mark.parametrize("variables", [REAL, WHOLE])
@pytest.mark.parametrize("given", ["x1 <= y1", "x1 < y1", "x1 <= y1 and x2 <= y2"])
def test_a_network_of_positive_weights_rises(variables, given):
    last = "y2" if "x2" in given else "x2"
    used = {name: kind for name, kind in variables.items() if name != "y2" or last == "y2"}
    outcome = judged(rising(), f"f(x1, x2)[0] <= f(y1, {last})[0]", given, used)
    assert (outcome.status, outcome.stage) == ("proved", "two calls compared")
    assert outcome.verdict.trusted == ()
    assert outcome.verdict.certificate.leaves <= 3


def test_what_does_not_rise_is_refuted():
    outcome = judged(rising(), "f(y1, x2)[0] <= f(x1, x2)[0]", "x1 <= y1", REAL)
    assert outcome.status == "refuted"


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_small_changes_of_the_inputs_change_little(semantics):
    near = "abs(x1 - y1) <= 0.01 and abs(x2 - y2) <= 0.01"
    shown = "abs(f(x1, x2)[0] - f(y1, y2)[0]) <= {}"
    network = rising(positive=False)
    outcome = judged(network, shown.format("0.05"), near, REAL, semantics)
    assert (outcome.status, outcome.stage) == ("proved", "two calls compared")
    assert judged(network, shown.format("1e-4"), near, REAL, semantics).status == "refuted"


def test_leaves_that_stay_open_are_cut():
    near = "abs(x1 - y1) <= 0.01 and abs(x2 - y2) <= 0.01"
    outcome = judged(rising(False), "abs(f(x1, x2)[0] - f(y1, y2)[0]) <= 0.015", near, REAL)
    assert (outcome.status, outcome.stage) == ("proved", "two calls compared")
    assert outcome.verdict.certificate.leaves > 5


@pytest.mark.parametrize("seed", range(6))
def test_twins_of_calls_on_other_inputs_leave_the_bounds_true(seed):
    """Inputs of the calls are written in what was declared; bounds hold of any pairing."""
    rng, networks = random.Random(seed), {"f": mlp(seed, 3, 5, 4, 1), "g": mlp(seed + 9, 3, 5, 4, 1)}
    shown = "f(a, b, c)[0] - f(b - a, 2 * c, a / 3)[0] <= 1"
    claimed = asked(scalars("abc", lo="-1"), shown)
    first = relus(check.Problem(claimed, NONE, networks))
    scales = ["1"] * 3 + ["3/8", "2"]
    twins = [
        [v, u if seed % 2 else rng.choice(theirs), rng.choice(scales)]
        for mine, theirs in zip(first[2:], first[:2], strict=True)
        for v, u in zip(mine, theirs, strict=True)
    ]
    problem = check.Problem(claimed, {**NONE, "twins": twins}, networks)
    box = list(check.Box(problem).halves(1, Fraction(rng.randint(-7, 7), 8)))[rng.randrange(2)]
    box.settle()
    ends = [(Fraction(box.low[u], problem.one), Fraction(box.high[u], problem.one)) for u in (1, 2, 3)]
    for places in product(range(4), repeat=3):
        point = [low + (high - low) * Fraction(n, 3) for (low, high), n in zip(ends, places, strict=True)]
        values = exactly(problem, point)
        for u in [*problem.readers, *(v for v, _, _ in twins)]:
            slack = 2 if u in box.radii else 0
            assert box.low[u] - slack <= values[u] * problem.one <= box.high[u] + slack
        for v, (least, most, (source, down, _)) in ((v, box.lines[v]) for v, _, _ in twins):
            apart = values[v] - Fraction(down, 2**check.FINE) * values[source]
            assert least <= apart * problem.one <= most
