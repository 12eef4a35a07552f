"""What a lowered network gives, beside what torch computes: exact values, and enclosures in float32."""

from fractions import Fraction

import torch
from assay.proofs.bounds import BatchProgram, Bounds
from assay.proofs.lowering import lower
from assay.proofs.program import Free, Program
from assay.proofs.replay import exact_answers
from assay.proofs.translation import add_network
from torch import nn


class Function(nn.Module):
    """A function of its input and, where it has one, of a parameter."""

    def __init__(self, function, *shape):
        super().__init__()
        self.function, self.w = function, nn.Parameter(torch.empty(shape)) if shape else None

    def forward(self, x):
        return self.function(x) if self.w is None else self.function(x, self.w)


def prepared(make, dtype, seed=0):
    """A module with random parameters, in evaluation mode."""
    torch.manual_seed(seed)
    module = make().to(dtype).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(buffer)
    return module


def points(shape, dtype, n, spread=1.0):
    """Random inputs [n, …]."""
    return spread * torch.randn(n, *shape, dtype=dtype, generator=torch.Generator().manual_seed(1))


def exactly_as_torch(make, shape, rounding, spread=1.0):
    """In float64 both forms of the network give what torch gives."""
    module, x = prepared(make, torch.float64), points(shape, torch.float64, 3, spread)
    answer = exact_answers({"f": lower(module, shape, rounding=rounding)})
    with torch.no_grad():
        told = module(x).flatten(1)
    found = [[float(v) for v in answer("f", [Fraction(v) for v in row])] for row in x.flatten(1).tolist()]
    return torch.allclose(torch.tensor(found, dtype=torch.float64), told, rtol=1e-11, atol=1e-11)


def bounds_of(module, shape, rounding, low, high, tokens=False):
    """Bounds [boxes, outputs] of the outputs."""
    graph = lower(module, shape, tokens=tokens, rounding=rounding)
    program = Program([Free(graph.size)])
    output = add_network(program, graph, 0, rounding)
    return Bounds(BatchProgram(program), low, high).interval(output)


def encloses_float32(make, shape, spread=1.0):
    """The widest enclosure at points; what torch computes lies inside, one by one and in batches."""
    module, x = prepared(make, torch.float32), points(shape, torch.float32, 16, spread)
    flat = x.flatten(1).double()
    low, high = bounds_of(module, shape, True, flat, flat)
    with torch.no_grad():
        for told in (module(x), torch.cat([module(each[None]) for each in x])):
            told = told.flatten(1).double()
            assert (low <= told).all(), float((low - told).max())
            assert (told <= high).all(), float((told - high).max())
    return float((high - low).max())
