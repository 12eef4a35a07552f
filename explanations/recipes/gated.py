"""What gates can be put on, so that a circuit is found by gradient descent: weights, units, or edges.

Each kind of gate says how the network runs under gates, what the message would cost in bits where gates are
open with given probabilities, how others rank the gates, and which circuit a set of open gates is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from assay.explanations.circuits.donors import Donor
from assay.explanations.circuits.graph import SIDES, Graph
from assay.explanations.circuits.needs import needed_weights
from assay.explanations.circuits.nodes import NodeCircuit, attribute, worth
from assay.explanations.circuits.paths import GraphCircuit
from assay.explanations.circuits.quiet import Quiet, placed
from assay.explanations.circuits.streams import Streams, transformer_of
from assay.explanations.circuits.weights import EdgeCircuit
from assay.models import Intervention, Network
from assay.models.units import unit_weights
from torch import Tensor
from torch.func import functional_call

from .edge_attribution import edge_scores, metric
from .soft_ledger import entropy_bits, soft_tensors

Gates = Mapping[str, Tensor]
ATTRIBUTED = 32
NAME = "minimum-bits circuit"


class Gated(Protocol):
    """Gates by name, on a network whose weights are already as coarse as they will be sent."""

    shapes: dict[str, tuple[int, ...]]

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The outputs under gates in [0, 1]."""

    def bits(self, opened: Gates) -> Tensor:
        """What the circuit costs where each gate is open with some probability."""

    def rankings(self) -> dict[str, Gates]:
        """Scores by which gates are usually kept, the highest first."""

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> Any:
        """The circuit of the gates that are open, an explanation of a mechanism."""


def structure_bits(opened: Tensor) -> Tensor:
    """n H(k/n), within a few bits the cost of telling which k of n: ``opened`` [n] are probabilities."""
    kept = opened.sum()
    return entropy_bits(torch.stack([kept, opened.numel() - kept]))


class GatedWeights:
    """A gate on every number of every weight; one that is shut is zero."""

    def __init__(self, network: Network, inputs: Tensor, precision: int) -> None:
        self.network, self._inputs = network, inputs[:ATTRIBUTED]
        self._told, self._coarse = soft_tensors(network, precision)
        self.shapes: dict[str, tuple[int, ...]] = {n: tuple(v.shape) for n, v in network.parameters().items()}

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The network with every weight multiplied by its gates."""
        weights = {name: value * gates[name] for name, value in self._coarse.parameters().items()}
        x = x.long() if self.network.input == "token" else x.to(self.network.dtype)
        outputs: Tensor = functional_call(self._coarse.module, weights, (x,))
        return outputs

    def bits(self, opened: Gates) -> Tensor:
        """Σ numbers and masks."""
        return torch.stack([self._told[n].entries(p) for n, p in opened.items()]).sum()

    def rankings(self) -> dict[str, Gates]:
        """By magnitude, vectors before all matrices; and by attribution, w · ∂ metric / ∂ w."""
        own = self.network.parameters()
        sizes = {n: v.abs() + (torch.inf if v.ndim < 2 else 0.0) for n, v in own.items()}
        return {"magnitude": sizes, "attribution": self._attributed()}

    def _attributed(self) -> Gates:
        ones = {
            name: value.new_ones(value.shape).requires_grad_()
            for name, value in self._coarse.parameters().items()
        }
        with torch.enable_grad():
            outputs = self.run(ones, self._inputs)
            gained = metric(outputs, outputs.detach(), self.network.output)
            slopes = torch.autograd.grad(
                gained, list(ones.values()), allow_unused=True, materialize_grads=True
            )
        return {name: slope.abs() for name, slope in zip(ones, slopes, strict=True)}

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> EdgeCircuit:
        """A circuit of weights."""
        return EdgeCircuit(self.network, kept, NAME, about)


class GatedUnits:
    """A gate on every head and neuron; one that is shut stands at its mean."""

    def __init__(self, network: Network, inputs: Tensor, precision: int) -> None:
        self.network = network
        told, self._coarse = soft_tensors(network, precision)
        self._scores, self._means = attribute(network, inputs[:ATTRIBUTED])
        self.shapes: dict[str, tuple[int, ...]] = {site: (len(mean),) for site, mean in self._means.items()}
        slices = {site: unit_weights(network, site) for site in self.shapes}
        self._counts = {
            site: [(told[n].scale, told[n].by_slice(axis)) for n, axis in own.items()]
            for site, own in slices.items()
        }
        owned = {name for own in slices.values() for name in own}
        self._always = sum(tensor.bits for name, tensor in told.items() if name not in owned)

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The network with every unit mixed with its mean."""

        def mixed(site: str) -> Intervention:
            gate = gates[site][:, None] if site.endswith("hook_z") else gates[site]
            return lambda a: a * gate + self._means[site] * (1 - gate)

        return self._coarse.patched(x, {site: mixed(site) for site in gates})

    def bits(self, opened: Gates) -> Tensor:
        """Σ slices of the weights and masks, and what belongs to no unit."""
        told = [scale * entropy_bits(p @ c) for s, p in opened.items() for scale, c in self._counts[s]]
        return torch.stack(told + [structure_bits(p) for p in opened.values()]).sum() + self._always

    def rankings(self) -> dict[str, Gates]:
        """By attribution per number, and by the size of what a unit owns."""
        own, sizes = self.network.parameters(), {}
        for site in self.shapes:
            squares = [
                own[n].movedim(a, 0).reshape(self.shapes[site][0], -1).square().mean(1)
                for n, a in unit_weights(self.network, site).items()
            ]
            sizes[site] = torch.stack(squares).mean(0)
        return {"attribution": worth(self.network, self._scores), "magnitude": sizes}

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> NodeCircuit:
        """A circuit of units."""
        return NodeCircuit(self.network, kept, self._means, NAME, about)


class GatedEdges:
    """A gate on every edge of a transformer's graph; a reader hears zero through one that is shut."""

    def __init__(self, network: Network, inputs: Tensor, precision: int) -> None:
        self.network, self.graph, self._inputs = network, Graph.of(network, "stream"), inputs[:ATTRIBUTED]
        self._told, self._coarse = soft_tensors(network, precision)
        self._real = self.graph.real.to(network.device)
        self.shapes: dict[str, tuple[int, ...]] = {"edges": (int(self._real.sum()),)}
        self._heads = [place for place, name in enumerate(self.graph.sources) if name.startswith("a")]
        self._config = transformer_of(network.module).config
        heads = [self.graph.sources[place] for place in self._heads]
        self._sides = {s: [self.graph.target_index[f"{head}<{s}>"] for head in heads] for s in SIDES}
        everything = self._cost(self.graph.real)
        without = [self._cost(self._without(place)) for place in range(len(self.graph.sources))]
        self._worth = everything - torch.tensor(without, device=network.device, dtype=network.dtype)
        self._always = everything - float(self._worth.sum())
        quiet = {s: [self._cost(self.graph.real, place) for place in at] for s, at in self._sides.items()}
        self._read = {s: everything - torch.tensor(bits).to(self._worth) for s, bits in quiet.items()}

    def _without(self, place: int) -> Tensor:
        edges = self.graph.real.clone()
        edges[place] = False
        return edges

    def _cost(self, edges: Tensor, *quiet: int) -> float:
        needed = needed_weights(self.network, self.graph, edges, None, Quiet.only(self.graph, *quiet))
        return sum(self._told[n].bits * float(mask.float().mean()) for n, mask in needed.items())

    def _placed(self, values: Tensor) -> Tensor:
        full = torch.zeros(self._real.shape, dtype=values.dtype, device=values.device)
        return full.masked_scatter(self._real, values)

    def run(self, gates: Gates, x: Tensor) -> Tensor:
        """The network with every edge multiplied by its gate."""
        streams = Streams(transformer_of(self._coarse.module), self.graph, self._placed(gates["edges"])[None])
        return streams(x.long())

    def bits(self, opened: Gates) -> Tensor:
        """The set of edges, and the weights of nodes that hear something and are heard."""
        edges = self._placed(opened["edges"])
        hears, silent = self._hearing(edges)
        reached = {
            s: torch.ones_like(silent[at]) if placed(self.graph, self._config, s) else 1 - silent[at]
            for s, at in self._sides.items()
        }
        # where values are constant, or keys that nothing turns, nobody reads queries and keys
        even = reached["v"] if self._config.positions == "rotary" else reached["v"] * reached["k"]
        read = {"q": even * reached["q"], "k": even * reached["k"], "v": reached["v"]}
        shut = sum((1 - read[s]) * self._read[s] for s in SIDES)
        used = hears * self._heard(edges, even)
        told = (used * self._worth).sum() - (used[self._heads] * shut).sum() + self._always
        return structure_bits(opened["edges"]) + told

    def _hearing(self, edges: Tensor) -> tuple[Tensor, Tensor]:
        """How probably each source hears something, by any path, and each target nothing."""
        readers = self.graph.readers.to(edges.device)
        hears, silent = torch.ones_like(edges[:, 0]), torch.zeros_like(edges[0])
        for _ in range(2 * self.graph.n_layers):
            silent = (1 - edges * hears[:, None]).prod(0)
            hears = torch.where(readers.any(1), 1 - torch.where(readers, silent, 1.0).prod(1), 1.0)
        return hears, silent

    def _heard(self, edges: Tensor, even: Tensor) -> Tensor:
        """How probably somebody hears each source, by any path to the logits."""
        owner = self.graph.readers.to(edges)
        logits = 1 - owner.sum(0)
        read = torch.ones_like(edges[0])
        read = read.index_put((torch.tensor(self._sides["q"] + self._sides["k"]),), even.repeat(2))
        heard = torch.ones_like(edges[:, 0])
        for _ in range(2 * self.graph.n_layers):
            heard = 1 - (1 - edges * read * (heard @ owner + logits)).prod(1)
        return heard

    def rankings(self) -> dict[str, Gates]:
        """By attribution, with integrated gradients."""
        told = edge_scores(self.network, self.graph, self._inputs, Donor(), "eap-ig")
        assert told.scores is not None
        return {"attribution": {"edges": told.scores[0].abs().to(self._real.device)[self._real]}}

    def circuit(self, kept: Gates, about: Mapping[str, object]) -> GraphCircuit:
        """A circuit of edges."""
        edges = self._placed(kept["edges"]).cpu()
        return GraphCircuit(self.network, self.graph, edges, Donor(), None, NAME, about)
