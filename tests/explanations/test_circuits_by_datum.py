"""Circuits of one datum at a time: what is told, what is needed, and what a datum costs."""

import pytest
import torch
from assay.explanations import ExplanationError, Subject, WholeNetwork, build
from assay.explanations.circuits import Donor, Graph
from assay.explanations.circuits.local import LocalCircuit
from assay.explanations.circuits.streams import Streams, transformer_of
from assay.explanations.recipes.edge_attribution import edge_scores
from assay.mdl import CategoricalTarget, MechanismProblem, score_mechanism
from assay.models import zoo

TOLD = ["nodes", "edges"]


def arrived(circuit: LocalCircuit) -> dict[str, torch.Tensor]:
    """Its parts as they are, without rounding."""
    return {tensor.name: tensor.values for tensor in circuit.parts().tensors}


@pytest.mark.parametrize("told", TOLD)
def test_where_everything_is_needed_it_is_the_network(transformer, tokens, told):
    circuit, x = LocalCircuit(transformer, told, 0.0), tokens.inputs[:6]
    sent = arrived(circuit)
    active = circuit.active(sent, x)
    assert active.shape == (6, 6, circuit.count)
    assert bool(active.all())
    assert torch.allclose(circuit.predict(sent, x, active), transformer(x), atol=1e-4)


@pytest.mark.parametrize("told", TOLD)
def test_each_datum_runs_under_its_own_gates(transformer, tokens, told):
    """Against one run for each datum under its gates alone; positions differ, too."""
    circuit, x = LocalCircuit(transformer, told, 0.05), tokens.inputs[:5]
    sent = arrived(circuit)
    active = circuit.active(sent, x)
    assert 0 < active.float().mean() < 1
    together = circuit.predict(sent, x, active)
    gates = circuit._gates(active)
    for i in range(5):
        alone = Streams(transformer_of(transformer.module), circuit.graph, gates[i].float())
        assert torch.allclose(alone(x[i : i + 1])[0], together[i], atol=1e-4)


def test_effects_add_up_to_edge_attribution(transformer, tokens):
    circuit, x = LocalCircuit(transformer, "edges", 0.1), tokens.inputs[:8]
    graph = Graph.of(transformer)
    mean = circuit._effects(transformer, x).sum(1).mean(0).double()
    told = edge_scores(transformer, graph, x, Donor(), "eap")
    assert told.scores is not None
    assert torch.allclose(-mean, told.scores[0], atol=1e-4)


def test_a_node_without_a_part_is_silent(transformer, tokens):
    """Where one head is off its edges carry nothing, whatever is told of them."""
    circuit, x = LocalCircuit(transformer, "edges", 0.0), tokens.inputs[:3]
    sent = arrived(circuit)
    active = circuit.active(sent, x)
    active[..., 1] = False
    silent = Streams(
        transformer_of(transformer.module), circuit.graph, change=lambda place, v: v * (place != 2)
    )
    assert torch.allclose(circuit.predict(sent, x, active), silent(x), atol=1e-4)


@pytest.mark.parametrize("told", TOLD)
def test_one_datum_costs_less_than_the_network(told):
    """What a datum does not need is not read to understand it; more bits to be needed, more correction."""
    network, data = zoo.load("byte-lm"), zoo.data("byte-lm", 3, 0).inputs[:, :16]
    problem = MechanismProblem(data, network(data), CategoricalTarget())
    coarse = score_mechanism(LocalCircuit(network, told, 4.0), problem, 6)
    whole = score_mechanism(WholeNetwork(network), problem, 6)
    assert coarse.law.part_bits(1) < 0.98 * whole.law.part_bits(1)
    fine = score_mechanism(LocalCircuit(network, told, 0.2), problem, 6)
    assert fine.law.part_bits(1) > coarse.law.part_bits(1)
    assert fine.law.rates["divergence"][0].per_datum < coarse.law.rates["divergence"][0].per_datum


def test_specs_of_circuits_by_datum(transformer, tokens, tms, tms_data):
    subject = Subject("mechanism", transformer, tokens)
    made = build("circuit,parts=edges,threshold=0.3", subject)
    assert made.recipe() == {"kind": "circuit", "parts": "edges", "threshold": 0.3, "nodes": 8, "edges": 75}
    with pytest.raises(ExplanationError, match=r"parts='heads' at a threshold of 0\.05 bits"):
        build("circuit,parts=heads", subject)
    with pytest.raises(ExplanationError, match="and at least 0 bits"):
        build("circuit,parts=nodes,threshold=-1", subject)
    with pytest.raises(ExplanationError, match="unknown option keep"):
        build("circuit,parts=nodes,keep=0.5", subject)
    with pytest.raises(ExplanationError, match="is a regression"):
        build("circuit,parts=nodes", Subject("mechanism", tms, tms_data))
