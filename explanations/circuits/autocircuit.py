"""Prune scores of AutoCircuit: a dict from the module name of a reader to its scores.

A tensor is [(positions,) (heads,) sources before it]; the sources stand in the order of the graph, the first
being the residual stream at its start. Where queries, keys and values are not separate, ``hook_attn_in``
scores all three at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network
from torch import Tensor

from .graph import LOGITS, SIDES, Graph
from .told import CircuitFile, blank, finite, unknown

READER = re.compile(r"blocks\.(\d+)\.hook_(q_input|k_input|v_input|attn_in|mlp_in|resid_post)")


def read(content: Mapping[str, Any], network: Network, path: str) -> CircuitFile:
    """Scores from a dict; one inside others (by task, by algorithm) is unwrapped where it is alone."""
    while content and all(isinstance(value, Mapping) for value in content.values()):
        if len(content) > 1:
            raise ExplanationError(
                f"{path}: holds scores of {', '.join(map(str, list(content)[:6]))}; save one of them alone"
            )
        (content,) = content.values()
    graph = Graph.of(network, "stream")
    targets = {name: _targets(graph, str(name)) for name in content}
    if wrong := [str(name) for name, found in targets.items() if not found]:
        raise unknown(path, "modules", wrong, _modules(graph))
    if missing := set(graph.targets) - {t for found in targets.values() for t in found}:
        raise ExplanationError(f"{path}: no scores for {', '.join(sorted(missing)[:6])}")
    positions = {_positions(graph, path, name, content[name], found) for name, found in targets.items()}
    if len(positions) > 1 or not positions <= {0, network.in_shape[0]}:
        raise ExplanationError(
            f"{path}: scores of {sorted(positions)} positions, expected none or {network.in_shape[0]} in all"
        )
    scores = blank(graph, max(1, *positions)).double()
    for name, found in targets.items():
        _place(scores, graph, content[name].detach().double(), found)
    return CircuitFile("autocircuit", path, graph, None, finite(path, "scores", scores))


def _modules(graph: Graph) -> list[str]:
    return ["blocks.0.hook_q_input", "blocks.0.hook_mlp_in", f"blocks.{graph.n_layers - 1}.hook_resid_post"]


def _targets(graph: Graph, module: str) -> list[str]:
    """The targets that a module's scores are about; none for an unknown module."""
    match = READER.fullmatch(module)
    if match is None or int(match[1]) >= graph.n_layers:
        return []
    layer, what = int(match[1]), match[2]
    if what == "resid_post":
        return [LOGITS] if layer == graph.n_layers - 1 else []
    if what == "mlp_in":
        return [f"m{layer}"] if graph.mlps else []
    sides = SIDES if what == "attn_in" else what[0]
    return [f"{head}<{side}>" for side in sides for head in graph.heads(layer)]


def _positions(graph: Graph, path: str, name: str, scores: Any, found: list[str]) -> int:
    """How many positions the scores tell apart (0: none); raises for a wrong shape."""
    heads = (graph.n_heads,) if "<" in found[0] else ()
    shape = (*heads, graph.heard(found[0]))
    if not isinstance(scores, Tensor):
        raise ExplanationError(f"{path}: {name} is a {type(scores).__name__}, expected a tensor of scores")
    got = tuple(scores.shape)
    if got == shape:
        return 0
    if got[1:] == shape:
        return got[0]
    raise ExplanationError(f"{path}: {name} is {got}, expected {shape} with positions before it or not")


def _place(scores: Tensor, graph: Graph, told: Tensor, found: list[str]) -> None:
    heads = graph.n_heads if "<" in found[0] else 1
    told = told.reshape(-1, heads, told.shape[-1])
    for i, target in enumerate(found):
        column = graph.target_index[target]
        scores[:, : told.shape[-1], column] = told[:, i % heads].to(torch.float64)
