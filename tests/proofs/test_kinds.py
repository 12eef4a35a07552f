"""Every kind of claim on networks whose truth is known, in both arithmetics."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
import torch
from assay.models import Network, save
from assay.proofs import InputError, claim, verify
from assay.proofs.claim_files import parse_file
from assay.proofs.expressions import fold
from assay.proofs.normal import normal
from assay.proofs.replay import Exact
from hypothesis import given
from hypothesis import strategies as st
from torch import nn


@pytest.fixture
def parity() -> Network:
    """The parity of three bits: 1, -2, 2, -2 times relu(s - k)."""
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.copy_(-torch.arange(4.0))
        module[2].weight.copy_(torch.tensor([[1.0, -2.0, 2.0, -2.0]]))
        module[2].bias.zero_()
    return Network("parity", module, "regression", "bit", (3,))


@pytest.fixture
def chooser() -> Network:
    """Two outputs: relu(x) of unit 0, relu(-x) of unit 1, and a unit 2 that is never used."""
    module = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [-1.0], [1.0]]))
        module[0].bias.zero_()
        module[2].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        module[2].bias.zero_()
    return Network("chooser", module, "categorical", "real", (1,))


def judged(tmp_path: Path, network: Network, lines: str, semantics: str = "real") -> str:
    """The verdict on one claim about a network."""
    save(network, tmp_path / "n.safetensors")
    head = f'model = "n.safetensors"\nsemantics = "{semantics}"\n[[claim]]\n'
    (tmp_path / "c.claims.toml").write_text(head + lines)
    (outcome,) = verify(tmp_path / "c.claims.toml", budget_s=12)
    open_ended = outcome.status == "unknown" or outcome.kind == "accuracy"
    assert open_ended or outcome.verdict.certificate is not None
    return outcome.status


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ('sufficient = { parts = ["1[0]", "1[1]"] }', "proved"),
        ('sufficient = { parts = ["1[0]"] }', "refuted"),
        ('sufficient = { parts = ["1"] }', "proved"),
        ('necessary = { parts = ["1[1]"] }', "proved"),
        ('necessary = { parts = ["1[2]"], epsilon = "1/1000" }', "unknown"),
        ('necessary = { parts = ["0[0]"], epsilon = 0.5 }', "proved"),
        ('monotone = { output = 0, in = "x" }', "proved"),
        ('monotone = { output = 1, in = "x" }', "refuted"),
        ('monotone = { output = 1, in = "x", falling = true }', "proved"),
        ('fires = { unit = "1[1]", exactly_when = "x < 0" }', "proved"),
        ('fires = { unit = "1[1]", exactly_when = "x <= 0" }', "refuted"),
        ('show = "max(f(x)) > second_max(f(x)) or x == 0"', "proved"),
        ('show = "max(f(x)) > second_max(f(x))"', "refuted"),
    ],
)
def test_kinds_over_an_interval(tmp_path, chooser, lines, status, semantics):
    assert judged(tmp_path, chooser, f'for = {{ x = "real -1..1" }}\n{lines}\n', semantics) == status


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ('show = "f(x)[0] == sum(x) % 2"', "proved"),
        ('show = "f(x)[0] == (sum(x) + 1) % 2"', "refuted"),
        ('accuracy = { correct = "f(x)[0] == x[0]", at_least = 0.5 }', "proved"),
        ('accuracy = { correct = "f(x)[0] == x[0]", at_least = 0.51 }', "refuted"),
        ('unique = "f(x)[0] == 1 and x[0] == 0 and x[1] == 0"', "proved"),
        ('unique = "f(x)[0] == 1 and x[0] == 0"', "refuted"),
        ('given = "x[1] == 0"\nunique = "f(x)[0] == 1 and x[0] == 0"', "proved"),
        ('monotone = { in = "x[1]" }', "refuted"),
        ('given = "x[0] == 0 and x[2] == 0"\nmonotone = { in = "x[1]" }', "proved"),
    ],
)
def test_kinds_over_bits(tmp_path, parity, lines, status):
    assert judged(tmp_path, parity, f'for = {{ "x[0..2]" = "bit" }}\n{lines}\n') == status


def test_an_accuracy_counts_exactly_and_certifies_all_but_the_wrong_ones(parity):
    asked = claim("f(x)[0] <= sum(x) % 3", {"x[0..2]": "bit"}, kind="accuracy", at_least=0)
    wrong = sum(sum(x) % 2 > sum(x) % 3 for x in product((0, 1), repeat=3))
    assert wrong == 1
    (outcome,) = verify([asked], networks={"f": parity})
    assert outcome.counted == {"in_scope": 8, "right": 7}
    assert outcome.verdict.certificate is not None


def test_a_sufficient_circuit_of_one_output_is_no_claim(tmp_path, parity):
    with pytest.raises(InputError, match="epsilon"):
        judged(tmp_path, parity, 'for = { "x[0..2]" = "bit" }\nsufficient = { parts = ["1[0]"] }\n')


def test_listed_values_are_the_only_ones(parity):
    asked = claim("f(x)[0] <= 1 and x[0] != 1", {"x[0..2]": "integer {0, 2}"})
    (outcome,) = verify([asked], networks={"f": parity})
    assert outcome.status == "proved"


@given(st.integers(-30, 30), st.integers(0, 40), st.integers(1, 9), st.integers(0, 40))
def test_remainders_are_those_of_whole_numbers(lo, width, period, place):
    asked = claim(f"(3 - 2 * x) % {period} == 0", {"x": f"integer {lo}..{lo + width}"})
    x = lo + place % (width + 1)
    assert fold(asked.show.args[0], Exact({"x": x}, None)) == (3 - 2 * x) % period


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9))
def test_the_second_largest_counts_equals(numbers):
    show = claim("second_max(x) == 0", {f"x[0..{len(numbers) - 1}]": "integer -3..3"}).show
    written = normal(show, {"x": len(numbers)}, {})
    for expr in (show, written):
        assert fold(expr.args[0], Exact({"x": tuple(numbers)}, None)) == sorted(numbers)[-2]


@pytest.mark.parametrize(
    "show",
    [
        "argmax(x) == argmax(y)",
        "argmax(x) != argmax(y) or x[0] < y[0]",
        "not (argmax(x) == argmax(y) and not argmax(y) == 1)",
        "argmax(x[1], 1, x[0]) <= argmax(max(y), 0, 2 * y[2])",
        "argmax(x) == y[0]",
        "argmax(x) >= 1",
        "(argmax(x) == 1) == (x[0] < y[0])",
        "not ((x[0] < y[0]) == (argmax(x) == argmax(y)))",
    ],
)
@given(
    x=st.lists(st.integers(-2, 2), min_size=3, max_size=3),
    y=st.lists(st.integers(-2, 2), min_size=3, max_size=3),
)
def test_places_of_the_largest_are_compared_case_by_case(show, x, y):
    """In each case, or in one of the cases: both say the same."""
    expr = claim(show, {"x[0..2]": "integer -2..2", "y[0..2]": "integer -2..2"}).show
    point = {"x": tuple(map(Fraction, x)), "y": tuple(map(Fraction, y))}
    truths = {
        fold(normal(expr, {"x": 3, "y": 3}, {}, shown=shown), Exact(point, None)) for shown in (True, False)
    }
    assert truths == {fold(expr, Exact(point, None))}


@pytest.mark.parametrize(
    ("show", "told"),
    [
        ("x % y == 0", "whole number above 0"),
        ("x % 0 == 0", "whole number above 0"),
        ("r % 2 == 0", "whole numbers"),
        ("f(x)[0] % 2 == 0", "whole numbers"),
        ("x % 2 == 0 and wide % 2 == 0", "periods"),
        ("abs(x, y) == 0", "expected one"),
    ],
)
def test_what_has_no_meaning_is_refused(show, told):
    scope = {"x": "integer 0..9", "y": "integer 0..9", "r": "real 0..1", "wide": "integer 0..100000"}
    with pytest.raises(InputError, match=told):
        claim(show, scope)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("within = 3", "expected a table"),
        ('within = { explanation = "e", epsilon = -1 }', "at least 0"),
        ('sufficient = { parts = ["a[x]"] }', "expected a unit"),
        ('sufficient = { parts = ["a"], circuit = "m" }', "either"),
        ('monotone = { in = "y" }', "scalar of `for`"),
        ('monotone = { in = "x", falling = 1 }', "true or false"),
        ("unique = 1", "expected a statement"),
        ('accuracy = { correct = "f(x)[0] > 0", at_least = 2 }', "0 to 1"),
        ('accuracy = { at_least = "a lot" }', "expected text"),
        ('fires = { unit = "x", exactly_when = "x > 0" }', "unit of the model"),
    ],
)
def test_a_kind_that_is_told_wrongly_is_one_clear_error(kind, told):
    with pytest.raises(InputError, match=told):
        parse_file(f'model = "m"\n[[claim]]\nfor = {{ x = "bit" }}\n{kind}\n', Path("c.toml"))
