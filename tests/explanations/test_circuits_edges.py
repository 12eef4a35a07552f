"""Circuits of edges: what a receiver hears is what path patching gives, whatever the donor."""

import itertools
from collections.abc import Callable

import pytest
import torch
from assay.explanations.circuits import Donor, Graph, GraphCircuit
from assay.explanations.circuits.streams import Streams, written
from assay.models import Network, Transformer
from torch import nn
from torch.utils.hooks import RemovableHandle as Handle

from .patching import EDGES, SHAPES, STARTS, by_source, close, network, received, tokens, without

Patch = Callable[[torch.Tensor], torch.Tensor]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_edge_kept_is_the_model(shape):
    net, x = network(**SHAPES[shape]), tokens()
    starts = STARTS if net.module.config.positions == "standard" else STARTS[:2]
    for start in starts:
        graph = Graph.of(net, start)
        assert torch.allclose(Streams(net.module, graph)(x), net(x), atol=1e-5)
        assert close(received(GraphCircuit(net, graph, graph.real), x), net(x))


def keeping(module: Transformer, kept: dict[str, torch.Tensor]) -> list[Handle]:
    """Hooks that keep what the nodes of a run put out: embed, z of each layer's heads, m of each MLP."""

    def keep(key):
        return lambda _m, _i, out: kept.__setitem__(key, out)

    handles = [module.hook_embed.register_forward_hook(keep("embed"))]
    for i, block in enumerate(module.blocks):
        handles.append(block.attn.hook_z.register_forward_hook(keep(f"z{i}")))
        if not module.config.attn_only:
            handles.append(block.hook_mlp_out.register_forward_hook(keep(f"m{i}")))
    return handles


def written_by(module: Transformer, source: str, kept: dict[str, torch.Tensor]) -> torch.Tensor:
    """What a node added to the stream in the run that is kept."""
    if source == "input":
        return kept["embed"]
    layer, _, head = source[1:].partition(".h")
    if source.startswith("m"):
        return kept[f"m{layer}"]
    return kept[f"z{layer}"][:, :, int(head)] @ module.blocks[int(layer)].attn.W_O[int(head)]


def hooked(net: Network, x: torch.Tensor, source: str, target: str, lent: torch.Tensor) -> torch.Tensor:
    """Path patching with plain hooks: the reader's own input loses the write and gets the donor's.

    The writer's output is taken from the run itself, so nothing else of the graph is used.
    """
    module: Transformer = net.module
    kept: dict[str, torch.Tensor] = {}

    def patched(stream: torch.Tensor) -> torch.Tensor:
        return stream - written_by(module, source, kept) + lent

    def patched_input(_m, inputs):
        return (patched(inputs[0]),)

    handles = keeping(module, kept)
    if target == "logits":
        handles.append(module.ln_final.register_forward_pre_hook(patched_input))
    elif target.startswith("m"):
        handles.append(module.blocks[int(target[1:])].ln2.register_forward_pre_hook(patched_input))
    else:
        handles += patching_a_side(module.blocks[int(target[1])], int(target[4]), target[-2], patched)
    try:
        return net(x)
    finally:
        for handle in handles:
            handle.remove()


def patching_a_side(block: nn.Module, head: int, side: str, patched: Patch) -> list[Handle]:
    """Hooks by which the queries, keys or values of one head read a patched stream."""
    seen: list[torch.Tensor] = []

    def see(_m, inputs):
        seen[:] = [inputs[0]]

    def replace(_m, _i, out):
        attn, read = block.attn, block.ln1.forward(patched(seen[0]))
        W, b = getattr(attn, f"W_{side.upper()}"), getattr(attn, f"b_{side.upper()}")
        out = out.clone()
        out[:, :, head] = read @ W[head] + b[head]
        return out

    hook = getattr(block.attn, f"hook_{side}")
    return [block.ln1.register_forward_pre_hook(see), hook.register_forward_hook(replace)]


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
