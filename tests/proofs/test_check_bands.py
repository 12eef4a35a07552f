"""Lines along functions, in the checker and in the search, against arithmetic of 50 digits from elsewhere."""

import itertools
import random
from fractions import Fraction

import mpmath
import pytest
import torch
from assay.models import Network
from assay.proofs import check, claim, verify
from assay.proofs.function_bounds import band, interval
from assay.proofs.program import Function

from .trees import NONE, asked, kind, network, placed

ONE, SLOPE = 3 << 64, 1 << check.SLOPE
CALLS = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "erf": mpmath.erf,
    "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
    "reciprocal": lambda v: 1 / v,
    "sqrt": mpmath.sqrt,
}
NATIVE = {k: getattr(torch, k) for k in CALLS}
POSITIVE = ("log", "sqrt")


def spans(kind, rng):
    """Random intervals, narrow and wide, on one side of 0 where the function asks for it."""
    for _ in range(60):
        a = rng.uniform(-6, 6) * 10 ** rng.randint(-3, 0)
        b = a + 10 ** rng.uniform(-9, 1)
        if kind in POSITIVE or (kind == "reciprocal" and a < 0 < b and rng.random() < 0.5):
            a, b = abs(a) + 1e-6, abs(a) + 1e-6 + (b - a)
        elif kind == "reciprocal" and a < 0 < b:
            a, b = a - b - 1e-3, -1e-3
        yield Fraction(a).limit_denominator(10**9), Fraction(b).limit_denominator(10**9)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_left_beside_a_line_lies_between_its_ends(name):
    rng, lined = random.Random(5), 0
    for low, high in spans(name, rng):
        a, b = int(low * ONE // 1), int(-(-high * ONE // 1))
        ends = [check.enclosed(name, end, ONE) for end in (a, b)]
        steep, least, most = check.along(name, a, b, ends, ONE, SLOPE)
        if not steep:
            continue
        lined += 1
        inside = [a, b, *(a + (b - a) * k // 40 for k in range(41)), min(max(0, a), b)]
        with mpmath.workdps(60):
            rests = [
                CALLS[name](mpmath.mpf(t) / ONE) * ONE - mpmath.mpf(steep[0]) * t / SLOPE for t in inside
            ]
            assert least <= min(rests)
            assert max(rests) <= most
    assert lined > 40


@pytest.mark.parametrize("name", CALLS)
def test_lines_come_closer_as_the_square_of_the_width(name):
    gaps = []
    for width in (Fraction(1, 4), Fraction(1, 64)):
        a, b = ONE, int(ONE * (1 + width))
        ends = [check.enclosed(name, end, ONE) for end in (a, b)]
        _, least, most = check.along(name, a, b, ends, ONE, 1 << 40)
        gaps.append((most - least) / ONE)
    assert 0 < gaps[1] < gaps[0] / 100


def value_of(problem, unit, point):
    """Of an input or an affine unit, at a point."""
    if unit <= len(point):
        return [Fraction(1), *point][unit]
    row = problem.made[unit]
    return sum(Fraction(w, 2**check.FINE) * value_of(problem, j, point) for j, w in row.items())


@pytest.mark.parametrize("square", [False, True])
def test_products_lie_between_their_lines(square):
    product = ["product", 0, 0 if square else 1]
    operations = [["affine", [[0, "pick", [1, 0], "1"]], "0"], product]
    claim = asked([["x", "real", "-4", "4", 2]], "f(x)[0] <= 0")
    problem = check.Problem(claim, NONE, {"f": network(operations, 2)})
    rng = random.Random(3)
    for _ in range(30):
        low = [Fraction(rng.randint(-64, 40), 16) for _ in range(2)]
        high = [v + Fraction(rng.randint(1, 20), 16) for v in low]
        box = placed(problem, low, high)
        box.settle()
        unit = next(layer.units[0] for layer in problem.layers if kind(problem, layer) == "product")
        if unit not in box.lines:  # they are not narrower than its bounds
            continue
        least, most, *reads = box.lines[unit]
        grid = [[a + (b - a) * Fraction(k, 4) for k in range(5)] for a, b in zip(low, high, strict=True)]
        for point in itertools.product(*grid):
            v, w = (value_of(problem, u, point) for u in problem.made[unit][1])
            lines = sum(Fraction(k, SLOPE) * value_of(problem, u, point) for u, k, _ in reads)
            assert least <= (v * w - lines) * problem.one <= most


@pytest.mark.parametrize("rounding", [False, True])
@pytest.mark.parametrize("kind", [*CALLS, "product", "square"])
def test_the_search_draws_the_same_lines(kind, rounding):
    rng = random.Random(11)
    ends = [torch.tensor([[float(v) for v in span]]) for span in spans(kind, rng)]
    low, high = torch.cat(ends).double().T[:, :, None]
    sources = {"product": (0, 1), "square": (0, 0)}.get(kind, (0,))
    function = Function("product" if len(sources) == 2 else kind, sources, 1)
    read = [(low, high) if s == 0 else (low.flip(0), high.flip(0)) for s in sources]
    bounds = interval(function, None, read, rounding)
    lines, narrower = band(function, read, bounds, rounding), 0
    for k in range(21):
        at = [a + (b - a) * (k if j == 0 else 20 - k) / 20 for j, (a, b) in enumerate(read)]
        at = at if kind != "square" else [at[0]] * 2
        call = (lambda v, w: v * w) if len(at) == 2 else {**CALLS, **NATIVE}[kind]
        rest = call(*at) - sum(slope * v for slope, v in zip(lines.slopes, at, strict=True))
        scale = 1e-9 * (1 + lines.most.abs() + lines.least.abs())
        assert (lines.least - scale <= rest).all()
        assert (rest <= lines.most + scale).all()
        narrower += int(((lines.most - lines.least) < (bounds[1] - bounds[0]) * 0.9).sum())
    assert narrower > 100


class Bilinear(torch.nn.Module):
    """o (l(x) r(x)), as bilinear MLPs without biases (Pearce et al. 2024)."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.l, self.r = (torch.nn.Linear(inputs, hidden, bias=False) for _ in range(2))
        self.o = torch.nn.Linear(hidden, 1)

    def forward(self, x):
        return self.o(self.l(x) * self.r(x))


def stacked(activation):
    parts = [
        torch.nn.Linear(2, 12),
        activation(),
        torch.nn.Linear(12, 12),
        activation(),
        torch.nn.Linear(12, 1),
    ]
    return torch.nn.Sequential(*parts)


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize(
    "made", [lambda: Bilinear(3, 8), lambda: stacked(torch.nn.Tanh), lambda: stacked(torch.nn.GELU)]
)
def test_curved_networks_are_bounded_over_whole_boxes(made, semantics, tmp_path):
    """A tenth of the range above the largest sample: lines do with few leaves."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = made()
        inputs = next(module.parameters()).shape[1]
        values = module(torch.rand(20_000, inputs) * 2 - 1)[:, 0].detach()
    bound = float(values.max() + 0.1 * (values.max() - values.min()))
    names = [f"x{k}" for k in range(inputs)]
    asked_for = claim(
        f"f({', '.join(names)})[0] <= {bound:.5f}",
        dict.fromkeys(names, "real -1..1"),
        semantics=semantics,
        name="curved",
    )
    net = Network("n", module, "regression", "real", (inputs,))
    (outcome,) = verify([asked_for], networks={"f": net}, certificates=tmp_path, budget_s=60)
    assert outcome.status == "proved"
    assert outcome.seconds < 30
