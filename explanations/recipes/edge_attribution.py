"""Edge attribution patching: how much the output would change if a reader heard the donor instead.

The score of edge s→t is E Σ_positions (donor_s − write_s) · ∂ metric / ∂ read_t, to first order the effect of
patching that edge (Syed, Rager & Conmy 2023, arXiv 2310.10348). With integrated gradients (Hanna, Pezzelle &
Belinkov 2024, arXiv 2403.17806) the gradient is averaged on the way from the donor to the datum: of the
inputs, or of the writes of each layer in turn. The metric is the log-probability of the model's own answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, get_args

import torch
from assay.explanations.circuits.donors import Donor, Partners
from assay.explanations.circuits.graph import Graph
from assay.explanations.circuits.streams import Streams, transformer_of, written
from assay.explanations.circuits.told import CircuitFile
from assay.explanations.errors import ExplanationError
from assay.models import Network
from torch import Tensor

Method = Literal["eap", "eap-ig", "eap-ig-activations"]
STEPS = 5
BATCH = 16

Change = Callable[[int, Tensor], Tensor]


def edge_scores(
    network: Network,
    graph: Graph,
    inputs: Tensor,
    donor: Donor,
    method: Method = "eap-ig",
    steps: int = STEPS,
) -> CircuitFile:
    """Scores of all edges of a transformer over inputs [n, positions], as a file would tell them."""
    if method not in get_args(Method) or steps < 1:
        raise ExplanationError(f"edge attribution by {method!r} in {steps} steps; methods are eap, eap-ig …")
    lenders = None if donor.inputs is None else Partners(donor.inputs, donor.seed)
    scores = torch.zeros(graph.real.shape, dtype=torch.float64, device=network.device)
    for tokens in torch.split(inputs.to(network.device), BATCH):
        clean = written(network.module, graph, tokens)
        lent = _lent(network, graph, tokens, clean, donor, lenders)
        gradients = torch.zeros((), device=network.device)
        runs = list(_changes(graph, clean, lent, method, steps))
        answers = network(tokens).detach()
        for change in runs:
            gradients = gradients + read_gradients(network, graph, tokens, answers, change)
        scores += edge_effects(graph, lent - clean, gradients / len(runs)).sum((0, 1)).double()
    scores = (scores / len(inputs)).cpu() * graph.real
    return CircuitFile(method, method, graph, None, scores[None])


def _lent(
    network: Network, graph: Graph, tokens: Tensor, clean: Tensor, donor: Donor, lenders: Partners | None
) -> Tensor:
    """What the donor writes in each source's place: like ``clean`` [data, positions, sources, d]."""
    if lenders is not None:
        return written(network.module, graph, lenders.of(tokens))
    if donor.means is None:
        return torch.zeros_like(clean)
    means = donor.means if donor.positions == 1 else donor.means[: clean.shape[1]]
    return means.to(clean).expand_as(clean)


def _changes(graph: Graph, clean: Tensor, lent: Tensor, method: Method, steps: int) -> Iterator[Change]:
    """The runs whose gradients are averaged: each replaces what some sources write."""
    if method == "eap":
        yield lambda place, value: value
        return
    groups = [range(len(graph.inputs))]
    if method == "eap-ig-activations":
        groups += _layers(graph)
    for group in groups:
        for step in range(1, steps + 1):
            yield _between(group, clean, lent, (step - 0.5) / steps)


def _layers(graph: Graph) -> list[range]:
    """The places of the sources that write at once: all heads of a layer, or its MLP."""
    found = []
    for layer in range(graph.n_layers):
        first = graph.source_index[f"a{layer}.h0"]
        found.append(range(first, first + graph.n_heads))
        if graph.mlps:
            found.append(range(first + graph.n_heads, first + graph.n_heads + 1))
    return found


def _between(group: range, clean: Tensor, lent: Tensor, share: float) -> Change:
    """Sources of a group write a mixture: ``share`` of the datum's own, the rest of the donor's."""

    def change(place: int, value: Tensor) -> Tensor:
        return lent[:, :, place].lerp(clean[:, :, place], share) if place in group else value

    return change


def edge_effects(graph: Graph, changes: Tensor, slopes: Tensor) -> Tensor:
    """To first order what a change of each write does through each edge: [data, positions, sources, targets].

    ``changes`` [data, positions, sources, d], ``slopes`` [data, positions, routes, targets, d].
    """
    effects = changes.new_zeros(*changes.shape[:3], slopes.shape[3])
    for route, places in enumerate(graph.routes):
        mine = changes[:, :, list(places)]
        effects[:, :, list(places)] = torch.einsum("bpsd,bptd->bpst", mine, slopes[:, :, route])
    return effects


def read_gradients(network: Network, graph: Graph, tokens: Tensor, answers: Tensor, change: Change) -> Tensor:
    """∂ metric / ∂ what came to every reader on every route: [data, positions, routes, targets, d]."""

    def leaf(place: int, value: Tensor) -> Tensor:
        changed = change(place, value)
        return changed.requires_grad_() if place == 0 and changed.is_leaf else changed

    streams = Streams(transformer_of(network.module), graph, change=leaf)
    with torch.enable_grad():
        gained = metric(streams(tokens), answers, network.output)
        came = [route for routes in streams.reads for route in routes]
        gradients = iter(torch.autograd.grad(gained, came, allow_unused=True, materialize_grads=True))
    slopes = []
    for routes in streams.reads:
        mine = torch.stack([next(gradients) for _ in routes], dim=2)
        missing = len(graph.routes) - len(routes)
        slopes.append(torch.nn.functional.pad(mine, (0, 0, 0, 0, 0, missing)))
    return torch.cat(slopes, dim=3)


def metric(output: Tensor, answers: Tensor, kind: str) -> Tensor:
    """Σ log2 p of the network's own answers; for regression the output along the network's own."""
    if kind == "categorical":
        log_p = output.log_softmax(-1).gather(-1, answers.argmax(-1, keepdim=True))
        return log_p.sum() / math.log(2)
    return (output * answers).sum()
