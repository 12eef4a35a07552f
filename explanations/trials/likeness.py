"""Two explanations beside each other (codes of the same data, edges of circuits), and a circuit by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from assay.explanations.circuits import CircuitFile, Cut, EdgeCircuit, GraphCircuit, cut
from assay.explanations.errors import ExplanationError
from assay.mdl import SiteExplanation
from assay.models import Network
from torch import Tensor

from .divergence import divergences
from .recovery import MIB_SIZES, EdgesFound, edges_found


def dense_code(explanation: SiteExplanation, x: Tensor) -> Tensor:
    """Coefficients [rows, parts] of activations x [rows, d]; zeros are inactive."""
    code = explanation.code(x)
    found = torch.zeros(code.rows, code.parts, dtype=torch.float64)
    found[code.row.cpu(), code.part.cpu()] = code.value.double().cpu()
    return found


def same_edges(truth: Any, found: Any, scores: Tensor | None = None) -> EdgesFound:
    """How the edges of two circuits agree: both of weights, or both of the residual-stream graph.

    Over the edges that exist: weights that are not zero, or the graph's. ``scores`` are in their shape.
    """
    if isinstance(truth, EdgeCircuit) and isinstance(found, EdgeCircuit):
        if truth.network.digest != found.network.digest:
            raise ExplanationError("edges: the circuits are of different networks")
        kept = [_weights_kept(c, sorted({*truth.masks, *found.masks})) for c in (truth, found)]
        return edges_found(kept[0], kept[1], scores)
    if isinstance(truth, GraphCircuit) and isinstance(found, GraphCircuit):
        positions = max(len(truth.edges), len(found.edges))
        exist = truth.graph.real[None].expand(positions, -1, -1)
        told = [c.edges.expand(positions, -1, -1)[exist] for c in (truth, found)]
        ranked = None if scores is None else scores.expand(positions, -1, -1)[exist]
        return edges_found(told[0], told[1], ranked)
    kinds = " and ".join(type(c).__name__ for c in (truth, found))
    raise ExplanationError(f"edges of {kinds}: expected two circuits of weights, or two of the graph")


def _weights_kept(circuit: EdgeCircuit, names: Sequence[str]) -> Tensor:
    """Which weights that are not zero a circuit keeps [weights]; what has no mask it keeps whole."""
    own = circuit.network.parameters()
    flat = [
        (own[n].cpu() != 0, circuit.masks.get(n, torch.ones_like(own[n], dtype=torch.bool))) for n in names
    ]
    return torch.cat([mask.cpu()[exists] for exists, mask in flat])


def faithfulness(
    network: Network, told: CircuitFile, inputs: Tensor, sizes: Sequence[float] = MIB_SIZES
) -> list[float]:
    """(D_∅ − D_k) / D_∅ for the best-scored share k of edges: 0 for no edges, 1 for the whole model.

    D is the mean divergence from the model (bits), so this is MIB's faithfulness with minus D as the metric.
    """
    if told.scores is None:
        raise ExplanationError(f"{told.path}: has no scores of edges, so there is no order to cut them in")
    inputs = inputs.to(network.device)
    with torch.no_grad():
        outputs = network(inputs)
        none = _missed(network, told, torch.zeros_like(told.graph.real)[None], inputs, outputs)
        if none <= 0:
            raise ExplanationError("faithfulness: without any edge the outputs are the model's already")
        found = []
        for share in sizes:
            edges = told.graph.real[None] if share >= 1 else cut(told, Cut(keep=share))[0]
            found.append(1 - _missed(network, told, edges, inputs, outputs) / none)
    return found


def _missed(network: Network, told: CircuitFile, edges: Tensor, inputs: Tensor, outputs: Tensor) -> float:
    circuit = GraphCircuit(network, told.graph, edges)
    restored = {t.name: t.values for t in circuit.parts().tensors}
    predicted = circuit.predict(restored, inputs, circuit.active(restored, inputs))
    return float(divergences(network, outputs, predicted.to(outputs)).mean())
