"""What gates can be put on, so that a circuit is found by gradient descent: weights, units, or edges.

Each kind of gate says how the network runs under gates, what the message would cost in bits where gates are
open with given probabilities, and which circuit a set of open gates is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from assay.explanations.circuits.donors import Donor
from assay.explanations.circuits.graph import Graph
from assay.explanations.circuits.needs import needed_weights
from assay.explanations.circuits.nodes import NodeCircuit, attribute
from assay.explanations.circuits.paths import GraphCircuit
from assay.explanations.circuits.streams import Streams, transformer_of
from assay.explanations.circuits.weights import EdgeCircuit
from assay.mdl import Parts, one_part
from assay.mdl.parts import send_parts
from assay.models import Intervention, Network
from assay.models.units import unit_weights
from torch import Tensor
from torch.func import functional_call

Gates = Mapping[str, Tensor]


class Gated(Protocol):
    """Gates by name, on a network whose weights are already as coarse as they will be sent."""

    shapes: dict[str, tuple[int, ...]]

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The outputs under gates in [0, 1]."""

    def bits(self, opened: Gates) -> Tensor:
        """What the circuit costs where each gate is open with some probability."""

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> Any:
        """The circuit of the gates that are open, an explanation of a mechanism."""


def prices(network: Network, precision: int) -> tuple[dict[str, float], Network]:
    """Bits per number of each weight at a precision, as the ledger would code it, and the coarse network."""
    own = network.parameters()
    sent = send_parts(Parts(0, tuple(one_part(n, value, 0) for n, value in own.items())), precision)
    chosen = sent.chosen(np.zeros(0, dtype=np.int64))
    each = {n: way.total(np.ones(1)) / v.numel() for (n, v), way in zip(own.items(), chosen, strict=True)}
    return each, network.with_weights({n: sent.restored[n][0].to(value) for n, value in own.items()})


def structure_bits(opened: Tensor) -> Tensor:
    """n H(k/n), within a few bits the cost of telling which k of n: ``opened`` [n] are probabilities."""
    p = opened.mean().clamp(1e-6, 1 - 1e-6)
    return -opened.numel() * (p * p.log2() + (1 - p) * (1 - p).log2())


class GatedWeights:
    """A gate on every entry of every matrix."""

    def __init__(self, network: Network, inputs: Tensor, precision: int) -> None:
        self.network = network
        self._each, self._coarse = prices(network, precision)
        self.shapes: dict[str, tuple[int, ...]] = {
            n: tuple(v.shape) for n, v in network.parameters().items() if v.ndim > 1
        }

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The network with every matrix multiplied by its gates."""
        own = self._coarse.parameters()
        weights = own | {name: own[name] * gate for name, gate in gates.items()}
        x = x.long() if self.network.input == "token" else x.to(self.network.dtype)
        outputs: Tensor = functional_call(self._coarse.module, weights, (x,))
        return outputs

    def bits(self, opened: Gates) -> Tensor:
        """Σ numbers and masks."""
        return torch.stack(
            [self._each[n] * p.sum() + structure_bits(p.flatten()) for n, p in opened.items()]
        ).sum()

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> EdgeCircuit:
        """A circuit of weights."""
        return EdgeCircuit(self.network, kept, "minimum-bits circuit", about)


class GatedUnits:
    """A gate on every head and neuron; one that is shut stands at its mean."""

    def __init__(self, network: Network, inputs: Tensor, precision: int) -> None:
        self.network = network
        each, self._coarse = prices(network, precision)
        _, self._means = attribute(network, inputs[:256])
        self.shapes: dict[str, tuple[int, ...]] = {site: (len(mean),) for site, mean in self._means.items()}
        own = network.parameters()
        self._worth = {
            site: sum(
                each[n] * own[n].numel() / own[n].shape[a] for n, a in unit_weights(network, site).items()
            )
            for site in self.shapes
        }

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The network with every unit mixed with its mean."""

        def mixed(site: str) -> Intervention:
            gate = gates[site][:, None] if site.endswith("hook_z") else gates[site]
            return lambda a: a * gate + self._means[site] * (1 - gate)

        return self._coarse.patched(x, {site: mixed(site) for site in gates})

    def bits(self, opened: Gates) -> Tensor:
        """Σ slices of the weights and masks."""
        return torch.stack([self._worth[s] * p.sum() + structure_bits(p) for s, p in opened.items()]).sum()

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> NodeCircuit:
        """A circuit of units."""
        return NodeCircuit(self.network, kept, self._means, "minimum-bits circuit", about)


class GatedEdges:
    """A gate on every edge of a transformer's graph; a reader hears zero through one that is shut."""

    def __init__(self, network: Network, inputs: Tensor, precision: int) -> None:
        self.network, self.graph = network, Graph.of(network, "stream")
        self._each, self._coarse = prices(network, precision)
        self._real = self.graph.real.to(network.device)
        self.shapes: dict[str, tuple[int, ...]] = {"edges": (int(self._real.sum()),)}
        everything = self._cost(self.graph.real)
        self._worth = [
            everything - self._cost(self._without(place)) for place in range(len(self.graph.sources))
        ]

    def _without(self, place: int) -> Tensor:
        edges = self.graph.real.clone()
        edges[place] = False
        return edges

    def _cost(self, edges: Tensor) -> float:
        needed = needed_weights(self.network, self.graph, edges, None)
        return sum(self._each[name] * float(mask.sum()) for name, mask in needed.items())

    def _placed(self, values: Tensor) -> Tensor:
        full = torch.zeros(self._real.shape, dtype=values.dtype, device=values.device)
        return full.masked_scatter(self._real, values)

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The network with every edge multiplied by its gate."""
        streams = Streams(transformer_of(self._coarse.module), self.graph, self._placed(gates["edges"])[None])
        return streams(x.long())

    def bits(self, opened: Gates) -> Tensor:
        """The set of edges, and the weights of nodes that have an open edge."""
        edges = self._placed(opened["edges"])
        used = 1 - (1 - edges).prod(1)
        return structure_bits(opened["edges"]) + (used * torch.tensor(self._worth).to(used)).sum()

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> GraphCircuit:
        """A circuit of edges."""
        edges = self._placed(kept["edges"]).cpu()
        return GraphCircuit(self.network, self.graph, edges, Donor(), None, "minimum-bits circuit", about)
