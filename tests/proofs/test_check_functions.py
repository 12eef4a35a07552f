"""Products, exponentials, reciprocals, roots and tables in the checker, against other arithmetic."""

import itertools
import math
import random
from decimal import Decimal, localcontext
from fractions import Fraction

import mpmath
import pytest
import torch
from assay.proofs import check

from .trees import NONE, asked, kind, network, placed


def problem_of(operations, tensors, variables, show="f(x)[0] <= 0", semantics="real"):
    (*_, size) = variables[0]
    claim = asked(variables, show, semantics=semantics)
    return check.Problem(claim, NONE, {"f": network(operations, size, **tensors)})


REAL2 = [["x", "real", "1/8", "3", 2]]
CHAIN = [
    ["affine", [[0, "times", "1"]], "-1"],  # x - 1
    ["product", 1, 0],  # x (x - 1)
    ["exp", 2],
    [
        "affine",
        [[0, "pick", [1, 0, -1], "1"], [3, "pick", [-1, -1, 0], "1"]],
        "0",
    ],  # x1, x0, one of the above
    ["reciprocal", 4],
    ["sqrt", 5],
    ["product", 6, 6],
    ["affine", [[7, "matrix", "w", False, None]], "0"],
]


def chain(x):
    first = [math.exp(v * (v - 1)) for v in x]
    chosen = [x[1], x[0], first[0]]
    roots = [math.sqrt(1 / v) for v in chosen]
    squares = [v * v for v in roots]
    return [*first, *chosen, *roots, *squares, squares[0] + 2 * squares[1] - squares[2]]


def units_of(problem):
    """The units of the values that `chain` gives, by their kinds in order."""
    kinds = [(kind(problem, layer), layer.units) for layer in problem.layers]
    exp = next(units for name, units in kinds if name == "exp")
    roots = next(units for name, units in kinds if name == "sqrt")
    squares = [units for name, units in kinds if name == "product"][-1]
    return [*exp, None, None, None, *roots, *squares, kinds[-1][1][0]]


@pytest.mark.parametrize("seed", range(3))
def test_every_point_of_a_box_lies_in_its_bounds(seed):
    problem = problem_of(CHAIN, {"w": torch.tensor([[1.0, 2.0, -1.0]])}, REAL2)
    rng, box = random.Random(seed), None
    low, high = [Fraction(1, 8)] * 2, [Fraction(3)] * 2
    for _ in range(8):
        box = placed(problem, low, high, box)
        box.settle()
        last = problem.layers[-1].units[0]
        (top, bottom), keep = box.upper([{last: 1}, {last: -1}], {}, box.exact)
        box.set(last, -bottom >> keep, -(-top >> keep))
        for _ in range(20):
            point = [a + (b - a) * Fraction(rng.randint(0, 64), 64) for a, b in zip(low, high, strict=True)]
            for u, value in zip(units_of(problem), chain([float(v) for v in point]), strict=True):
                if u is not None:
                    slack = 1e-12 * (1 + abs(value))
                    assert box.low[u] / problem.one - slack <= value <= box.high[u] / problem.one + slack
        k = rng.randrange(2)
        middle = low[k] + (high[k] - low[k]) * Fraction(rng.randint(1, 7), 8)
        low[k], high[k] = (low[k], middle) if rng.random() < 0.5 else (middle, high[k])


def test_a_point_is_enclosed_narrowly():
    problem = problem_of(CHAIN, {"w": torch.tensor([[1.0, 2.0, -1.0]])}, REAL2)
    box = placed(problem, [Fraction(7, 8), Fraction(5, 4)], [Fraction(7, 8), Fraction(5, 4)])
    box.settle()
    for u in (u for u in units_of(problem)[:-1] if u is not None):
        assert 0 <= box.high[u] - box.low[u] <= problem.one >> 35


@pytest.mark.parametrize("value", [0, 1, -1, 20, -20, Fraction(1, 3), Fraction(-88, 7), 3000, -3000, -5000])
def test_exp_is_enclosed(value):
    one = 1 << 64
    low, high = check.enclosed("exp", int(Fraction(value) * one // 1), one)
    with localcontext() as context:
        context.prec = 1400
        t = Decimal(int(Fraction(value) * one // 1)) / one
        assert Decimal(low) <= t.exp() * one <= Decimal(high)
        assert high - low <= 4 + (high >> 90)


@pytest.mark.parametrize("kind", ["log", "erf"])
@pytest.mark.parametrize(
    "value", [0, 1, "1/1000000007", "3/7", 2, "9/2", 11, 13, 3000, "1000000001/1000000000"]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_log_and_erf_are_enclosed(kind, value, sign):
    """Against arithmetic of 160 digits from elsewhere, on finer and finer grids."""
    for one in (1 << 64, 10**30 << 64, 10**90 << 64):
        t = int(sign * Fraction(value) * one // 1)
        if kind == "log" and t <= 0:
            with pytest.raises(ValueError, match="logarithm"):
                check.enclosed(kind, t, one)
            continue
        low, high = check.enclosed(kind, t, one)
        with mpmath.workdps(160):
            told = getattr(mpmath, kind)(mpmath.mpf(t) / one) * one
            assert low <= told <= high
        assert high - low <= 6 + one // 10**65


def test_exp_of_much_is_refused():
    with pytest.raises(ValueError, match="large"):
        check.enclosed("exp", 5000 << 64, 1 << 64)


@pytest.mark.parametrize(("name", "told"), [("reciprocal", "may be 0"), ("sqrt", "nonnegative")])
def test_what_is_not_defined_everywhere_is_refused(name, told):
    problem = problem_of([[name, 0]], {}, [["x", "real", "-1", "1", 1]])
    with pytest.raises(ValueError, match=told):
        check.Box(problem).settle()


def test_float32_lies_in_the_bounds():
    """What torch computes, after every operation."""
    operations = [["product", 0, 0], ["exp", 1], ["reciprocal", 2], ["sqrt", 3], ["log", 4], ["erf", 5]]
    problem = problem_of(operations, {}, [["x", "real", "-4", "4", 1]], semantics="float32")
    outside = dict.fromkeys(("product", "exp", "reciprocal", "sqrt", "log", "erf"), 0)
    for x in torch.rand(300, generator=torch.Generator().manual_seed(0)) * 8 - 4:
        box = placed(problem, [Fraction(x.item())], [Fraction(x.item())])
        box.settle()
        values = [x * x]
        for call in (torch.exp, torch.reciprocal, torch.sqrt, torch.log, torch.erf):
            values.append(call(values[-1]))
        for layer, value in zip(problem.layers[2:], values, strict=True):
            (u,) = layer.units
            outside[kind(problem, layer)] += (
                not box.low[u] <= Fraction(value.item()) * problem.one <= box.high[u]
            )
            assert box.high[u] - box.low[u] <= problem.one * abs(value.item()) * 3e-5 + problem.one * 4e-6
    assert set(outside.values()) == {0}


def attention(tokens, embedding, scores, answers):
    """One head without projections: softmax of scores[last, t], read off answers[t]."""
    weights = [math.exp(scores[tokens[-1]][t]) for t in tokens]
    return sum(w * answers[t] for w, t in zip(weights, tokens, strict=True)) / sum(weights)


ATTENTION = [
    ["table", 0, "embedding"],  # three tokens of two numbers each
    ["affine", [[1, "pick", [4, 5] * 3, "1"]], "0"],  # the last one three times
    ["product", 1, 2],
    ["affine", [[3, "matrix", "pairs", False, None]], "0"],  # the three scores
    ["exp", 4],
    ["affine", [[5, "matrix", "ones", False, None]], "0"],
    ["reciprocal", 6],
    ["table", 0, "answers"],
    ["product", 5, 8],
    ["affine", [[9, "matrix", "ones", False, None]], "0"],
    ["product", 10, 7],
]


def test_a_transformer_of_one_head_is_evaluated_token_by_token():
    """Every answer over all 64 inputs, as points, as cuts of tokens, and by a claim that fails."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "embedding": torch.randn(4, 2, generator=generator),
        "pairs": torch.kron(torch.eye(3), torch.ones(1, 2)),
        "ones": torch.ones(1, 3),
        "answers": torch.randn(4, 1, generator=generator),
    }
    e, answers = tensors["embedding"].double(), tensors["answers"].double().flatten().tolist()
    values = [
        attention(tokens, e, (e @ e.T).tolist(), answers) for tokens in itertools.product(range(4), repeat=3)
    ]
    top = Fraction(max(values)).limit_denominator(10**6) + Fraction(1, 10**5)
    variables = [["x", "token", "0", "3", 3]]

    def leaves(bound, proof):
        problem = problem_of(ATTENTION, tensors, variables, f"f(x)[0] <= {bound}")
        return check.check_proof(problem, proof)

    assert leaves(top, [{"points": [1, 2, 3]}]) == 1
    cut = [["cut", 1, "1"], {"points": [1, 2, 3]}, {"points": [1, 2, 3]}]
    assert leaves(top, cut) == 2
    with pytest.raises(ValueError, match="not closed"):
        leaves(top - Fraction(1, 10**4), [{"points": [1, 2, 3]}])
    with pytest.raises(ValueError, match="not closed"):
        leaves(top, [0])


def test_a_token_beyond_the_table_is_refused():
    problem = problem_of([["table", 0, "w"]], {"w": torch.ones(4, 2)}, [["x", "token", "0", "4", 1]])
    with pytest.raises(ValueError, match="no row"):
        check.Box(problem).settle()


@pytest.mark.parametrize(("drawn", "first"), [("real", "1"), ("token", "1/2"), ("integer", "3/2")])
def test_only_whole_numbers_are_looked_up(drawn, first):
    operations = [["affine", [[0, "times", first]], "0"], ["table", 1, "w"]]
    with pytest.raises(ValueError, match="not whole"):
        problem_of(operations, {"w": torch.ones(4, 2)}, [["x", drawn, "0", "2", 1]])
