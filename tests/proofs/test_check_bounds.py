"""What the checker bounds, against exact evaluation at sampled points; and what it refuses to read."""

import json
import random
from fractions import Fraction
from itertools import pairwise, product

import pytest
import torch
from assay.models import Network
from assay.proofs import Proved, check, claim, verify
from torch import nn

from .trees import NONE, asked, exactly, placed, scalars
from .trees import network as stored

REAL = {"x[0..2]": "real -1..1"}


def problem_of(path, weights):
    content = json.loads(path.read_text())
    loaded = {
        name: (n["inputs"], n["operations"], weights[n["digest"]]) for name, n in content["networks"].items()
    }
    return check.Problem(content["claim"], content["lemmas"], loaded), content


def certified(show, variables, network, folder, **options):
    asked = claim(show, variables, **options)
    (outcome,) = verify([asked], networks={"f": network}, certificates=folder, budget_s=20)
    assert isinstance(outcome.verdict, Proved), outcome
    assert outcome.verdict.trusted == ()
    weights = dict(map(check.read_weights, folder.glob("*.safetensors")))
    return problem_of(outcome.verdict.certificate.path, weights)


def network(seed, *widths):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    return Network("n", nn.Sequential(*layers[:-1]), "regression", "real", (widths[0],))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("exact", [False, True])
def test_intervals_and_bounds_hold_at_every_point(seed, exact, tmp_path):
    """Boxes of every size, cut from each other, with roundings and without."""
    semantics = "float32" if seed % 2 else "real"
    problem, _ = certified("f(x)[0] <= 99", REAL, network(seed, 3, 7, 6, 2), tmp_path, semantics=semantics)
    rng, box = random.Random(seed), None
    low, high = [Fraction(-1)] * 3, [Fraction(1)] * 3
    for _ in range(8):
        box = placed(problem, low, high, box, exact)
        box.settle()
        forms = [{u: rng.randint(-9, 9) for u in rng.sample(range(len(problem.made)), 5)} for _ in range(6)]
        tops, keep = box.upper(forms, {}, box.exact)
        points = [
            [a + (b - a) * Fraction(rng.randint(0, 64), 64) for a, b in zip(low, high, strict=True)]
            for _ in range(20)
        ]
        for point in [*points, *map(list, product(*zip(low, high, strict=True)))]:
            values = exactly(problem, point)
            for u in +problem.readers:
                assert box.low[u] <= values[u] * problem.one <= box.high[u]
            for form, top in zip(forms, tops, strict=True):
                value = sum(w * values[u] for u, w in form.items())
                assert value * problem.one <= Fraction(top, 2**keep)
        k, middle = rng.randrange(3), Fraction(rng.randint(-7, 7), 8)
        middle = low[k] + (high[k] - low[k]) * (1 + middle) / 2
        low[k], high[k] = (low[k], middle) if rng.random() < 0.5 else (middle, high[k])


def test_a_point_is_bounded_exactly(tmp_path):
    problem, _ = certified("f(x)[0] <= 99", REAL, network(0, 3, 7, 6, 2), tmp_path)
    point = [Fraction(1, 8), Fraction(-2, 16), Fraction(1, 2)]
    box = placed(problem, point, point, None, True)
    box.settle()
    last = problem.layers[-1].units[0]
    (top, bottom), keep = box.upper([{last: 1}, {last: -1}], {}, box.exact)
    value = exactly(problem, point)[last] * problem.one
    assert Fraction(top, 2**keep) == value == -Fraction(bottom, 2**keep)


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_roundings_of_torch_lie_in_the_intervals(semantics, tmp_path):
    """In float32 every interval holds what torch computes in any order; exact ones need not."""
    module = network(3, 3, 32, 32, 1)
    problem, _ = certified("f(x)[0] <= 99", REAL, module, tmp_path, semantics=semantics)
    generator, outside = torch.Generator().manual_seed(0), 0
    first, second = module.module[0], module.module[2]
    for x in torch.rand(30, 3, generator=generator) * 2 - 1:
        point = [Fraction(v) for v in x.tolist()]
        box = placed(problem, point, point)
        box.settle()
        order = torch.randperm(32, generator=generator)
        hidden = torch.relu(x @ first.weight[order].T + first.bias[order])
        values = (hidden[None] * second.weight[:, order]).flip(1).sum(1) + second.bias
        layer = problem.layers[4].units  # constant and inputs, inputs again, first, its ReLUs, second
        for u, value in zip(layer, values.tolist(), strict=True):
            outside += not box.low[u] <= Fraction(value) * problem.one <= box.high[u]
    assert (outside == 0) == (semantics == "float32")


class _Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, (2, 3), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
        self.second = nn.Conv2d(4, 1, 1, bias=False)

    def forward(self, x):
        return self.second(torch.relu(self.first(x))).flatten(1)


def test_convolutions_are_certified_and_computed_as_torch_does(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = Network("c", _Convolutions().eval(), "regression", "real", (2, 4, 6))
    samples = torch.rand(500, 2, 4, 6)
    bound = float(net(samples).max()) + 2
    problem, content = certified(f"max(f(x)) <= {bound:.3f}", {"x[0..47]": "real 0..1"}, net, tmp_path)
    loops = [len(op[1][0][3]) for op in content["networks"]["f"]["operations"] if op[0] == "affine"]
    assert [n for n in loops if n > 1] == [7, 7]
    point = [Fraction(v) for v in samples[0].flatten().tolist()]
    values = exactly(problem, point)
    outputs = net(samples[:1]).flatten().tolist()
    layer = [u for each in problem.layers for u in each.units if len(each.units) == len(outputs)][
        -len(outputs) :
    ]
    assert [float(values[u]) for u in layer] == pytest.approx(outputs, abs=1e-5)


def test_small_sets_of_whole_numbers_are_listed(tmp_path):
    """No bound closes an equality on a set of points; evaluation does."""
    net = network(5, 2, 6, 1)
    values = {(x, y): float(net(torch.tensor([[x, y]]).float())) for x, y in product(range(4), repeat=2)}
    (best, _), (next_best, _) = sorted(((v, k) for k, v in values.items()), reverse=True)[:2]
    variables = {"x": "integer 0..3", "y": "integer 0..3"}
    bound = f"{(best + next_best) / 2:.9f}"
    x, y = max(values, key=values.get)
    _, content = certified(
        f"f(x, y)[0] <= {bound} or (x == {x} and y == {y})", variables, net, tmp_path, semantics="float32"
    )
    assert {"points": [1, 2]} in content["evidence"]


def test_points_of_what_is_not_whole_are_refused(tmp_path):
    problem, _ = certified("f(x)[0] <= 99", REAL, network(0, 3, 4, 1), tmp_path)
    with pytest.raises(ValueError, match="not whole"):
        check.check_proof(problem, [{"points": [1]}])


@pytest.mark.parametrize(
    ("given", "pivot"),
    [
        ("argmax(x, y, z) == 0", 1),
        ("(x <= y) or (y <= x) or (z <= x)", 1),
        ("x <= y", 1),
        ("max(x, y) == z", 3),
        ("x == y", 3),
        ("x == y", 0),
        ("x == y", -1),
    ],
)
def test_only_an_equality_of_inputs_is_solved_for_one(given, pivot):
    claim = asked(scalars("xyz"), "x <= 2", given)
    check.Problem(claim, NONE, {})
    with pytest.raises((ValueError, LookupError)):
        check.Problem(claim, {**NONE, "substitution": [[pivot, 0]]}, {})


@pytest.mark.parametrize(
    "node",
    ["x", "x <= 1", ["!=", "x", "1"], ["<=", "x"], ["<=", "x", "y", "1"], ["<=", ["*", "x", "y"], "1"],
     ["<=", "1/0", "1"], ["<=", ["neg", "x"], "1"], ["<=", ["**", "x", 2], "1"], ["argmax", 2, "x", "y"],
     ["argmax", -1, "x", "y"], ["argmax", "0", "x", "y"], ["<=", ["f", "x"], "1"],
     ["<=", ["[]", "x", 1], "1"], ["<=", "x", ""],
     ["<=", ["[]", "x", -1], "1"], ["+", ["<=", "x", "1"], "1"], ["<=", "x", ["<=", "y", "1"]], ["not", "x"],
     ["not", ["<=", "x", "1"], ["<=", "x", "1"]], ["and", "x", "y"], ["<=", ["max", "x", "y", "x"], "1"],
     ["<=", ["max", "x"], "1"], ["<=", ["abs", "x", "y"], "1"], ["<=", ["x", "y"], "1"], ["<=", 1, "x"],
     ["<=", None, "x"], ["<=", {"x": 1}, "1"], ["<=", ["+"], "1"], [], None, {}, True],
)  # fmt: skip
def test_what_is_not_in_the_language_is_refused(node):
    claim = {**asked(scalars("xy"), "x <= 1"), "show": node}
    with pytest.raises((ValueError, LookupError, TypeError)):
        check.Problem(claim, NONE, {})


def test_weights_of_zero_add_no_rounding():
    """A row with one weight and many zeros is off by one product, as a row without the zeros is."""
    found = []
    for width in (1, 30):
        weights = torch.tensor([[3.0, *[0.0] * (width - 1)]])
        claim = asked([["x", "real", "0", "1", width]], "f(x)[0] <= 3", semantics="float32")
        operations = [["affine", [[0, "matrix", "w", False, None]], "0"]]
        found.append(check.Problem(claim, NONE, {"f": stored(operations, width, w=weights)}).layers[-1].errs)
    assert found == [1, 1]


@pytest.mark.parametrize(("large", "least", "most"), [(1e4, 0.0, 0.0), (10000.5, 1e-3, 1e-2)])
def test_what_cancels_in_a_row_is_rounded_before(large, least, most):
    """w x - w x + x, x read three times by one row: x over the reals, and where w is whole; else up to some
    10⁻³ off in float32."""
    operation = ["affine", [[0, [0, 0, 0], "@w", [[1, 1, 3, 0], [3, 0, 1, 1]]]], "0"]
    network = (1, [operation], {"w": ("float32", (1, 3), [large, -large, 1.0])})
    for semantics, ends in (("real", (0.0, 0.0)), ("float32", (least, most))):
        shown = ["<=", ["[]", ["f", "x"], 0], "2"]
        claim = {"for": [["x", "integer", "0", "1", 1]], "given": [], "show": shown, "semantics": semantics}
        problem = check.Problem({**claim, "stated": ""}, NONE, {"f": network})
        box = check.Box(problem).at([(1, Fraction(1))])
        box.settle()
        unit = next(layer.units[0] for layer in problem.layers if problem.gross.keys() & layer.units)
        assert ends[0] <= (box.high[unit] - box.low[unit]) / 2 / problem.one <= ends[1]


class Deep(nn.Module):
    """Steps beside what they read, which interval arithmetic tells ever less of."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        """One number for each x."""
        for layer in self.layers:
            x = x + layer(x).relu() - layer(x) * 0.5
        return self.out(x)


def test_a_point_of_a_deep_network_takes_few_multiplications():
    torch.manual_seed(0)
    depth, width = 16, 24
    module = Deep(depth, width)
    value = module(torch.ones(1, width)).item()
    network = Network("deep", module, "regression", "real", (width,))
    asked = [
        claim(f"f(x)[0] {sign} {value:.8f}", {f"x[0..{width - 1}]": "real 1..1"}, semantics="float32")
        for sign in (f"<= {-0.01 * abs(value):.8f} +", f">= {-0.01 * abs(value):.8f} +")
    ]
    outcomes = verify(asked, networks={"f": network}, budget_s=20)
    assert [outcome.status for outcome in outcomes] == ["refuted", "proved"]
    assert all(outcome.verdict.certificate for outcome in outcomes)
    assert all(outcome.lengths.operations < 1000 * depth * width**2 for outcome in outcomes)
