"""Circuits of edges: what of the network is sent, which means are told, and what is pruned."""

import pytest
import torch
from assay.explanations.circuits import Donor, Graph, GraphCircuit, mean_writes
from assay.explanations.circuits.needs import needed_weights
from assay.explanations.circuits.streams import written
from assay.explanations.errors import ExplanationError
from assay.mdl import CategoricalTarget, MechanismProblem, score_mechanism
from assay.mdl.parts import send_parts

from .patching import EDGES, by_source, close, network, received, tokens, without


def of(graph: Graph, *edges: str) -> torch.Tensor:
    """These edges alone."""
    return graph.real & ~without(graph, *edges)


def test_sides_that_hear_nothing_do_not_send_their_weights():
    """Attention that reads itself through values alone is even: its queries and keys are nobody's."""
    net, x = network(), tokens()
    graph = Graph.of(net, "stream")
    heads = ("input->a0.h1<v>", "input->a1.h0<q>", "input->a1.h0<k>", "a0.h1->a1.h0<v>", "a1.h0->logits")
    sent = {t.name: t.values for t in GraphCircuit(net, graph, of(graph, *heads)).parts().tensors}
    assert not {"blocks.0.attn.W_Q", "blocks.0.attn.W_K"} & set(sent)
    assert tuple(sent["blocks.1.attn.W_Q"].shape[1:]) == (1, 8, 4)
    assert "constants" not in sent
    # queries that hear nothing are one vector; so are values, and then nobody reads the head's pattern
    for dropped, gone in (("<q>", {"W_Q"}), ("<v>", {"W_Q", "W_K", "W_V"})):
        fewer = of(graph, *[edge for edge in heads if not edge.endswith(f"a1.h0{dropped}")])
        circuit = GraphCircuit(net, graph, fewer)
        sent = {t.name: t.values for t in circuit.parts().tensors}
        assert tuple(sent["constants"].shape) == (1, 1, 4)
        assert not [name for name in sent if name.startswith("blocks.1.") and name[-3:] in gone]
        values = torch.zeros(*x.shape, len(graph.sources), 8)
        assert close(received(circuit, x), by_source(net, circuit, x, values))


def test_means_are_told_where_they_are_fewest():
    net, x = network(), tokens()
    graph = Graph.of(net)
    rule = Donor.of("mean", net, graph, x)

    def told(edges: torch.Tensor) -> tuple[int, ...]:
        tensors = {
            t.name: tuple(t.values.shape[1:]) for t in GraphCircuit(net, graph, edges, rule).parts().tensors
        }
        return tensors.get("donors", ())

    assert told(graph.real) == ()
    assert told(without(graph, "m0->logits", "m0->m1", "m0->a1.h0<q>")) == (1, 1, 8)  # one source
    few = torch.zeros_like(graph.real)
    few[graph.source_index["m1"], -1] = few[0, graph.target_index["m1"]] = True
    assert told(few) == (1, 2, 8)  # two readers, many sources


def test_only_what_kept_nodes_use_is_sent():
    net = network()
    graph = Graph.of(net)
    edges = torch.zeros_like(graph.real)
    for edge in ("input->a0.h1<q>", "input->a0.h1<k>", "input->a0.h1<v>", "a0.h1->logits"):
        source, target = edge.split("->")
        edges[graph.source_index[source], graph.target_index[target]] = True
    masks = needed_weights(net, graph, edges, None)
    assert not any(mask.any() for name, mask in masks.items() if ".mlp." in name or ".ln2." in name)
    assert masks["blocks.0.attn.W_Q"].flatten(1).all(1).tolist() == [False, True]
    assert not masks["blocks.1.attn.W_V"].any()
    assert masks["blocks.1.attn.b_O"].all()
    sent, whole = (
        int(send_parts(GraphCircuit(net, graph, e).parts(), 8).numbers.sum()) for e in (edges, graph.real)
    )
    assert sent < whole == sum(p.numel() for p in net.parameters().values())


def test_a_donor_that_is_resampled_needs_the_whole_network():
    net, x = network(), tokens()
    graph = Graph.of(net)
    rule = Donor.of("resample", net, graph, x, 3)
    circuit = GraphCircuit(net, graph, without(graph, *EDGES), rule)
    numbers = int(send_parts(circuit.parts(), 8).numbers.sum())
    assert numbers == sum(p.numel() for p in net.parameters().values())
    assert circuit.donor == "resample"
    with pytest.raises(ExplanationError, match="is not among the 12 inputs"):
        received(circuit, (tokens() + 1) % 11)


def test_pruning_removes_what_nobody_hears():
    graph = Graph(2, 2)
    edges = torch.zeros(1, *graph.real.shape, dtype=torch.bool)
    for edge in ("input->m0", "m0->a1.h0<v>", "a0.h1->m1", "m1->logits", "input->m1"):
        source, target = edge.split("->")
        edges[0, graph.source_index[source], graph.target_index[target]] = True
    # a1.h0 is heard by nobody, so m0 is not either; a0.h1 hears nothing
    assert list(graph.edges(graph.prune(edges)[0])) == ["input->m1", "m1->logits"]


@pytest.mark.parametrize(("mlps", "parallel"), [(True, False), (True, True), (False, False)])
def test_edges_lead_forwards(mlps, parallel):
    """Counted by hand: each reader hears the input and every node before it."""
    L, H = 3, 2
    graph, count = Graph(L, H, mlps, parallel), 0
    for layer in range(L):
        before = 1 + layer * (H + mlps)
        count += 3 * H * before + mlps * (before + (0 if parallel else H))
    count += 1 + L * (H + mlps)
    assert int(graph.real.sum()) == count
    assert int(graph.prune(graph.real[None]).sum()) == count


def test_means_are_means():
    net, x = network(), tokens(70)
    graph = Graph.of(net, "stream")
    by_hand = torch.stack([written(net.module, graph, row[None])[0] for row in x]).mean(0)
    assert torch.allclose(mean_writes(net, graph, x), by_hand, atol=1e-5)


def test_a_circuit_has_a_score_and_decodes():
    net, x = network(), tokens(40)
    graph = Graph.of(net)
    problem = MechanismProblem(x, net(x), CategoricalTarget())
    everything = GraphCircuit(net, graph, graph.real)
    some = GraphCircuit(net, graph, without(graph, *EDGES), Donor.of("mean", net, graph, x))
    scores = [score_mechanism(c, problem, 12) for c in (everything, some)]
    faithful, not_so = (s.law.rates["divergence"][0].per_datum for s in scores)
    assert 10 * faithful < not_so
    assert some.recipe()["edges"] < everything.recipe()["edges"] == int(graph.real.sum())


def test_an_empty_circuit_can_be_sent():
    net, x = network(), tokens()
    graph = Graph.of(net)
    circuit = GraphCircuit(net, graph, torch.zeros_like(graph.real))
    told = received(circuit, x)
    assert close(told, told[:1].expand_as(told))


def test_networks_that_have_no_such_graph_are_refused(mlp):
    with pytest.raises(ExplanationError, match="are about transformers"):
        Graph.of(mlp)
    with pytest.raises(ExplanationError, match="no node pos_embeds"):
        Graph.of(network(positions="rotary"), "split")
    net = network()
    with pytest.raises(ExplanationError, match=r"circuit: edges \(1, 3, 3\)"):
        GraphCircuit(net, Graph.of(net), torch.ones(3, 3))
    with pytest.raises(ExplanationError, match="donor 'noise' is not one of"):
        Donor.of("noise", net, Graph.of(net), tokens())
    positional = GraphCircuit(
        net,
        Graph.of(net),
        Graph.of(net).real,
        Donor.of("mean-positional", net, Graph.of(net), tokens()[:, :3]),
    )
    with pytest.raises(ExplanationError, match="5 positions came, it is about 3"):
        received(positional, tokens())
