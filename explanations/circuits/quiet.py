"""Sides of heads that hear nothing from the data: their weights need not be told.

A side (the queries, keys or values of a head) that no kept edge reaches, nor positions, reads the same
whatever the datum and the position: biases and, perhaps, means. So its output is one vector, and that is told
instead of weights. Where the values are such a constant the head writes it whatever its pattern is; where the
keys are, and nothing turns them by position, the pattern is even. Then queries and keys are read by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from assay.models import Network, TransformerConfig
from torch import Tensor

from .graph import SIDES, Graph
from .streams import Streams, transformer_of

ANY_TOKEN = 0


@dataclass(frozen=True)
class Quiet:
    """Boolean [targets]: sides whose constant is told, and sides that nobody reads."""

    told: Tensor
    unread: Tensor

    @property
    def either(self) -> Tensor:
        """Sides of whose weights nothing is told."""
        return self.told | self.unread

    @classmethod
    def only(cls, graph: Graph, *targets: int) -> Quiet:
        """The sides at these places are constant, no others."""
        told = torch.zeros(len(graph.targets), dtype=torch.bool)
        told[list(targets)] = True
        return cls(told, torch.zeros_like(told))

    @classmethod
    def of(cls, graph: Graph, config: TransformerConfig, edges: Tensor) -> Quiet:
        """The quiet sides of the heads that are heard, for edges [sources, targets] and constant donors."""
        told, unread = (torch.zeros(len(graph.targets), dtype=torch.bool) for _ in range(2))
        for layer in range(graph.n_layers):
            for head in graph.heads(layer):
                if not edges[graph.source_index[head]].any():
                    continue
                place = {side: graph.target_index[f"{head}<{side}>"] for side in SIDES}
                quiet = {s for s in SIDES if not edges[:, place[s]].any() and not placed(graph, config, s)}
                even = "v" in quiet or ("k" in quiet and config.positions != "rotary")
                unread[[place[side] for side in "qk" if even]] = True
                told[[place[side] for side in quiet if not (even and side in "qk")]] = True
        return cls(told, unread)


def placed(graph: Graph, config: TransformerConfig, side: str) -> bool:
    """Positions reach this side (q, k or v) of every head, whatever its edges are."""
    if config.positions == "shortformer":
        return side != "v"
    return config.positions == "standard" and graph.start == "tokens"


def constants(network: Network, graph: Graph, edges: Tensor, fill: Tensor | None) -> Tensor:
    """Queries, keys and values of all sides on one token [targets, d_head]; zero where a target is no side.

    ``edges`` [sources, targets]; ``fill`` [1, 1, routes, targets, d].
    """
    module = transformer_of(network.module)
    gates = edges[None].to(network.device, network.dtype)
    run = Streams(module, graph, gates, fill)
    with torch.no_grad():
        run(torch.full((1, 1), ANY_TOKEN, device=network.device))
    found = run.sides[0].new_zeros(len(graph.targets), module.config.d_head)
    for layer, sides in enumerate(run.sides):
        first = graph.target_index[f"{graph.heads(layer)[0]}<q>"]
        found[first : first + sides.shape[2]] = sides[0, 0]
    return found
