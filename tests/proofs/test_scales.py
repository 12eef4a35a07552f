"""Products with a network's own numbers are linear: gains of norms, and diagonal weights of any shape."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from assay.models import Network
from assay.proofs import check, claim, verify
from assay.proofs.lowering import lower
from assay.proofs.program import Free, Program
from assay.proofs.strides import strided
from assay.proofs.translation import add_network
from torch import nn

from .trees import NONE, asked


class Gains(nn.Module):
    """x [b, 3, 2] times a gain per column, one per row, and one for each entry; one of them alone, too."""

    def __init__(self):
        super().__init__()
        self.columns, self.rows = nn.Parameter(torch.randn(2)), nn.Parameter(torch.randn(3, 1))
        self.each = nn.Parameter(torch.randn(3, 2))

    def forward(self, x):
        y = x * self.columns + self.rows * x.flip(1)
        return torch.cat([(y * self.each).flatten(1), y[:, :, 0] * self.columns[1]], 1)


@pytest.fixture
def gains():
    torch.manual_seed(0)
    return Gains()


def test_they_are_written_as_linear_maps_of_the_same_numbers(gains):
    module = gains.double()
    graph = lower(module, (3, 2))
    assert {operation[0] for operation in graph.operations} == {"affine"}
    program = Program([Free(6)])
    output = add_network(program, graph, 0, rounding=False)
    for x in torch.randn(5, 3, 2, dtype=torch.float64):
        exact = program.evaluate([Fraction(v) for v in x.flatten().tolist()])[output]
        assert np.allclose(exact.astype(float), module(x[None])[0].detach().numpy(), atol=1e-12)


def test_the_checker_reads_them_alike_and_rounds_each_once(gains):
    graph = lower(gains, (3, 2), rounding=True)
    tensors = {name: ("float32", a.shape, a.ravel().tolist()) for name, a in graph.tensors.items()}
    claimed = asked([["x", "real", "-1", "1", 6]], "f(x)[0] <= 0", semantics="float32")
    problem = check.Problem(claimed, NONE, {"f": (6, strided(graph), tensors)})
    assert [layer.errs for layer in problem.layers if layer.columns is not None and layer.errs] == [1] * 5
    x = torch.rand(3, 2) * 2 - 1
    box = check.Box(problem).at((1 + i, Fraction(v)) for i, v in enumerate(x.flatten().tolist()))
    box.settle()
    for unit, value in zip(problem.layers[-1].units, gains(x[None])[0].tolist(), strict=True):
        assert box.low[unit] <= Fraction(value) * problem.one <= box.high[unit]


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_what_cancels_is_seen_on_a_whole_box(semantics):
    """Were they products of two unknown numbers, bounds would not know that x - x is 0."""

    class Cancelling(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.tensor([3.0, 0.7]))

        def forward(self, x):
            return (x * self.gain).sum(1, keepdim=True) - x @ self.gain[:, None]

    network = Network("c", Cancelling(), "regression", "real", (2,))
    asked = claim("abs(f(x)[0]) <= 1e-3", {"x[0..1]": "real -100..100"}, semantics=semantics)
    (outcome,) = verify([asked], networks={"f": network})
    assert outcome.status == "proved"
    assert outcome.verdict.certificate.leaves == 1


def test_a_large_tensor_of_which_little_is_read_is_not_written_out():
    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.ones(300, 300))

        def forward(self, x):
            return x * self.table[0, :2]

    assert "product" in {operation[0] for operation in lower(Corner(), (2,)).operations}
