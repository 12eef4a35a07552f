"""Definitions, cuts of any unit and twins in the checker: sound whatever a certificate says of them."""

import random
from fractions import Fraction
from itertools import pairwise, product

import pytest
import torch
from assay.proofs import check

from .trees import NONE, asked, exactly, kind, network, scalars, statement


def mlp(seed, *widths):
    """Operations and tensors of a ReLU network."""
    generator, operations, tensors = torch.Generator().manual_seed(seed), [], {}
    for k, (a, b) in enumerate(pairwise(widths)):
        tensors[f"w{k}"] = torch.randn(b, a, generator=generator) / a**0.5
        tensors[f"b{k}"] = torch.randn(b, generator=generator) / 4
        operations += [["affine", [[2 * k, "matrix", f"w{k}", False, None]], f"@b{k}"], ["relu", 2 * k + 1]]
    return network(operations[:-1], widths[0], **tensors)


def relus(problem):
    return [layer.units for layer in problem.layers if kind(problem, layer) == "relu"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("close", [False, True])
def test_any_twins_leave_the_bounds_true(seed, close):
    """Pairs that belong together, and pairs drawn by lot, with any positive multiple."""
    rng = random.Random(seed)
    f, g = mlp(seed, 2, 6, 5, 1), mlp(seed if close else seed + 9, 2, 6, 5, 1)
    networks = {"f": f, "g": g}
    claim = asked([["x", "real", "-1", "1", 2]], "f(x)[0] - g(x)[0] <= 1")
    first = relus(check.Problem(claim, NONE, networks))
    twins = []
    for mine, theirs in zip(first[2:], first[:2], strict=True):
        for k, v in enumerate(mine):
            u = theirs[k] if close else rng.choice(theirs)
            twins.append([v, u, "1" if close else str(Fraction(rng.randint(1, 40), 2 ** rng.randint(0, 5)))])
    twins = [pair for pair in twins if close or rng.random() < 0.7]
    problem = check.Problem(claim, {**NONE, "twins": twins}, networks)
    box = check.Box(problem)
    for k, value in ((1, Fraction(rng.randint(-7, 7), 8)), (-2, Fraction(rng.randint(-7, 7), 8))):
        box = list(box.halves(k, value))[rng.randrange(2)]
    box.settle()
    forms = [{u: rng.randint(-9, 9) for u in rng.sample(range(len(problem.made)), 6)} for _ in range(8)]
    tops, keep = box.upper(forms, {}, box.exact)
    ends = [(Fraction(box.low[u], problem.one), Fraction(box.high[u], problem.one)) for u in (1, 2)]
    for i, j in product(range(5), repeat=2):
        point = [lo + (hi - lo) * Fraction(n, 4) for (lo, hi), n in zip(ends, (i, j), strict=True)]
        values = exactly(problem, point)
        for u in [*(+problem.readers), *(v for v, _, _ in twins)]:
            assert box.low[u] <= values[u] * problem.one <= box.high[u]
        for form, top in zip(forms, tops, strict=True):
            value = sum(w * values[u] for u, w in form.items())
            assert value * problem.one <= Fraction(top, 2**keep)


@pytest.mark.parametrize(
    "twin",
    [[14, 13, "1"], [13, 14, "-1"], [14, 13, "0"], [3, 14, "1"], [9, 3, "1"], [99, 14, "1"], [14, 99, "1"]],
)
def test_what_are_no_twins_is_refused(twin):
    networks = {"f": mlp(0, 2, 3, 3, 1)}
    with pytest.raises((ValueError, LookupError)):
        check.Problem(
            asked([["x", "real", "0", "1", 2]], "f(x)[0] <= 1"), {**NONE, "twins": [twin]}, networks
        )


def proved(claim, lemmas, proof, networks=None):
    try:
        return check.check_proof(check.Problem(claim, {**NONE, **lemmas}, networks or {}), proof)
    except ValueError as error:
        return str(error)


def test_a_definition_excludes_nothing():
    """s = x + y is in [0, 2]: what is false of x and y stays open, whatever is solved for."""
    variables = scalars("xy")
    lemmas = {"definitions": [["s", ["+", "x", "y"]]], "substitution": [[1, 0]]}
    assert proved(asked(variables, "x + y <= 2"), lemmas, [0]) == 1
    assert proved(asked(variables, "x + y <= 19/10"), lemmas, [0]) == "leaves not closed: [0]"
    halves = [["cut", 3, "1"], 0, 0]
    assert proved(asked(variables, "x + y <= 19/10"), lemmas, halves) == "leaves not closed: [2]"


@pytest.mark.parametrize(
    "definition",
    [["s", ["and", "x"]], ["s", ["<=", "x", "0"]], ["s", ["max", "x", "y"]], ["x", "y"], ["s s", "x"],
     ["s", "z"], ["s", ["*", "x", "y"]], ["s", ["x", "y"]], ["s", "()"], ["s", None], ["", "x"]],
)  # fmt: skip
def test_what_is_no_definition_is_refused(definition):
    with pytest.raises((ValueError, LookupError, SyntaxError)):
        check.Problem(asked(scalars("xy"), "x <= 1"), {**NONE, "definitions": [definition]}, {})


def test_defined_inputs_are_whole_where_what_they_are_made_of_is():
    variables = scalars("xy", "integer", "0", "9")
    texts = {"a": "x - y", "b": "2 * x + 1", "c": "(1/2) * x", "d": "x + 1/2"}
    terms = [[name, statement(f"{text} <= 0", variables)[1]] for name, text in texts.items()]
    problem = check.Problem(asked(variables, "x <= 9"), {**NONE, "definitions": terms}, {})
    assert problem.ranges[3:] == [
        (-9, 9, True),
        (1, 19, True),
        (0, Fraction(9, 2), False),
        (Fraction(1, 2), Fraction(19, 2), False),
    ]


def test_a_strict_half_is_closed_by_its_own_cut():
    """x - relu(2 x - 1) == 0 leaves 0 and 1: neither bounds nor cuts at numbers alone show it."""
    variables, given = scalars("x"), "x - max(2*x - 1, 0) == 0"
    low, high = [{"slopes": [], "sum": [[k, "1"]], "cuts": [[u, "1"]]} for k, u in ((0, 1), (0, -1))]
    split = [["cut", 1, "1/2"], ["cut", 1, "0"], 0, low, ["cut", -1, "-1"], 0, high]
    show = "(x == 0) or (x == 1)"
    assert proved(asked(variables, show, given), {}, split) == 4
    assert "not closed" in proved(asked(variables, show, given), {}, [["cut", 1, "1/2"], 0, 0])
    assert "not closed" in proved(asked(variables, "x == 0", given), {}, split)


def test_whole_inputs_are_cut_between_numbers():
    variables = scalars("x", "integer", "0", "5")
    show = "(x <= 2) or (3 <= x)"
    assert proved(asked(variables, show), {}, [["cut", 1, "2"], 0, 0]) == 2
    assert proved(asked(variables, show), {}, [["cut", -1, "-3"], 0, 0]) == 2
    assert "between" in proved(asked(variables, show), {}, [["cut", 1, "5/2"], 0, 0])
    real = asked(scalars("x", "real", "0", "5"), show)
    assert "not closed" in proved(real, {}, [["cut", 1, "2"], 0, 0])


@pytest.mark.parametrize("place", [0, 99])
def test_only_units_are_cut(place):
    with pytest.raises((ValueError, LookupError)):
        check.check_proof(check.Problem(asked(scalars("x"), "x <= 1"), NONE, {}), [["cut", place, "0"], 0, 0])


def test_facts_are_those_of_the_path():
    claim = asked(scalars("xy"), "x <= 1/2")
    item = {"slopes": [], "sum": [[0, "1"]], "cuts": [[-1, "1"]]}
    assert proved(claim, {}, [["cut", 1, "1/2"], item, 0]) == "leaves not closed: [2]"
    with pytest.raises(KeyError):
        proved(claim, {}, [["cut", 1, "1/2"], 0, item])
    with pytest.raises(KeyError):
        proved(claim, {}, [["cut", 2, "1/2"], item, 0])


def test_what_twins_differ_by_at_one_point_says_nothing_of_another():
    """relu(2 x) and relu(x) agree at 0, the first point that is listed."""
    networks = {}
    for name, slope in (("f", 1.0), ("g", 2.0)):
        operations = [["affine", [[0, "matrix", "w", False, None]], "0"], ["relu", 1]]
        networks[name] = network(operations, 1, w=torch.tensor([[slope]]))
    variables = scalars("x", "integer", "0", "5")
    first = check.Problem(asked(variables, "f(x)[0] <= g(x)[0]"), NONE, networks)
    f, g = (units[0] for units in relus(first))
    for most, told in (("4", "leaves not closed: [0]"), ("51/10", 1)):
        claim = asked(variables, f"g(x)[0] - f(x)[0] <= {most}")
        assert proved(claim, {"twins": [[g, f, "1"]]}, [{"points": [1]}], networks) == told


def test_alternatives_that_only_exact_arithmetic_closes_are_all_closed():
    """The first tries without rounding what the bounds of the others then need again."""
    networks = {"f": mlp(3, 1, 4, 3, 1)}
    claim = asked(scalars("x"), "(f(x)[0] == max(f(x)[0], f(x)[0])) and (f(x)[0] <= max(f(x)[0], x))")
    assert proved(claim, {}, [["case", 0], 0, 0, 0], networks) == 3
