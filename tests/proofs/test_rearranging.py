"""Slices, joins, turns and RNNs are lowered to what torch computes, and are proved and checked as such."""

from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.proofs import claim, verify
from assay.proofs.lowering import UnsupportedError, lower
from assay.proofs.replay import exact_answers
from torch import nn


class Moves(nn.Module):
    def __init__(self, move):
        super().__init__()
        self.move = move

    def forward(self, x):
        return self.move(x)


def exactly(module, x):
    """What the lowered network gives, for each datum."""
    answer = exact_answers({"f": lower(module, tuple(x.shape[1:]))})
    return [[float(v) for v in answer("f", [Fraction(float(v)) for v in each.flatten()])] for each in x]


MOVES = {
    "slice": lambda x: x[:, 1:, ::2],
    "component": lambda x: x[:, -1, 2],
    "new axis": lambda x: x[:, None, 0],
    "cat": lambda x: torch.cat([x[:, 0] * 2, x[:, 1], x[:, 0]], 1),
    "stack": lambda x: torch.stack([x[:, 0], x[:, 1] - 1], dim=2),
    "turn": lambda x: x.transpose(1, 2).reshape(-1, 12),
    "permute": lambda x: x.permute(0, 2, 1).flip(1),
    "roll": lambda x: torch.roll(x, 1, 2),
    "unbind": lambda x: x.unbind(1)[1] + x.unbind(1)[0],
    "chunk": lambda x: x.chunk(2, dim=2)[1] - x.chunk(2, dim=2)[0],
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_moves_are_those_of_torch(move):
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    assert exactly(Moves(move), x) == [each.flatten().tolist() for each in move(x)]


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x[0] + x,
        lambda x: x.reshape(-1, 2),
        lambda x: x.flip(0),
        lambda x: torch.cat([x, x], 0),
        lambda x: x[:, 7],
    ],
)
def test_what_mixes_data_or_misses_is_refused(move):
    with pytest.raises(UnsupportedError):
        lower(Moves(move), (2, 4))


class Recurrent(nn.Module):
    def __init__(self, layers, bias):
        super().__init__()
        self.rnn = nn.RNN(2, 3, layers, nonlinearity="relu", batch_first=True, bias=bias)
        self.out = nn.Linear(3, 2)

    def forward(self, x):
        out, last = self.rnn(x)
        return self.out(out[:, -2]) - last[-1][:, :2]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_an_rnn_is_unrolled(layers, bias):
    torch.manual_seed(0)
    module = Recurrent(layers, bias).double()
    x = torch.randn(5, 4, 2, dtype=torch.float64)
    told = torch.tensor(exactly(module, x), dtype=torch.float64)
    assert torch.allclose(told, module(x).detach(), atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.RNN(2, 3, nonlinearity="relu", batch_first=True, bidirectional=True),
        lambda: nn.RNN(2, 3, 2, batch_first=True),
        lambda: nn.LSTM(2, 3, batch_first=True),
        lambda: nn.GRU(2, 3, 2, batch_first=True, bias=False),
    ],
)
def test_other_recurrent_layers(layer):
    class Outputs(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer()

        def forward(self, x):
            outputs, _ = self.layer(x)
            return outputs[:, 1:]

    torch.manual_seed(0)
    module = Outputs().double()
    x = torch.randn(2, 3, 2, dtype=torch.float64)
    told = torch.tensor(exactly(module, x), dtype=torch.float64)
    assert torch.allclose(told, module(x).detach().flatten(1), atol=1e-12)


def test_what_takes_the_data_for_steps_is_refused():
    with pytest.raises(UnsupportedError):
        lower(nn.Sequential(nn.RNN(2, 3, nonlinearity="relu")), (4, 2))


def test_last_states_are_not_taken_for_data():
    class Last(Recurrent):
        def forward(self, x):
            return self.rnn(x)[1].reshape(-1, 3)

    with pytest.raises(UnsupportedError, match="datum by datum"):
        lower(Last(2, True), (4, 2))


class Smaller(nn.Module):
    """AlgZoo's M(2,2), which finds the smaller of two numbers."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 2, nonlinearity="relu", batch_first=True, bias=False)
        self.out = nn.Linear(2, 2, bias=False)
        weights = (
            [[4.174038], [-6.7540298]],
            [[-0.38212356, 1.2886474], [1.847114, -0.75152266]],
            [[9.540969, -25.69231], [-9.538148, 25.63807]],
        )
        for parameter, values in zip(self.parameters(), weights, strict=True):
            parameter.data = torch.tensor(values)

    def forward(self, x):
        return self.out(self.rnn(x.unsqueeze(-1))[0][:, -1])


RIGHT = "(x0 > x1 => f(x0, x1)[1] > f(x0, x1)[0]) and (x1 > x0 => f(x0, x1)[0] > f(x0, x1)[1])"


@pytest.mark.parametrize(("apart", "status"), [("5e-4", "proved"), ("1e-4", "refuted")])
def test_an_rnn_is_right_where_its_inputs_lie_apart(apart, status):
    """What is left out beside zero is where float32 could not tell them either."""
    given = f"abs(x0 - x1) >= {apart} * (abs(x0) + abs(x1)) and abs(x0) + abs(x1) >= 1/1000"
    asked = claim(RIGHT, {"x0": "real -8..8", "x1": "real -8..8"}, given=given)
    network = Network("m", Smaller(), "categorical", "real", (2,))
    (outcome,) = verify([asked], networks={"f": network}, budget_s=60)
    assert outcome.status == status
    assert outcome.verdict.certificate is not None
