"""Which entries of which weights the nodes of a circuit use."""

from __future__ import annotations

import torch
from assay.models import Network, Transformer
from torch import Tensor

from .graph import Graph

OF_A_HEAD = ("W_Q", "W_K", "W_V", "_W_K", "_W_V", "b_Q", "b_K", "b_V", "_b_K", "_b_V", "W_O")
OF_ALL_HEADS = ("ln1.", "attn.q_norm.", "attn.k_norm.")


def needed_weights(
    network: Network, graph: Graph, edges: Tensor, neurons: Tensor | None
) -> dict[str, Tensor]:
    """Boolean masks of the shapes of all parameters, for edges [sources, targets].

    A head needs its slices of the attention weights, an MLP its layer; layer norms are needed where someone
    reads through them. Of what a node writes only the ``neurons`` [sources, d] that are heard are needed.
    """
    masks = {n: torch.zeros(v.shape, dtype=torch.bool) for n, v in network.parameters().items()}
    assert isinstance(network.module, Transformer)
    kept = edges.any(1)
    heard = torch.ones(len(kept), network.module.config.d_model, dtype=torch.bool)
    heard = (heard if neurons is None else neurons) & kept[:, None]
    _inputs(masks, graph, heard, network.module.config.positions == "standard")
    for layer in range(graph.n_layers):
        _heads(masks, graph, layer, heard)
        if graph.mlps:
            _mlp(masks, layer, heard[graph.source_index[f"m{layer}"]])
    for name, mask in masks.items():
        if name.startswith(("ln_final.", "unembed.")) or name.endswith(".attn.b_O"):
            mask[:] = True
    return masks


def _inputs(masks: dict[str, Tensor], graph: Graph, heard: Tensor, adds_positions: bool) -> None:
    masks["embed.W_E"][:, heard[0]] = True
    if "pos_embed.W_pos" in masks:
        always = graph.start == "tokens" or not adds_positions
        reached = torch.ones_like(heard[0]) if always else heard[int(graph.start == "split")]
        masks["pos_embed.W_pos"][:, reached] = True


def _heads(masks: dict[str, Tensor], graph: Graph, layer: int, heard: Tensor) -> None:
    for head, name in enumerate(graph.heads(layer)):
        writes = heard[graph.source_index[name]]
        if not writes.any():
            continue
        for weight in OF_A_HEAD:
            if (path := f"blocks.{layer}.attn.{weight}") in masks:
                masks[path][head] = writes if weight == "W_O" else True
        for shared in OF_ALL_HEADS:
            _whole(masks, f"blocks.{layer}.{shared}")


def _mlp(masks: dict[str, Tensor], layer: int, writes: Tensor) -> None:
    if not writes.any():
        return
    _whole(masks, f"blocks.{layer}.ln2.")
    _whole(masks, f"blocks.{layer}.mlp.")
    for name, axis in (("W_out", -1), ("b_out", 0)):
        if (path := f"blocks.{layer}.mlp.{name}") in masks:
            masks[path] = masks[path] & (writes if axis == 0 else writes[None])


def _whole(masks: dict[str, Tensor], prefix: str) -> None:
    for name, mask in masks.items():
        if name.startswith(prefix):
            mask[:] = True
