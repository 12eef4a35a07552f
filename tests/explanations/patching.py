"""Small transformers with circuits of edges, and what a receiver of a circuit computes."""

import torch
from assay.explanations.circuits import Graph, GraphCircuit
from assay.explanations.circuits.streams import Streams
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


EDGES = [
    "input->a0.h1<q>",
    "input->m1",
    "a0.h0->m0",
    "a0.h1->a1.h0<k>",
    "m0->a1.h1<v>",
    "a1.h1->logits",
    "m1->logits",
]


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
