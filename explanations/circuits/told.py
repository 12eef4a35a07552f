"""What a circuit file says about a graph, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from assay.explanations.errors import ExplanationError
from torch import Tensor

from .graph import Graph


@dataclass(frozen=True, eq=False)
class CircuitFile:
    """Edges and scores [positions or 1, sources, targets], nodes [sources], coordinates [sources, d].

    What a file does not say is None; what it says of nodes or coordinates but leaves unscored is NaN.
    """

    format: str
    path: str
    graph: Graph
    edges: Tensor | None = None
    scores: Tensor | None = None
    node_scores: Tensor | None = None
    neurons: Tensor | None = None
    neuron_scores: Tensor | None = None


def blank(graph: Graph, positions: int = 1) -> Tensor:
    """No edge: Boolean [positions, sources, targets]."""
    return torch.zeros(positions, *graph.real.shape, dtype=torch.bool)


def unknown(path: str, what: str, names: Sequence[str], known: Sequence[str]) -> ExplanationError:
    """An error about names that the network's graph does not have."""
    some = ", ".join(repr(str(name))[:60] for name in names[:4])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    examples = ", ".join((known[0], *known[-2:]))
    return ExplanationError(f"{path}: unknown {what} {some}{more}; the network's graph has {examples} …")


def finite(path: str, what: str, scores: Tensor) -> Tensor:
    """Scores as float64; raises where one is NaN or infinite."""
    scores = scores.double()
    if not bool(scores.isfinite().all()):
        count = int((~scores.isfinite()).sum())
        raise ExplanationError(f"{path}: {count} of {scores.numel()} {what} are NaN or infinite")
    return scores


def real(number: float) -> float:
    """A number as a float; whole numbers that are too large become infinite, for `finite` to refuse."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
