"""Comparisons, and what is chosen by them, with ties: against torch, and from claims to certificates."""

import subprocess
import sys
from itertools import product

import pytest
import torch
from assay.models import Network
from assay.proofs import Refuted, claim, verify
from assay.proofs.lowering import UnsupportedError, lower
from torch.nn import functional

from tests.proofs.agreement import Function, checked

CHECKER = __import__("assay.proofs.check", fromlist=["check"]).__file__


def put(x):
    y = x * 2
    y[x > 0.5] = -1.0
    return y


OPERATIONS = {
    "sign": torch.sign,
    "gt": lambda x: (x > 0.5).float(),
    "ge": lambda x: (x >= 0.5).float(),
    "lt": lambda x: (x < x.flip(-1)).float(),
    "le": lambda x: (x <= x.flip(-1)).float(),
    "eq": lambda x: (x == 0.5).float(),
    "ne": lambda x: (x != x.flip(-1)).float(),
    "and": lambda x: ((x > 0) & (x.flip(-1) > 0)).float(),
    "or": lambda x: ((x > 0) | (x.flip(-1) >= 0)).float(),
    "xor": lambda x: ((x > 0) ^ (x.flip(-1) > 0)).float(),
    "not": lambda x: (~(x > 0)).float(),
    "logical": lambda x: torch.logical_and(x, x.flip(-1)).float() + torch.logical_not(x),
    "any": lambda x: (x > 0.5).any(-1, keepdim=True).float(),
    "all": lambda x: (x >= 0).all(-1, keepdim=True).float(),
    "count": lambda x: ((x > 0).sum(-1, keepdim=True) >= 2).float(),
    "where": lambda x: torch.where(x > 0, x, 2 * x.flip(-1)),
    "numbers": lambda x: torch.where(x.flip(-1) >= 0.5, 3.0, x),
    "masked_fill": lambda x: x.masked_fill(x <= 0, -1.0),
    "jump": lambda x: x * (x > 0.5),
    "heaviside": lambda x: torch.heaviside(x, torch.tensor(0.5)),
    "threshold": lambda x: functional.threshold(x, 0.5, 7.0),
    "hardshrink": functional.hardshrink,
    "argmax": lambda x: x.argmax(-1, keepdim=True).float(),
    "argmin": lambda x: x.argmin(-1).float()[:, None],
    "hardmax": lambda x: (functional.one_hot(x.argmax(-1), 3).to(x.dtype) * x).sum(-1, keepdim=True),
    "bool": lambda x: x.bool().to(x.dtype) * x.flip(-1),
    "put": put,
}
GRID = torch.tensor(list(product((-1.0, -0.5, 0.0, 0.5, 1.0), repeat=3)))


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_checker_computes_what_torch_computes(name, semantics):
    module = Function(OPERATIONS[name])
    x = torch.cat([GRID, torch.randn(40, 3, generator=torch.Generator().manual_seed(0))])
    low, high = checked(module, (3,), x, semantics)
    told = module(x).flatten(1).double()
    assert (low <= told).all()
    assert (told <= high).all()
    assert float((high - low).max()) <= 1e-5


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: x[:, x.argmax(1)], "places that depend on the input"),
        (lambda x: torch.where(x > 0, x, torch.inf), "not finite"),
        (lambda x: (x > 0).long() & 1, "bits of whole numbers"),
        (lambda x: torch.floor(x), "floor"),
    ],
)
def test_what_has_no_exact_form_is_told(function, told):
    with pytest.raises(UnsupportedError, match=told):
        lower(Function(function), (3,))


def circuit(x):
    y = x > 0.5
    first = (y[:, 0] & y[:, 1]) | (~y[:, 2] & y[:, 3])
    second = y[:, 4] ^ y[:, 5]
    return torch.stack([first & second, first | second], -1).float()


def some_and_all(x):
    return torch.stack([(x > 0).any(-1), (x > 0).all(-1)], -1).float()


CLAIMS = {
    "signs": (lambda x: torch.sign(x).sum(-1, keepdim=True), 2, "real -1..1", "f(x)[0] <= 2"),
    "product of signs": (
        lambda x: torch.sign(x[:, :1]) * torch.sign(x[:, :1]) * x[:, 1:], 2, "real -1..1", "f(x)[0] <= 1",
    ),
    "jump": (lambda x: x * (x > 0.5), 1, "real -1..1", "f(x)[0] >= x[0] - 0.5 and f(x)[0] <= x[0] + 1"),
    "edge below": (lambda x: (x > 0.5).float(), 1, "real 0..0.5", "f(x)[0] <= 0"),
    "edge above": (lambda x: (x >= 0.5).float(), 1, "real 0.5..1", "f(x)[0] >= 1"),
    "circuit of bits": (circuit, 6, "bit 0..1", "f(x)[0] <= f(x)[1]"),
    "circuit of reals": (circuit, 6, "real 0..1", "f(x)[0] <= f(x)[1]"),
    "many bits": (some_and_all, 30, "bit 0..1", "f(x)[1] <= f(x)[0]"),
}  # fmt: skip


def verified(function, n, kind, show, semantics, **options):
    net = Network("f", Function(function).eval(), "regression", "real", (n,))
    ranges = {f"x[0..{n - 1}]": "bit" if kind.startswith("bit") else kind}
    (outcome,) = verify([claim(show, ranges, semantics=semantics)], networks={"f": net}, **options)
    return outcome


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("name", CLAIMS)
def test_claims_across_jumps_are_proved_with_certificates(name, semantics, tmp_path):
    outcome = verified(*CLAIMS[name], semantics, certificates=tmp_path)
    assert outcome.status == "proved", outcome
    assert outcome.verdict.trusted == ()
    told = [sys.executable, "-I", CHECKER, str(outcome.verdict.certificate.path)]
    assert subprocess.run(told, capture_output=True).returncode == 0


def test_at_the_edge_of_a_jump_there_is_a_counterexample():
    for show, at in (("f(x)[0] >= 1", 0.5), ("f(x)[0] <= 0", None)):
        outcome = verified(lambda x: (x > 0.5).float(), 1, "real 0.5..1", show, "float32")
        assert isinstance(outcome.verdict, Refuted)
        assert at is None or float(outcome.verdict.witness.inputs["x[0]"]) == at


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_what_is_false_at_a_single_point_is_never_proved(seed, semantics):
    """Gated units with edges on a grid: the claim fails at its best point of the grid."""
    generator = torch.Generator().manual_seed(seed)
    inside = torch.randint(-2, 3, (2, 3), generator=generator) / 2
    edges = torch.randint(-2, 3, (3,), generator=generator) / 2
    outside = torch.randint(-3, 4, (3, 1), generator=generator) / 1.0

    def gated(x):
        v = x @ inside.to(x.dtype)
        return (v * (v > edges.to(x.dtype)) + torch.sign(v)) @ outside.to(x.dtype)

    grid = torch.tensor(list(product((-1.0, -0.5, 0.0, 0.5, 1.0), repeat=2)))
    top = float(gated(grid).max())
    outcome = verified(gated, 2, "real -1..1", f"f(x)[0] < {top}", semantics, budget_s=5)
    assert outcome.status != "proved"
    most = float(gated(torch.rand(100_000, 2, generator=generator) * 2 - 1).max())
    outcome = verified(gated, 2, "real -1..1", f"f(x)[0] <= {max(top, most) + 0.5}", semantics, budget_s=10)
    assert outcome.status == "proved", outcome
