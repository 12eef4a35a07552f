"""The residual-stream graph of a transformer: who writes to it, who reads from it, and all edges between.

Sources are the input, attention heads ``a{l}.h{h}`` and MLPs ``m{l}``; targets are the three inputs of each
head ``a{l}.h{h}<q|k|v>``, the inputs of the MLPs, and ``logits``. An edge leads from a source to any target
that comes later (Elhage et al. 2021; Syed et al. 2023). Order and names are those of EAP-IG.

Three conventions for the input are in use, and ``start`` says which:

- ``tokens``: the node ``input`` is the token embedding; positions reach everyone, always (EAP-IG);
- ``stream``: ``input`` is the embedding and the positions together (AutoCircuit, ACDC);
- ``split``: two nodes, ``tok_embeds`` and ``pos_embeds`` (Edge-Pruning).

Biases of the attention output belong to no head: they reach everyone, always. Heads that share keys and
values each hear them for themselves. Where what attention writes is normalised (Gemma 2) each reader hears
the normalised sum of the heads that it hears: one *route* for each layer, beside the direct one. Both are as
in EAP-IG.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network, Transformer
from torch import Tensor

Start = Literal["tokens", "stream", "split"]
Place = tuple[int, int]
LOGITS = "logits"
SIDES = "qkv"


@dataclass(frozen=True)
class Graph:
    """A transformer of ``n_layers`` × ``n_heads`` heads; ``parallel`` MLPs read with the heads."""

    n_layers: int
    n_heads: int
    mlps: bool = True
    parallel: bool = False
    start: Start = "tokens"
    norm_after: bool = False

    @classmethod
    def of(cls, network: Network, start: Start = "tokens") -> Graph:
        """The graph of a network; raises :class:`ExplanationError` for anything but a transformer."""
        if not isinstance(network.module, Transformer):
            raise ExplanationError(
                f"circuits of edges are about transformers; {network.name!r} is a "
                f"{type(network.module).__name__} (circuits of weights fit any network: method=magnitude)"
            )
        config = network.module.config
        if start == "split" and config.positions != "standard":
            raise ExplanationError(
                f"{network.name!r} has no node pos_embeds: its positions are {config.positions}"
            )
        mlps = not config.attn_only
        parallel = config.parallel and mlps
        return cls(config.n_layers, config.n_heads, mlps, parallel, start, config.norm_after)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The nodes that read the data."""
        return ("tok_embeds", "pos_embeds") if self.start == "split" else ("input",)

    def heads(self, layer: int) -> list[str]:
        """The heads of a layer."""
        return [f"a{layer}.h{head}" for head in range(self.n_heads)]

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """All that write to the residual stream, in order."""
        names = list(self.inputs)
        for layer in range(self.n_layers):
            names += self.heads(layer)
            names += [f"m{layer}"] * self.mlps
        return tuple(names)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """All that read from it, in order: per layer every head's q, then k, then v, then the MLP."""
        names = []
        for layer in range(self.n_layers):
            names += [f"{head}<{side}>" for side in SIDES for head in self.heads(layer)]
            names += [f"m{layer}"] * self.mlps
        return (*names, LOGITS)

    @cached_property
    def source_index(self) -> dict[str, int]:
        """Where a source stands."""
        return {name: i for i, name in enumerate(self.sources)}

    @cached_property
    def target_index(self) -> dict[str, int]:
        """Where a target stands."""
        return {name: i for i, name in enumerate(self.targets)}

    @cached_property
    def routes(self) -> tuple[tuple[int, ...], ...]:
        """Places of the sources that reach readers directly, then of those that are normalised together."""
        places = range(len(self.sources))
        if not self.norm_after:
            return (tuple(places),)
        heads = [tuple(self.source_index[name] for name in self.heads(i)) for i in range(self.n_layers)]
        return (tuple(i for i in places if not any(i in layer for layer in heads)), *heads)

    @cached_property
    def places(self) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
        """Where sources and targets stand: (layer, which of its nodes or readers), the input in layer 0."""
        sources = [(0, i) for i in range(len(self.inputs))]
        targets = []
        for layer in range(self.n_layers):
            sources += [(layer + 1, i) for i in range(self.n_heads + self.mlps)]
            targets += [(layer, i) for i in range(len(SIDES) * self.n_heads + self.mlps)]
        return tuple(sources), (*targets, (self.n_layers, 0))

    def heard(self, target: str) -> int:
        """How many sources (the first so many) a target can hear."""
        if target == LOGITS:
            return len(self.sources)
        first = self.source_index[f"a{layer_of(target)}.h0"]
        beside = self.parallel or not target.startswith("m")
        return first if beside else first + self.n_heads

    @cached_property
    def real(self) -> Tensor:
        """Which pairs are edges: Boolean [sources, targets]."""
        mask = torch.zeros(len(self.sources), len(self.targets), dtype=torch.bool)
        for j, target in enumerate(self.targets):
            mask[: self.heard(target), j] = True
        return mask

    @cached_property
    def readers(self) -> Tensor:
        """Which targets are inputs of a source: Boolean [sources, targets]."""
        owner = [owner_of(target) for target in self.targets]
        return torch.tensor([[source == name for name in owner] for source in self.sources])

    def edges(self, mask: Tensor) -> Iterator[str]:
        """Names of the edges in a mask [sources, targets]: ``a0.h1->a2.h0<q>``."""
        for i, j in (mask & self.real).nonzero().tolist():
            yield f"{self.sources[i]}->{self.targets[j]}"

    def prune(self, edges: Tensor) -> Tensor:
        """Edges [positions or 1, sources, targets] without nodes that hear nothing or that nobody hears.

        As EAP-IG does before it runs a circuit: again and again, until nothing falls away.
        """
        real, readers = self.real.to(edges.device), self.readers.to(edges.device)
        edges = edges & real
        starts = torch.tensor([s in self.inputs for s in self.sources], device=edges.device)
        while True:
            at_all = edges.any(0)
            hears = starts | (readers & at_all.any(0)).any(1)
            kept = hears & at_all.any(1)
            owned = (readers & kept[:, None]).any(0)
            owned[-1] = True
            fewer = edges & kept[:, None] & owned
            if torch.equal(fewer, edges):
                return edges
            edges = fewer

    def unheard(self, edges: Tensor) -> Tensor:
        """Edges [positions or 1, sources, targets] without those into nodes that nobody hears any more."""
        readers = self.readers.to(edges.device)
        while True:
            kept = edges.any(0).any(1)
            owned = (readers & kept[:, None]).any(0)
            owned[-1] = True
            fewer = edges & owned
            if torch.equal(fewer, edges):
                return edges
            edges = fewer


def layer_of(name: str) -> int:
    """The layer of a head, one of its inputs, or an MLP."""
    return int(name[1:].partition(".")[0])


def owner_of(target: str) -> str:
    """The node that a target is an input of."""
    return target.partition("<")[0]
