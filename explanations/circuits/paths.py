"""Circuits of edges: which paths through the residual stream do the work, and the weights they need.

The message, in this order: the nodes that are kept; of all edges between them those that are kept, told at
once or layer by layer; the positions where each acts, and the coordinates of what each node writes, where the
circuit tells them apart; the weights that kept nodes use; the constants of sides of heads that hear nothing;
what the donor puts in place of writes that go unheard. The lengths of all later tensors follow from the
earlier ones. See docs/decisions/0004-circuit-donors.md for the donors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import Rebuilt, always
from assay.mdl import EdgeSpace, Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .donors import SEED_BITS, Donor, DonorName, Partners
from .graph import Graph
from .needs import needed_weights
from .quiet import Quiet, constants
from .streams import Streams, transformer_of, written


@dataclass
class _Received:
    """What came with a message: the run, its structure, and who lends to whom."""

    run: Streams
    edges: Tensor
    neurons: Tensor | None
    partners: Partners | None


class GraphCircuit:
    """A transformer in which every reader hears only the kept ``edges`` [positions or 1, sources, targets].

    ``neurons`` [sources, d] says which coordinates of what a node writes are heard; None is all. Nodes that
    hear nothing, or that nobody hears, are pruned with their edges, and so are edges that change nothing (to
    the queries of a head whose values are constant). Raises :class:`ExplanationError`.
    """

    kind = "circuit"
    open_ended = False
    donors: tuple[str, ...] = get_args(DonorName)

    def __init__(
        self,
        network: Network,
        graph: Graph,
        edges: Tensor,
        donor: Donor | None = None,
        neurons: Tensor | None = None,
        name: str = "circuit",
        about: Mapping[str, object] | None = None,
    ) -> None:
        edges = edges if edges.ndim == 3 else edges[None]
        if tuple(edges.shape[1:]) != tuple(graph.real.shape) or len(edges) not in (1, network.in_shape[0]):
            raise ExplanationError(
                f"circuit: edges {tuple(edges.shape)}, expected [1 or {network.in_shape[0]} positions, "
                f"{len(graph.sources)} sources, {len(graph.targets)} targets]"
            )
        self.network, self.graph, self.rule = network, graph, donor or Donor()
        edges = graph.prune(edges.bool().cpu())
        self.edges, self.neurons = graph.unheard(edges & ~self._quiet(edges).unread), None
        if neurons is not None:
            self.neurons = neurons.bool().cpu() & self.edges.any(0).any(1)[:, None]
        self.name, self.about = name, dict(about or {})
        self.donor = "resample" if self.rule.name == "resample" else "zero"
        self._rebuilt = Rebuilt(network)
        self._source: Mapping[str, Tensor] | None = None
        self._received: _Received | None = None

    def parts(self) -> Parts:
        """Structure, weights and donors as one part."""
        at_all = self.edges.any(0)
        nodes = at_all.any(1)
        tensors = [one_part("nodes", nodes, 0), _among(self.graph, nodes).part("edges", at_all, 0)]
        if len(self.edges) > 1:
            tensors.append(one_part("where", self.edges[:, at_all].flatten(), 0))
        if self.neurons is not None:
            tensors.append(one_part("neurons", self.neurons[nodes].flatten(), 0))
        quiet, own = self._quiet(self.edges), self.network.parameters()
        for weight, mask in self._needed(at_all, self.neurons, quiet).items():
            if mask.any():
                tensors.append(one_part(weight, _kept(own[weight], mask.to(own[weight].device)), 0))
        if quiet.told.any():
            found = constants(self.network, self.graph, at_all, self._own_fill())
            tensors.append(one_part("constants", found[quiet.told.to(found.device)], 0))
        return Parts(1, (*tensors, *self._donor_parts()))

    def _quiet(self, edges: Tensor) -> Quiet:
        """Sides of heads whose weights are not needed; none where what is lent changes."""
        if self.rule.name in ("resample", "mean-positional"):
            return Quiet.only(self.graph)
        return Quiet.of(self.graph, transformer_of(self.network.module).config, edges.any(0))

    def _needed(self, at_all: Tensor, neurons: Tensor | None, quiet: Quiet) -> dict[str, Tensor]:
        """Which entries of which weights the receiver needs; to resample, all."""
        if self.rule.name == "resample":
            return {n: torch.ones(v.shape, dtype=torch.bool) for n, v in self.network.parameters().items()}
        return needed_weights(self.network, self.graph, at_all, neurons, quiet, self.rule.means is not None)

    def _own_fill(self) -> Tensor | None:
        """What the sender's means put in: [1, positions or 1, routes, targets, d]."""
        if self.rule.means is None:
            return None
        fill = _fill(self.graph, self.rule.means.cpu(), self.edges, self.neurons)
        return fill[None].to(self.network.device)

    def _donor_parts(self) -> list[PartTensor]:
        if self.rule.name == "resample":
            bits = [bool(self.rule.seed >> i & 1) for i in range(SEED_BITS)]
            return [one_part("seed", torch.tensor(bits), 0)]
        if self.rule.means is None:
            return []
        means = self.rule.means.cpu()
        told, by_source = self._told(self.edges, self.neurons)
        values = means if by_source else _fill(self.graph, means, self.edges, None)[:, 0]
        return [one_part("donors", values[:, told], 0)] if told.any() else []

    def _told(self, edges: Tensor, neurons: Tensor | None) -> tuple[Tensor, bool]:
        """For which sources (or, where these are fewer, targets) the donor is told. Both ends know this."""
        at_all = edges.any(0)
        listening = _listening(self.graph, at_all.any(1)) & ~self._quiet(edges).either
        missing = self.graph.real & ~edges.all(0) & listening
        if neurons is not None:
            return missing.any(1) | (at_all.any(1) & ~neurons.all(1)), True
        sources, targets = missing.any(1), missing.any(0)
        wide = len(edges) > self.rule.positions
        by_source = wide or self.graph.norm_after or int(sources.sum()) <= int(targets.sum())
        return (sources if by_source else targets), by_source

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Always."""
        return always(self.network, x, 1)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the kept edges."""
        if self._received is None or self._source is not restored:
            self._source, self._received = restored, self._receive(restored)
        tokens, told = x.to(self.network.device).long(), self._received
        known = max(len(told.edges), self.rule.positions)
        if 1 < known < tokens.shape[1]:
            raise ExplanationError(f"circuit: {tokens.shape[1]} positions came, it is about {known}")
        if told.partners is not None:
            lent = written(told.run.module, self.graph, told.partners.of(tokens))
            told.run.fill = _fill(self.graph, lent, told.edges.to(lent), told.neurons)
        return told.run(tokens)

    def _receive(self, restored: Mapping[str, Tensor]) -> _Received:
        """The run that a message describes."""
        edges, neurons = self._structure(restored)
        weights = {}
        quiet = self._quiet(edges)
        for name, mask in self._needed(edges.any(0), neurons, quiet).items():
            if name in restored:
                weights[name] = torch.zeros(1, *mask.shape, dtype=torch.float64)
                weights[name][0, mask] = restored[name][0].double().cpu().flatten()
        network = self._rebuilt(weights)
        gates = edges.to(network.device, network.dtype)
        fill = self._told_fill(restored, edges, neurons)
        run = Streams(transformer_of(network.module), self.graph, gates, fill)
        if neurons is not None:
            heard = neurons.to(network.device, network.dtype)
            run.change = lambda place, value: value * heard[place]
        if "constants" in restored:
            run.told, told = quiet.told.to(network.device), restored["constants"][0]
            run.constants = told.new_zeros(len(quiet.told), told.shape[1], device=network.device)
            run.constants[run.told] = told.to(network.device)
        return _Received(run, edges, neurons, self._lenders(restored))

    def _lenders(self, restored: Mapping[str, Tensor]) -> Partners | None:
        if self.rule.inputs is None:
            return None
        seed = sum(int(bit) << i for i, bit in enumerate(restored["seed"][0].tolist()))
        return Partners(self.rule.inputs, seed)

    def _structure(self, restored: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Edges [positions or 1, sources, targets], and neurons [sources, d] where they are told."""
        nodes = restored["nodes"][0].cpu()
        at_all = _among(self.graph, nodes).unfold(restored["edges"][0].cpu())
        edges = at_all[None]
        if "where" in restored:
            edges = at_all.expand(self.network.in_shape[0], -1, -1).clone()
            edges[:, at_all] = restored["where"][0].cpu().reshape(len(edges), -1)
        if "neurons" not in restored:
            return edges, None
        width = transformer_of(self.network.module).config.d_model
        neurons = torch.zeros(len(nodes), width, dtype=torch.bool)
        neurons[nodes] = restored["neurons"][0].cpu().reshape(-1, width)
        return edges, neurons

    def _told_fill(
        self, restored: Mapping[str, Tensor], edges: Tensor, neurons: Tensor | None
    ) -> Tensor | None:
        """What the told means put in: [1, positions or 1, routes, targets, d]."""
        if "donors" not in restored:
            return None
        told, by_source = self._told(edges, neurons)
        values = restored["donors"][0].cpu()
        full = values.new_zeros(len(values), len(told), values.shape[-1])
        full[:, told] = values
        fill = _fill(self.graph, full, edges, neurons) if by_source else full[:, None]
        return fill[None].to(self.network.device, self.network.dtype)

    def recipe(self) -> dict[str, object]:
        """How many edges of how many, the donor, and how they were found."""
        at_all = self.edges.any(0)
        sizes: dict[str, object] = {"edges": int(at_all.sum()), "of": int(self.graph.real.sum())}
        if len(self.edges) > 1:
            sizes["edge_positions"] = int(self.edges.sum())
        if self.neurons is not None:
            sizes["neurons"] = int(self.neurons.sum())
        sizes |= {"nodes": int(at_all.any(1).sum()), "donor": self.rule.name, "start": self.graph.start}
        return {"kind": self.kind, **sizes, **self.about}


def _listening(graph: Graph, nodes: Tensor) -> Tensor:
    """The inputs of kept nodes, and the logits: Boolean [targets]."""
    owned = (graph.readers & nodes[:, None]).any(0)
    owned[-1] = True
    return owned


def _among(graph: Graph, nodes: Tensor) -> EdgeSpace:
    """The edges that can be between kept nodes, and from them to the logits, by layer and node."""
    return EdgeSpace(*graph.places, graph.real & nodes[:, None] & _listening(graph, nodes))


def _fill(graph: Graph, lent: Tensor, edges: Tensor, neurons: Tensor | None) -> Tensor:
    """Σ over a target's edges of what is lent less what is heard: [..., routes, targets, d].

    ``lent`` is [..., sources, d].
    """
    heard = lent if neurons is None else lent * neurons.to(lent)
    here = (edges if lent.shape[-3] == 1 else edges[: lent.shape[-3]]).to(lent)
    routes = []
    for route in graph.routes:
        places = list(route)
        everything = torch.einsum("...sd,st->...td", lent[..., places, :], graph.real[places].to(lent))
        came = torch.einsum("...sd,...st->...td", heard[..., places, :], here[..., places, :])
        routes.append(everything - came)
    return torch.stack(routes, dim=-3)


def _kept(weight: Tensor, mask: Tensor) -> Tensor:
    """The entries of a mask: as a block where they are one, so that its rows and columns stay together."""
    lines = [mask.any(tuple(a for a in range(mask.ndim) if a != axis)) for axis in range(mask.ndim)]
    sizes = [int(line.sum()) for line in lines]
    kept = weight[mask]
    return kept.reshape(sizes) if math.prod(sizes) == len(kept) else kept
