"""Edges between nodes with a place, told by layer and head."""

import math

import numpy as np
import pytest
import torch
from assay.mdl import EdgeSpace, PartError, Parts
from assay.mdl.lengths import log2_binomial
from assay.mdl.parts import send_parts

LAYERS, HEADS = 12, 13  # twelve heads and an MLP
NODES = tuple((layer, head) for layer in range(LAYERS) for head in range(HEADS))
FORWARD = torch.tensor([[a[0] < b[0] for b in NODES] for a in NODES])
SPACE = EdgeSpace(NODES, NODES, FORWARD)


def bits(edges: torch.Tensor, space: EdgeSpace = SPACE) -> float:
    sent = send_parts(Parts(0, (space.part("edges", edges, 0),)), 8)
    assert torch.equal(space.unfold(sent.restored["edges"][0]), edges)
    return sent.total(np.zeros(0)) - sent.header


def random_edges(count: int, among: torch.Tensor) -> torch.Tensor:
    places = among.nonzero()
    chosen = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(0))[:count]]
    edges = torch.zeros_like(among)
    edges[chosen[:, 0], chosen[:, 1]] = True
    return edges


def test_scattered_edges_cost_a_set_among_those_that_can_be():
    edges = random_edges(68, FORWARD)
    exist = int(FORWARD.sum())
    told = float(log2_binomial(exist, 68)) + math.log2(exist + 1)
    assert told - 5 < bits(edges) < told + 10


def test_edges_of_a_few_heads_cost_less():
    layer, head = torch.tensor(NODES).T
    few = ((layer == 2) | (layer == 5)) & (head < 3)
    late = (layer > 8) & (head == 4)
    among = FORWARD & few[:, None] & late
    edges = random_edges(12, among)
    assert bits(edges) < 0.75 * bits(random_edges(12, FORWARD))


def test_places_without_a_node_cost_nothing():
    ragged = tuple(place for place in NODES if place[1] < 3 or place[0] == 0)
    space = EdgeSpace(ragged, ragged)
    edges = random_edges(20, torch.ones(space.shape, dtype=torch.bool))
    cells = len(ragged) ** 2
    assert bits(edges, space) < float(log2_binomial(cells, 20)) + math.log2(cells) + 10


def test_what_is_no_edge_set_is_refused():
    with pytest.raises(PartError, match="sources: 2 nodes stand at 1 places"):
        EdgeSpace(((0, 1), (0, 1)), ((0,),))
    with pytest.raises(PartError, match="targets: every place is as many numbers"):
        EdgeSpace(((0,),), ((0, 1), (0,)))
    with pytest.raises(PartError, match=r"exists is \(1, 1\), expected \(156, 156\)"):
        EdgeSpace(NODES, NODES, torch.ones(1, 1))
    with pytest.raises(
        PartError, match=r"e: edges are torch.bool \(2, 2\), expected torch.bool \(156, 156\)"
    ):
        SPACE.part("e", torch.ones(2, 2, dtype=torch.bool), 0)
    with pytest.raises(PartError, match="not zero where nothing is allowed"):
        SPACE.part("e", torch.ones(156, 156, dtype=torch.bool), 0)
