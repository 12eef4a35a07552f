"""Random programs of every function: what torch computes anywhere in a box lies in the checker's bounds."""

import random
from fractions import Fraction

import pytest
import torch
from assay.proofs import check

from .trees import NONE, asked, network, placed

ANYWHERE = ("exp", "sigmoid", "erf", "relu")
POSITIVE = ("sqrt", "reciprocal", "log")
POINTS = 100


class Drawn:
    """Operations on values of the sizes `sizes`, and their tensors."""

    def __init__(self, rng, inputs):
        self.rng, self.sizes, self.operations, self.tensors = rng, [inputs], [], {}
        for _ in range(rng.randint(3, 9)):
            self.draw(rng.choice(("map", "map", "product", "square", *ANYWHERE, *POSITIVE)))
        self.linear(len(self.sizes) - 1, 1)

    def draw(self, kind):
        s = self.rng.randrange(max(0, len(self.sizes) - 4), len(self.sizes))
        if kind == "map":
            self.linear(s, self.rng.randint(1, 4))
        elif kind == "product":
            self.append(kind, s, self.rng.choice([t for t, n in enumerate(self.sizes) if n == self.sizes[s]]))
        elif kind in ANYWHERE:
            self.append(kind, s)
        else:
            self.append("product", s, s)
            if kind in POSITIVE:
                offset = self.rng.choice(["1/8", "1", "3"])
                self.operations.append(["affine", [[len(self.sizes) - 1, "times", "1"]], offset])
                self.sizes.append(self.sizes[s])
                self.append(kind, len(self.sizes) - 1)

    def append(self, kind, s, *more):
        self.operations.append([kind, s, *more])
        self.sizes.append(self.sizes[s])

    def linear(self, s, rows):
        name = f"w{len(self.sizes)}"
        entries = [
            [self.rng.uniform(-1.5, 1.5) * (self.rng.random() < 0.8) for _ in range(self.sizes[s])]
            for _ in range(rows)
        ]
        self.tensors[name] = torch.tensor(entries)
        self.operations.append(["affine", [[s, "matrix", name, False, None]], "0"])
        self.sizes.append(rows)

    def run(self, x):
        """Values [points] of the last operation, in the arithmetic of `x`."""
        values = [x]
        for kind, *read in self.operations:
            if kind == "affine":
                ((s, how, first, *_),), const = read
                linear = values[s] @ self.tensors[first].to(x.dtype).T if how == "matrix" else values[s]
                values.append(linear + float(Fraction(const)))
            elif kind == "product":
                values.append(values[read[0]] * values[read[1]])
            else:
                values.append(getattr(torch, kind)(values[read[0]]))
        return values[-1][:, 0]


def bounds_of(problem, box):
    """The last unit's bounds from back-substitution, and from its own range."""
    unit = len(problem.made) - 1
    (top, bottom), keep = box.upper([{unit: 1}, {unit: -1}], {}, box.exact)
    scale = problem.one << keep
    return [(-bottom / scale, top / scale), (box.low[unit] / problem.one, box.high[unit] / problem.one)]


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("seed", range(30))
def test_bounds_hold_in_smaller_and_smaller_boxes_down_to_a_point(seed, semantics):
    rng = random.Random(seed)
    inputs = rng.randint(1, 3)
    drawn = Drawn(rng, inputs)
    claim = asked([["x", "real", "-2", "2", inputs]], "f(x)[0] <= 0", semantics=semantics)
    problem = check.Problem(claim, NONE, {"f": network(drawn.operations, inputs, **drawn.tensors)})
    low, high, box, bounded = [Fraction(-2)] * inputs, [Fraction(2)] * inputs, None, 0
    dtype = torch.float64 if semantics == "real" else torch.float32
    generator = torch.Generator().manual_seed(seed)
    for step in range(7):
        ends = [torch.tensor([float(v) for v in side], dtype=dtype) for side in (low, high)]
        inside = torch.rand(POINTS, inputs, generator=generator, dtype=dtype) * 1.4 - 0.2
        values = drawn.run((ends[0] + (ends[1] - ends[0]) * inside).clamp(*ends)).double()
        box = placed(problem, low, high, box, exact=rng.random() < 0.2)
        try:
            box.settle()
        except ValueError as error:  # on so large a box it cannot be told that it is defined
            assert any(word in str(error) for word in ("may", "large", "nonneg"))  # noqa: PT017
        else:
            slack = 1e-9 * (1 + float(values.abs().max())) if semantics == "real" else 1e-12
            for least, most in bounds_of(problem, box):
                assert least - slack <= float(values.min())
                assert float(values.max()) <= most + slack
            bounded += 1
        k = rng.randrange(inputs)
        middle = low[k] + (high[k] - low[k]) * Fraction(rng.randint(1, 7), 8)
        low[k], high[k] = (low[k], middle) if rng.random() < 0.5 else (middle, high[k])
        if step == 5:
            high = [*low]
    assert bounded or semantics == "float32"  # there some overflow everywhere


@pytest.mark.parametrize("loops", [[], [[1, 1, 0, 0], [0, 0, 1, 1]], [[0, 1, 1, 1]], [[1, -1, 0, 0]]])
def test_loops_back_or_of_no_steps_are_refused(loops):
    operations = [["affine", [[0, None, "1", loops]], "0"]]
    shown = asked([["x", "real", "-2", "2", 1]], "f(x)[0] <= 0")
    with pytest.raises(ValueError, match="a loop back, or of no steps"):
        check.Problem(shown, NONE, {"f": (1, operations, {})})
