"""Tensors of truths and of whole numbers, against torch: a sum of truths is their "or"."""

from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.proofs import UnsupportedError, claim, verify
from assay.proofs.lowering import lower
from assay.proofs.replay import exact_answers
from torch import nn
from torch.nn import functional

from tests.proofs.agreement import Function, exactly_as_torch

FIRST = torch.tensor([0])


def _set(b):
    b = b.clone()
    b[:, 0] = 3
    b[b] = 5
    return b


ALIKE = {
    "sum": lambda x, w: (x > 0) + (x > -1),
    "sum in place": lambda x, w: (x > 0).clone().add_(x > -1),
    "sum with True": lambda x, w: (x > 0) + True,
    "sum with a number": lambda x, w: (x > 0) + 1,
    "product and sum": lambda x, w: (x > 0) * (x > -1) + (x < 5),
    "of weights": lambda x, w: (w > 0) + (x > 0),
    "half": lambda x, w: ((x > 0) + (x > -1)) / 2,
    "pad": lambda x, w: functional.pad(x > 0, (1, 1), value=3),
    "pad of whole numbers": lambda x, w: functional.pad((x > 0).long(), (1, 1), value=3) + 0,
    "filled": lambda x, w: (x > 0).masked_fill(w > 0, 3),
    "filled where": lambda x, w: (x > 0).masked_fill(x > -1, 3),
    "filled rows": lambda x, w: (x > 0).index_fill(1, FIRST, 3),
    "scattered": lambda x, w: (x > 0).scatter(1, FIRST.expand(len(x), 1), 3),
    "like": lambda x, w: torch.full_like(x > 0, 3) * x + (x > 0).new_full((len(x), 3), 3) + (x > 0),
    "written": lambda x, w: _set(x > 0),
    "picked": lambda x, w: torch.where(w > 0, x > 0, x > -1) + (x > -2),
    "chosen": lambda x, w: torch.where(x > 0, x > 0, x > -1) + (x > -2),
    "triangle": lambda x, w: ((x > 0)[:, None] & (x > 0)[:, :, None]).triu() + (x > -1)[:, None],
    "largest": lambda x, w: torch.maximum(x > 0, x > -1) + (x > 0).amax(1, keepdim=True) + (x > -2),
    "moved": lambda x, w: torch.roll(torch.cat([x > 0, x > -1], 1), 1, 1) + (torch.cat([x, x], 1) > 0),
    "counted": lambda x, w: (x > 0).sum(1, keepdim=True) + (x > -1).cumsum(1),
    "sorted": lambda x, w: torch.sort(x > 0, dim=1)[0] + (x > -1),
    "quantors": lambda x, w: (x > 0).any(1, keepdim=True) + (x > -2) * (x > 9).all(1, keepdim=True),
    "powers": lambda x, w: (x > 0) ** 2 + torch.sign(x > 0) + ~(x > -1),
    "diagonal": lambda x, w: torch.diag_embed(x > 0) + torch.eye(3, dtype=torch.bool) + (x > -1)[:, None],
}
REFUSED = {
    "truths are added up": lambda x: (x > 0).index_add(1, torch.tensor([0, 0, 1]), x > -1),
    "truths are put together as numbers": lambda x: (x > 0).sum(1, keepdim=True, dtype=torch.bool),
    "uint8, of few bits": lambda x: (x > 0).to(torch.uint8) * 200 + (x > -1).to(torch.uint8) * 100,
    "float16, of few bits": lambda x: (x > 0).half() / 3,
}


@pytest.mark.parametrize("case", ALIKE)
def test_truths_are_what_torch_makes_of_them(case):
    def made():
        return Function(lambda x, w: ALIKE[case](x, w).double(), 3)

    assert all(exactly_as_torch(made, (3,), rounding, spread=2.0) for rounding in (False, True))


@pytest.mark.parametrize("told", REFUSED)
def test_what_wraps_or_rounds_is_refused(told):
    module = Function(lambda x: REFUSED[told](x).float())
    assert module(torch.ones(1, 3)).shape[0] == 1
    with pytest.raises(UnsupportedError, match=told):
        lower(module, (3,))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_weights_that_are_whole_leave_the_input_what_it_is(dtype):
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1, 0, 1]).to(dtype), requires_grad=False)

        def forward(self, x):
            return 1 - x * self.w

    network = Network("n", Shifted(), "regression", "real", (3,))
    x = torch.tensor([[0.25, -1.5, 2.0]])
    assert network(x).tolist() == [[0.75, 1.0, -1.0]]
    answer = exact_answers({"f": lower(network.module, (3,))})
    assert list(answer("f", [Fraction(v) for v in x[0].tolist()])) == [0.75, 1, -1]


def test_what_is_proved_of_truths_is_true():
    network = Network("n", Function(lambda x: ((x > 0) + (x > 1)).float()), "regression", "real", (1,))
    proved, refuted = (claim(f"f(x)[0] {which}", {"x": "real -2..2"}) for which in ("<= 1", ">= 3/2"))
    outcomes = verify([proved, refuted], networks={"f": network}, budget_s=20)
    assert [outcome.status for outcome in outcomes] == ["proved", "refuted"]


@pytest.mark.parametrize(("low", "high"), [(3.0, -1.0), (2.0, 2.0), (-1.0, 1.0)])
def test_ends_of_a_clamp_in_any_order(low, high):
    def made():
        return Function(lambda x: x.clamp(low, high) + functional.relu(x).clamp(max=high))

    assert all(exactly_as_torch(made, (3,), rounding, spread=4.0) for rounding in (False, True))
