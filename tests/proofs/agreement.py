"""What a lowered network gives, beside what torch computes: exact values, and enclosures in float32."""

from fractions import Fraction

import torch
from assay.proofs import check
from assay.proofs.batch import BatchProgram
from assay.proofs.bounds import Bounds
from assay.proofs.lowering import lower
from assay.proofs.program import Free, Program
from assay.proofs.replay import exact_answers
from assay.proofs.strides import strided
from assay.proofs.translation import add_network
from torch import nn

from tests.proofs.trees import NONE


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


def checked(module, shape, x, semantics):
    """What the checker makes of the network's operations at points x [n, …]: bounds [n, outputs]."""
    graph = lower(module, shape, rounding=semantics == "float32")
    size = graph.size
    tensors = {name: ("float32", t.shape, t.ravel().tolist()) for name, t in graph.tensors.items()}
    wide = [["x", "real", "-16", "16", size]]
    first = ["<=", "0", ["[]", ["f", "x"], 0]]
    claim = {"for": wide, "given": [], "show": first, "semantics": semantics, "stated": ""}
    problem = check.Problem(claim, NONE, {"f": (size, strided(graph), tensors)})
    (units,) = [forms for key, forms in problem.called.items() if key[0] == "f"]
    outputs = [next(iter(form)) for form in units]
    found = []
    for row in x.flatten(1).double().tolist():
        box = check.Box(problem).at(enumerate(map(Fraction, row), 1))
        box.settle()
        found.append([[end[u] / problem.one for u in outputs] for end in (box.low, box.high)])
    return torch.tensor(found, dtype=torch.float64).unbind(1)


def encloses_in_the_checker(make, shape, semantics, spread=1.0):
    """The widest of the checker's bounds at points; what torch computes lies inside."""
    dtype = torch.float32 if semantics == "float32" else torch.float64
    module, x = prepared(make, torch.float32), points(shape, torch.float32, 2, spread)
    low, high = checked(module, shape, x, semantics)
    with torch.no_grad():
        told = module.to(dtype)(x.to(dtype)).flatten(1).double()
    slack = 0.0 if semantics == "float32" else 1e-7  # numbers such as 0.3 are meant as float32 has them
    assert (low - slack <= told).all(), float((low - told).max())
    assert (told <= high + slack).all(), float((told - high).max())
    return float((high - low).max())
