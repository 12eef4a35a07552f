"""Parts are switched off and on, their usage is read, circuits are compared."""

from __future__ import annotations

import pytest
import torch
from assay.explanations import Components, ExplanationError, Lookup, planted_components
from assay.explanations.circuits import CircuitFile, Graph, GraphCircuit
from assay.explanations.components import svd_components
from assay.explanations.trials import (
    faithfulness,
    same_edges,
    sets_of_code,
    sets_of_mechanism,
    try_parts,
    try_usage,
    try_weights,
)
from assay.explanations.truth import true_circuit
from assay.explanations.truth.traps import (
    arbitrary_parts,
    cancelling_pair,
    everything_relevant,
    merged_mechanisms,
)
from assay.mdl import Code
from assay.models import Network, programs, zoo
from torch import nn


def test_traps_of_parts_are_caught_and_the_truth_is_not():
    network, x = zoo.load("tms-40-10"), zoo.data("tms-40-10", 48, 1).inputs
    honest = planted_components(network)
    found = {
        name: try_parts(parts, x)
        for name, parts in (
            ("honest", honest),
            ("everything", everything_relevant(honest)),
            ("arbitrary", arbitrary_parts(honest)),
            ("pair", cancelling_pair(honest)),
            ("merged", merged_mechanisms(network)),
        )
    }
    assert found["honest"].caught() == []
    assert all(found[name].caught() for name in ("everything", "arbitrary", "pair", "merged"))
    assert found["pair"].cancelling == 1
    assert found["everything"].needless > 0.9 > found["honest"].needless


def test_lists_copies_and_idle_weights_are_seen():
    network, x = zoo.load("tms-5-2"), zoo.data("tms-5-2", 60, 1).inputs
    honest = planted_components(network)
    sets = {
        "honest": sets_of_mechanism(honest, x),
        "list": sets_of_mechanism(Lookup(network, x), x),
        "everything": sets_of_mechanism(everything_relevant(honest), x),
    }
    found = {name: try_usage(active) for name, active in sets.items()}
    assert found["honest"].caught() == []
    assert (found["list"].unseen, found["list"].twins) == (1.0, 0.0)
    assert (found["everything"].unseen, found["everything"].twins) == (0.0, 1.0)
    assert all(found[name].caught() for name in ("list", "everything"))
    code = Code(torch.tensor([0, 0, 1, 3]), torch.tensor([0, 1, 1, 0]), torch.ones(4), 4, 3)
    assert sets_of_code(code, 2).tolist() == [[True, True, False], [True, False, False]]
    assert try_usage(sets_of_code(code, 1)).unseen == 0.0
    with pytest.raises(ExplanationError, match="2 or more data"):
        try_usage(torch.ones(1, 3))


def test_a_weight_is_needed_where_its_removal_shows():
    """y = 2 x0 + 0.001 x1 + 0 x2: of two weights that are not zero one does next to nothing."""
    module = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[2.0, 0.001, 0.0]]))
    network = Network("line", module, "regression", "real", (3,))
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    done = try_weights(network, x)
    assert (done.needless, done.weights) == (0.5, 2)
    first = {"weight": torch.tensor([[True, False, False]])}
    assert try_weights(network, x, first).needless == 0.0
    assert module.weight.tolist() == [[2.0, pytest.approx(0.001), 0.0]]
    with pytest.raises(ExplanationError, match="no weight that is not zero"):
        try_weights(network, x, {"weight": torch.zeros(1, 3)})


def test_a_circuit_is_as_faithful_as_its_edges_are_many():
    network = zoo.load("max-of-4")
    graph, x = Graph.of(network), zoo.data("max-of-4", 40, 1).inputs
    told = CircuitFile("scores", "-", graph, scores=torch.rand(1, *graph.real.shape).double())
    curve = faithfulness(network, told, x, (0.001, 0.5, 1.0))
    assert curve[0] == pytest.approx(0.0, abs=1e-6)
    assert curve[2] == pytest.approx(1.0, abs=1e-4)
    some = graph.real & (torch.rand(graph.real.shape, generator=torch.Generator().manual_seed(0)) < 0.8)
    whole, part = (GraphCircuit(network, graph, e) for e in (graph.real, some))
    found = same_edges(whole, part, graph.real.double())
    assert found.precision == 1.0
    assert found.recall == pytest.approx(int(part.edges.sum()) / int(whole.edges.sum()))
    with pytest.raises(ExplanationError, match="two circuits"):
        same_edges(whole, true_circuit(programs.load("sort")))


def test_parts_of_a_language_model_are_tried_by_position():
    network, x = zoo.load("byte-lm"), zoo.data("byte-lm", 2, 0).inputs
    factors = svd_components(network, ("blocks.0.mlp.W_in", "blocks.0.mlp.W_out")).factors
    owners = {name: torch.arange(len(L)) * 3 // len(L) for name, (L, _) in factors.items()}
    whole = Components(network, factors, owners=owners)
    assert whole.parts_count == 3
    found = try_parts(whole, x, draws=1)
    assert found.divergence == pytest.approx(0.0, abs=1e-3)
    assert 0 <= found.needless < 1
