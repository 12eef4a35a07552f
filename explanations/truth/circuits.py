"""The true circuit of a compiled program, random circuits of its size, and circuits one edge away from it.

An edge is a weight that is not zero: (parameter, place in the flattened parameter).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.explanations.circuits import EdgeCircuit
from assay.explanations.errors import ExplanationError
from assay.models.programs import Compiled
from torch import Tensor

__all__ = ["edges", "flipped", "random_circuit", "true_circuit", "true_edges"]

Edge = tuple[str, int]


def edges(compiled: Compiled) -> list[Edge]:
    """Every edge of the network, distractors included."""
    return _listed({name: p != 0 for name, p in compiled.network.parameters().items()})


def true_edges(compiled: Compiled) -> list[Edge]:
    """The edges that the construction made."""
    return _listed(compiled.truth)


def true_circuit(compiled: Compiled, name: str = "true circuit") -> EdgeCircuit:
    """The circuit that does the work."""
    return EdgeCircuit(compiled.network, compiled.truth, name, {"from": "known truth"})


def random_circuit(compiled: Compiled, seed: int, size: int | None = None) -> EdgeCircuit:
    """``size`` of the network's edges (by default as many as the truth has), each as likely as the others."""
    every = edges(compiled)
    size = len(true_edges(compiled)) if size is None else size
    if not 0 <= size <= len(every):
        raise ExplanationError(f"a circuit of {size} edges: {compiled.network.name!r} has 0 to {len(every)}")
    drawn = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))[:size].tolist()
    masks = {name: torch.zeros_like(mask) for name, mask in compiled.truth.items()}
    for i in drawn:
        name, place = every[i]
        masks[name].view(-1)[place] = True
    return EdgeCircuit(compiled.network, masks, f"random circuit {seed}", {"from": "random", "seed": seed})


def flipped(compiled: Compiled, edge: Edge) -> EdgeCircuit:
    """The true circuit without one of its edges, or with one more."""
    name, place = edge
    mask = compiled.truth[name].clone()
    flat = mask.view(-1)
    flat[place] = ~flat[place]
    change = "without" if not flat[place] else "with"
    about = {"from": "known truth", change: f"{name}[{place}]"}
    return EdgeCircuit(compiled.network, {**compiled.truth, name: mask}, f"{change} {name}[{place}]", about)


def _listed(masks: Mapping[str, Tensor]) -> list[Edge]:
    return [(name, int(i)) for name, mask in masks.items() for i in mask.flatten().nonzero().flatten()]
