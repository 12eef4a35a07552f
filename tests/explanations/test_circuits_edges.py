"""Circuits of edges: what a receiver hears is what path patching gives, whatever the donor."""

import itertools

import pytest
import torch
from assay.explanations.circuits import Donor, Graph, GraphCircuit, mean_writes
from assay.explanations.circuits.needs import needed_weights
from assay.explanations.circuits.streams import Streams, written
from assay.explanations.errors import ExplanationError
from assay.mdl import CategoricalTarget, MechanismProblem, score_mechanism
from assay.mdl.parts import send_parts
from assay.models import Network, Transformer, TransformerConfig

STARTS = ("tokens", "stream", "split")


def network(seed: int = 0, **changes) -> Network:
    """Random weights everywhere, so that nothing is zero by chance."""
    shape = {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 4, "d_vocab": 11, "n_ctx": 5, "d_mlp": 7}
    module, generator = Transformer(TransformerConfig(**shape | changes)), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return Network("tiny", module, "categorical", "token", (5,), vocabulary=11)


def tokens(n: int = 12) -> torch.Tensor:
    return torch.randint(11, (n, 5), generator=torch.Generator().manual_seed(1))


def received(circuit: GraphCircuit, x: torch.Tensor) -> torch.Tensor:
    """What the receiver computes from the parts alone, as if they came unrounded."""
    restored = {
        t.name: t.values if t.values.dtype == torch.bool else t.values.double()
        for t in circuit.parts().tensors
    }
    return circuit.predict(restored, x, circuit.active(restored, x))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return float((a - b).abs().max()) <= 1e-5 * float(b.abs().max())


def without(graph: Graph, *edges: str) -> torch.Tensor:
    """All edges but these."""
    kept = graph.real.clone()
    for edge in edges:
        source, target = edge.split("->")
        kept[graph.source_index[source], graph.target_index[target]] = False
    return kept


SHAPES = {
    "plain": {},
    "attention only": {"attn_only": True, "d_mlp": 0},
    "no norm": {"normalization": None},
    "parallel": {"parallel": True},
    "rotary": {"positions": "rotary"},
    "shortformer": {"positions": "shortformer"},
    "gated": {"gated_mlp": True, "act_fn": "silu"},
    "last": {"readout": "last"},
    "grouped": {"n_heads": 4, "n_key_value_heads": 2},
    "grouped, rotary": {"n_key_value_heads": 1, "positions": "rotary", "biases": False, "qk_norm": True},
    "norm after": {"normalization": "RMS", "norm_after": True},
    "gemma": {"normalization": "RMS", "norm_after": True, "positions": "rotary", "biases": False}
    | {"n_heads": 4, "n_key_value_heads": 2, "gated_mlp": True, "attn_softcap": 3.0},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_edge_kept_is_the_model(shape):
    net, x = network(**SHAPES[shape]), tokens()
    starts = STARTS if net.module.config.positions == "standard" else STARTS[:2]
    for start in starts:
        graph = Graph.of(net, start)
        assert torch.allclose(Streams(net.module, graph)(x), net(x), atol=1e-5)
        assert close(received(GraphCircuit(net, graph, graph.real), x), net(x))


def hooked(net: Network, x: torch.Tensor, source: str, target: str, lent: torch.Tensor) -> torch.Tensor:
    """Path patching with plain hooks: the reader's own input loses the write and gets the donor's.

    The writer's output is taken from the run itself, so nothing else of the graph is used.
    """
    module, config = net.module, net.module.config
    kept: dict[str, torch.Tensor] = {}

    def write() -> torch.Tensor:
        if source == "input":
            return kept["embed"]
        layer, _, head = source[1:].partition(".h")
        if source.startswith("m"):
            return kept[f"m{layer}"]
        return kept[f"z{layer}"][:, :, int(head)] @ module.blocks[int(layer)].attn.W_O[int(head)]

    def keep(key):
        return lambda _m, _i, out: kept.__setitem__(key, out)

    def patched_input(_m, inputs):
        return (inputs[0] - write() + lent,)

    handles = [module.hook_embed.register_forward_hook(keep("embed"))]
    for i, block in enumerate(module.blocks):
        handles.append(block.attn.hook_z.register_forward_hook(keep(f"z{i}")))
        if not config.attn_only:
            handles.append(block.hook_mlp_out.register_forward_hook(keep(f"m{i}")))
    if target == "logits":
        handles.append(module.ln_final.register_forward_pre_hook(patched_input))
    elif target.startswith("m"):
        handles.append(module.blocks[int(target[1:])].ln2.register_forward_pre_hook(patched_input))
    else:
        block = module.blocks[int(target[1])]
        head, side = int(target[4]), target[-2]

        def see(_m, inputs):
            kept["stream"] = inputs[0]

        def replace(_m, _i, out):
            with_hole = block.ln1.forward(kept["stream"] - write() + lent)
            attn = block.attn
            out = out.clone()
            W, b = getattr(attn, f"W_{side.upper()}"), getattr(attn, f"b_{side.upper()}")
            out[:, :, head] = with_hole @ W[head] + b[head]
            return out

        handles.append(block.ln1.register_forward_pre_hook(see))
        handles.append(getattr(block.attn, f"hook_{side}").register_forward_hook(replace))
    try:
        return net(x)
    finally:
        for handle in handles:
            handle.remove()


EDGES = [
    "input->a0.h1<q>",
    "input->m1",
    "a0.h0->m0",
    "a0.h1->a1.h0<k>",
    "m0->a1.h1<v>",
    "a1.h1->logits",
    "m1->logits",
]


@pytest.mark.parametrize(("edge", "donor"), list(itertools.product(EDGES, ("zero", "mean"))))
def test_dropping_an_edge_is_direct_path_patching(edge, donor):
    net, x = network(), tokens()
    graph = Graph.of(net)
    source, target = edge.split("->")
    rule = Donor.of(donor, net, graph, x)
    lent = torch.zeros(8) if rule.means is None else rule.means[0, graph.source_index[source]]
    circuit = GraphCircuit(net, graph, without(graph, edge), rule)
    assert not close(received(circuit, x), net(x))
    assert close(received(circuit, x), hooked(net, x, source, target, lent))


def by_source(net: Network, circuit: GraphCircuit, x: torch.Tensor, lent: torch.Tensor) -> torch.Tensor:
    """The circuit run on the full network, with every donor at hand: lent [data, positions, sources, d]."""
    graph, edges = circuit.graph, circuit.edges.float().expand(x.shape[1], -1, -1)
    heard = torch.ones(lent.shape[2:]) if circuit.neurons is None else circuit.neurons.float()
    route = torch.tensor(
        [[i in places for i in range(len(graph.sources))] for places in graph.routes]
    ).float()
    fill = torch.einsum("bpsd,st,rs->bprtd", lent, graph.real.float(), route)
    fill = fill - torch.einsum("bpsd,sd,pst,rs->bprtd", lent, heard, edges, route)
    return Streams(net.module, graph, edges, fill, lambda place, value: value * heard[place])(x)


@pytest.mark.parametrize(
    ("start", "positional", "shape"),
    [
        *itertools.product(STARTS, (False, True), ("plain",)),
        *itertools.product(
            STARTS[1:2], (False,), ("rotary", "shortformer", "grouped, rotary", "norm after", "gemma")
        ),
    ],
)
def test_what_is_sent_is_enough(start, positional, shape):
    """Random circuits: the parts that are sent give what the whole network and all donors give."""
    net, x, g = network(**SHAPES[shape]), tokens(), torch.Generator().manual_seed(7)
    graph = Graph.of(net, start)
    whole = written(net.module, graph, x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(9))
    lent = {
        "zero": torch.zeros_like(whole),
        "mean": whole.mean((0, 1), keepdim=True).expand_as(whole),
        "mean-positional": whole.mean(0, keepdim=True).expand_as(whole),
        "resample": whole[order],
    }
    for (donor, values), keep, neurons in itertools.product(lent.items(), (0.2, 0.4, 0.8), (False, True)):
        edges = torch.rand((5 if positional else 1, *graph.real.shape), generator=g) < keep
        heard = torch.rand(len(graph.sources), 8, generator=g) < 0.6 if neurons else None
        circuit = GraphCircuit(net, graph, edges, Donor.of(donor, net, graph, x, 9), heard)
        assert close(received(circuit, x), by_source(net, circuit, x, values)), (donor, keep, neurons)


def plainly(net: Network, edges: set[str], x: torch.Tensor, lent: dict[str, torch.Tensor]) -> torch.Tensor:
    """A patched forward pass written out, reader by reader and head by head, with none of our modules.

    Attention with learned positions (they reach everyone), heads in groups, RMS norms before and after.
    """
    w, config = net.parameters(), net.module.config
    L, H, group = (
        config.n_layers,
        config.n_heads,
        config.n_heads // (config.n_key_value_heads or config.n_heads),
    )
    shared, writes = "_" if config.n_key_value_heads else "", {"input": w["embed.W_E"][x]}
    hidden = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()

    def norm(y, name):
        return y / (y.square().mean(-1, keepdim=True) + config.eps).sqrt() * w[name]

    def read(target):
        total = w["pos_embed.W_pos"][: x.shape[1]].expand(len(x), -1, -1)
        for source, wrote in writes.items():
            if not source.startswith("a"):
                total = total + (wrote if f"{source}->{target}" in edges else lent[source])
        for layer in range(L):
            heads = [f"a{layer}.h{h}" for h in range(H) if f"a{layer}.h{h}" in writes]
            if heads:
                came = sum(writes[s] if f"{s}->{target}" in edges else lent[s] for s in heads)
                total = total + norm(came + w[f"blocks.{layer}.attn.b_O"], f"blocks.{layer}.ln1_post.w")
        return total

    for layer in range(L):
        at, sides = f"blocks.{layer}.attn.", {}
        for h in range(H):
            for side in "qkv":
                own = h if side == "q" else h // group
                letter = f"{'' if side == 'q' else shared}W_{side.upper()}"
                y = norm(read(f"a{layer}.h{h}<{side}>"), f"blocks.{layer}.ln1.w")
                sides[h, side] = y @ w[at + letter][own] + w[at + letter.replace("W", "b")][own]
        for h in range(H):
            scores = sides[h, "q"] @ sides[h, "k"].transpose(1, 2) / config.d_head**0.5
            pattern = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            writes[f"a{layer}.h{h}"] = pattern @ sides[h, "v"] @ w[f"{at}W_O"][h]
        at, y = f"blocks.{layer}.mlp.", norm(read(f"m{layer}"), f"blocks.{layer}.ln2.w")
        y = (y @ w[f"{at}W_in"] + w[f"{at}b_in"]).relu() @ w[f"{at}W_out"] + w[f"{at}b_out"]
        writes[f"m{layer}"] = norm(y, f"blocks.{layer}.ln2_post.w")
    return norm(read("logits"), "ln_final.w") @ w["unembed.W_U"] + w["unembed.b_U"]


@pytest.mark.parametrize("donor", ["zero", "mean"])
def test_grouped_heads_and_norms_behind_them_are_patched_edge_by_edge(donor):
    shape = {"normalization": "RMS", "norm_after": True, "n_heads": 4, "n_key_value_heads": 2}
    net, x, g = network(3, **shape), tokens(), torch.Generator().manual_seed(2)
    graph = Graph.of(net)
    rule = Donor.of(donor, net, graph, x)
    lent = {
        s: torch.zeros(8) if rule.means is None else rule.means[0, i] for i, s in enumerate(graph.sources)
    }
    assert close(plainly(net, set(graph.edges(graph.real)), x, lent), net(x))
    for keep in (0.5, 0.8, 0.95):
        circuit = GraphCircuit(net, graph, torch.rand(graph.real.shape, generator=g) < keep, rule)
        assert not close(received(circuit, x), net(x))
        kept = set(graph.edges(circuit.edges[0]))
        assert close(received(circuit, x), plainly(net, kept, x, lent))


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
