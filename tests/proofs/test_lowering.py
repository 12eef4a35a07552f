from fractions import Fraction

import numpy as np
import pytest
import torch
from assay.models import ResidualMLP, ResidualMLPConfig, Superposition, SuperpositionConfig
from assay.proofs.lowering import UnsupportedError, lower
from assay.proofs.program import Free, Program
from assay.proofs.translation import add_network
from torch import nn
from torch.nn import functional


class _Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.shift = nn.Parameter(torch.randn(4))

    def forward(self, x):
        y = functional.relu(self.a(x)) + x * 0.5 - 1
        return torch.abs(self.b(y) + self.shift) - functional.leaky_relu(-x, 0.1) + torch.clamp(y, -0.5, 0.25)


MODULES = {
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.LeakyReLU(0.2), nn.Linear(5, 2)),
    "branches": _Branches,
    "hard": lambda: nn.Sequential(nn.Linear(4, 4), nn.Hardtanh(), nn.Dropout(), nn.Linear(4, 3), nn.ReLU6()),
    "superposition": lambda: Superposition(SuperpositionConfig(4, 2)),
    "residual": lambda: ResidualMLP(ResidualMLPConfig(4, 6, 3)),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_exact_form_computes_what_torch_computes(name):
    torch.manual_seed(0)
    module = MODULES[name]().double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    graph = lower(module, (4,))
    program = Program([Free(4)])
    output = add_network(program, graph, 0, rounding=False)
    for x in torch.randn(5, 4, dtype=torch.float64):
        exact = program.evaluate([Fraction(v) for v in x.tolist()])[output]
        assert np.allclose(exact.astype(float), module(x[None])[0].detach().numpy(), atol=1e-12)


def test_convolutions():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ).double()
    graph = lower(module, (2, 4, 4))
    program = Program([Free(32)])
    output = add_network(program, graph, 0, rounding=False)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    exact = program.evaluate([Fraction(v) for v in x.flatten().tolist()])[output]
    assert np.allclose(exact.astype(float), module(x)[0].detach().numpy(), atol=1e-12)


class _Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_everything_unsupported_is_named_with_its_reason():
    module = nn.Sequential(nn.Linear(3, 3), _Called(torch.sin), nn.Linear(3, 3), _Called(torch.floor))
    with pytest.raises(UnsupportedError) as caught:
        lower(module, (3,))
    told = [(fault.where, fault.message.split(":")[0]) for fault in caught.value.faults]
    assert told == [("1", "sin"), ("3", "floor")]


def test_weights_that_are_not_finite_are_refused():
    module = nn.Sequential(nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight[0, 0] = torch.nan
    with pytest.raises(UnsupportedError, match="not finite"):
        lower(module, (2,))
