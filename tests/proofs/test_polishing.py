"""Counterexamples that have to meet several conditions at once."""

import pytest
import torch
from assay.models import Network
from assay.proofs import Refuted, claim, verify
from assay.proofs.stages.polishing import polished, several
from torch import nn

from .test_copies import search_of


def valley(seed: int, inputs: int = 5) -> Network:
    """A random network of five outputs."""
    torch.manual_seed(seed)
    parts = [nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)]
    return Network("valley", nn.Sequential(*parts), "regression", "real", (inputs,))


def narrow(network: Network, seed: int, room: float) -> str:
    """The claim that outputs never all come as near as `room` to those of a point."""
    torch.manual_seed(seed)
    with torch.no_grad():
        there = network(torch.rand(1, 5))[0]
    near = [f"abs(f(x)[{k}] - ({float(v)!r})) <= {room}" for k, v in enumerate(there.tolist())]
    return f"not ({' and '.join(near)})"


@pytest.mark.parametrize("seed", range(6))
def test_a_point_never_gets_worse_and_stays_in_the_box(seed):
    network = valley(seed)
    search = search_of(network, network, narrow(network, seed, 0.01), size=5)
    assert several(search)
    torch.manual_seed(seed)
    for point in torch.rand(3, 5, dtype=torch.float64):
        moved = polished(search, point)
        assert float(search.score(moved[None])[0]) >= float(search.score(point[None])[0])
        assert bool(((moved >= search.lo) & (moved <= search.hi)).all())


def test_narrow_counterexamples_are_found():
    found = 0
    for seed in range(6):
        network = valley(seed)
        todo = claim(narrow(network, seed, 0.002), {"x[0..4]": "real 0..1"}, semantics="float32")
        (outcome,) = verify([todo], networks={"f": network}, budget_s=4)
        found += isinstance(outcome.verdict, Refuted) and outcome.verdict.certificate is not None
    assert found >= 4  # each has one
