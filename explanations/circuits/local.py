"""Circuits of one datum at a time: each node, or each edge, is a part that is active where it is needed.

A part is needed at a position where its removal (zero in its place) changes log2 p of the network's own
answer by at least a threshold of bits, to first order: |Σ write · ∂ log2 p / ∂ read|, as edge attribution
has it, but datum by datum. The embeddings, norms and biases that everyone hears are the remainder. Weights
are owned by nodes; where edges are told as well, a node is active where one of its edges is. What is read
to understand one datum, L(1), is then the nodes that act on it, not the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import Rebuilt, positions
from assay.explanations.recipes.edge_attribution import edge_effects, read_gradients
from assay.mdl import Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .graph import Graph
from .streams import Streams, transformer_of

Told = Literal["nodes", "edges"]
OF_A_HEAD = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")


class LocalCircuit:
    """A transformer with a circuit for each position of each datum; ``threshold`` is in bits."""

    kind = "circuit"
    donor = "zero"
    open_ended = False

    def __init__(
        self, network: Network, told: Told, threshold: float, name: str = "circuit by datum"
    ) -> None:
        if told not in get_args(Told) or not threshold >= 0:
            raise ExplanationError(
                f"circuit: parts={told!r} at a threshold of {threshold} bits; expected "
                f"{' or '.join(get_args(Told))}, and at least 0 bits"
            )
        if network.output != "categorical":
            raise ExplanationError(
                f"circuit: parts={told} go by log-probabilities, and {network.name!r} is a regression"
            )
        self.network, self.told, self.threshold, self.name = network, told, threshold, name
        self.graph = Graph.of(network)
        self._nodes = [s for s in self.graph.sources if s not in self.graph.inputs]
        self._real = self.graph.real.to(network.device)
        self._rebuilt = Rebuilt(network)
        self._full: tuple[Mapping[str, Tensor] | None, dict[str, Tensor]] = (None, {})

    @property
    def count(self) -> int:
        """How many parts: the nodes, and behind them the edges where these are told."""
        return len(self._nodes) + (int(self._real.sum()) if self.told == "edges" else 0)

    def parts(self) -> Parts:
        """Weights by node; edges have none of their own."""
        owners = dict(self._owners())
        tensors = []
        for name, value in self.network.parameters().items():
            if name in owners and owners[name].numel() > 1:
                tensors.append(PartTensor(name, value, owners[name]))
            else:
                tensors.append(one_part(name, value, int(owners.get(name, torch.tensor(self.count)))))
        return Parts(self.count, tuple(tensors))

    def _owners(self) -> Iterator[tuple[str, Tensor]]:
        """Whose slices a weight consists of: heads', along the first axis, or an MLP's, whole."""
        part = {name: place for place, name in enumerate(self._nodes)}
        own = self.network.parameters()
        for layer in range(self.graph.n_layers):
            heads = torch.tensor([part[head] for head in self.graph.heads(layer)])
            for path in own:
                # heads that share keys and values share their weights: these are everyone's
                of_heads = path.startswith(f"blocks.{layer}.attn.") and path.endswith(OF_A_HEAD)
                if of_heads and len(own[path]) == len(heads):
                    yield path, heads
            for path in own:
                if path.startswith(f"blocks.{layer}.mlp."):
                    yield path, torch.tensor(part[f"m{layer}"])

    def _received(self, restored: Mapping[str, Tensor]) -> Network:
        """The network that a message describes."""
        if self._full[0] is not restored:
            shapes = {name: value.shape for name, value in self.network.parameters().items()}
            full = {name: value.reshape(1, *shapes[name]) for name, value in restored.items()}
            self._full = restored, full
        return self._rebuilt(self._full[1])

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The nodes, and the edges, that are needed: [data, positions, parts]."""
        effects = self._effects(self._received(restored), x.to(self.network.device).long())
        first = len(self.graph.inputs)
        if self.told == "nodes":
            return effects.sum(-1)[..., first:].abs() >= self.threshold
        edges = (effects.abs() >= self.threshold) & self._real
        return torch.cat([edges[..., first:, :].any(-1), edges[..., self._real]], dim=-1)

    def _effects(self, network: Network, x: Tensor) -> Tensor:
        """Bits that log2 p of the answer owes to each edge: [data, positions, sources, targets]."""
        with torch.no_grad():
            streams = Streams(transformer_of(network.module), self.graph)
            answers = streams(x)
            writes = torch.stack(streams.writes, dim=2)
        slopes = read_gradients(network, self.graph, x, answers, lambda place, value: value)
        effects = edge_effects(self.graph, writes, slopes) * self._real
        return effects if positions(network, x) > 1 else effects.sum(1, keepdim=True)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with what is inactive at zero."""
        x, network = x.to(self.network.device).long(), self._received(restored)
        gates = self._gates(active).to(network.dtype).expand(-1, x.shape[1], -1, -1)
        return Streams(transformer_of(network.module), self.graph, gates)(x)

    def _gates(self, active: Tensor) -> Tensor:
        """Which edges carry anything: Boolean [data, positions or 1, sources, targets]."""
        nodes, edges = active[..., : len(self._nodes)], active[..., len(self._nodes) :]
        if self.told == "nodes":
            always = nodes.new_ones(*nodes.shape[:-1], len(self.graph.inputs))
            return torch.cat([always, nodes], dim=-1)[..., None] & self._real
        gates = edges.new_zeros(*edges.shape[:-1], *self._real.shape)
        gates[..., self._real] = edges
        gates[..., len(self.graph.inputs) :, :] &= nodes[..., None]
        return gates

    def recipe(self) -> dict[str, object]:
        """What is told, and from how many bits on a part is needed."""
        sizes = {"nodes": len(self._nodes), "edges": int(self._real.sum())}
        return {"kind": self.kind, "parts": self.told, "threshold": self.threshold, **sizes}
