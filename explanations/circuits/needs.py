"""Which entries of which weights the nodes of a circuit use."""

from __future__ import annotations

import torch
from assay.models import Network, Transformer, TransformerConfig
from torch import Tensor

from .graph import SIDES, Graph
from .quiet import Quiet

OF_A_HEAD = ("W_Q", "W_K", "W_V", "_W_K", "_W_V", "b_Q", "b_K", "b_V", "_b_K", "_b_V", "W_O")


def needed_weights(
    network: Network,
    graph: Graph,
    edges: Tensor,
    neurons: Tensor | None,
    quiet: Quiet | None = None,
    lends: bool = False,
) -> dict[str, Tensor]:
    """Boolean masks of the shapes of all parameters, for edges [sources, targets].

    A head needs its slices of the attention weights (those that heads share where one of them needs them), an
    MLP its layer; layer norms are needed where someone reads through them. Of what a node writes only the
    ``neurons`` [sources, d] that are heard are needed, of ``quiet`` sides of heads nothing. What a donor
    ``lends`` passes the normalisation behind attention as well.
    """
    masks = {n: torch.zeros(v.shape, dtype=torch.bool) for n, v in network.parameters().items()}
    assert isinstance(network.module, Transformer)
    config, quiet = network.module.config, quiet or Quiet.only(graph)
    kept = edges.any(1)
    heard = torch.ones(len(kept), config.d_model, dtype=torch.bool)
    heard = (heard if neurons is None else neurons) & kept[:, None]
    _inputs(masks, graph, heard, config)
    for layer in range(graph.n_layers):
        _heads(masks, graph, layer, heard, quiet)
        if graph.mlps:
            _mlp(masks, layer, heard[graph.source_index[f"m{layer}"]], config.norm_after)
    for name, mask in masks.items():
        if name.startswith(("ln_final.", "unembed.")) or name.endswith(".attn.b_O"):
            mask[:] = True
        if name.endswith(".ln1_post.w"):
            mask |= config.biases or lends
    if config.positions == "shortformer":
        readers = [mask for name, mask in masks.items() if name.endswith(("W_Q", "W_K"))]
        masks["pos_embed.W_pos"] |= any(bool(mask.any()) for mask in readers)
    return masks


def _inputs(masks: dict[str, Tensor], graph: Graph, heard: Tensor, config: TransformerConfig) -> None:
    masks["embed.W_E"][:, heard[0]] = True
    if config.positions == "standard":
        by_edge = heard[int(graph.start == "split")]
        masks["pos_embed.W_pos"][:, torch.ones_like(by_edge) if graph.start == "tokens" else by_edge] = True


def _heads(masks: dict[str, Tensor], graph: Graph, layer: int, heard: Tensor, quiet: Quiet) -> None:
    prefix = f"blocks.{layer}."
    for head, name in enumerate(graph.heads(layer)):
        writes = heard[graph.source_index[name]]
        if not writes.any():
            continue
        sides = {side: graph.target_index[f"{name}<{side}>"] for side in SIDES}
        for side, place in sides.items():
            if not quiet.either[place]:
                _side(masks, prefix, side, head, graph.n_heads)
            if not quiet.unread[place]:
                _whole(masks, f"{prefix}attn.{side}_norm.")
        masks[f"{prefix}attn.W_O"][head] |= writes
        if f"{prefix}ln1_post.w" in masks:
            masks[f"{prefix}ln1_post.w"] |= writes


def _side(masks: dict[str, Tensor], prefix: str, side: str, head: int, n_heads: int) -> None:
    """What a head reads through on one side; heads in a row share slices where there are fewer of these."""
    for weight in ("W", "b", "_W", "_b"):
        if (path := f"{prefix}attn.{weight}_{side.upper()}") in masks:
            masks[path][head * len(masks[path]) // n_heads] = True
    _whole(masks, f"{prefix}ln1.")


def _mlp(masks: dict[str, Tensor], layer: int, writes: Tensor, norm_after: bool) -> None:
    if not writes.any():
        return
    prefix = f"blocks.{layer}."
    _whole(masks, f"{prefix}ln2.")
    _whole(masks, f"{prefix}mlp.")
    # behind a normalisation all coordinates are read, before it only what is heard
    last = (f"{prefix}ln2_post.w",) if norm_after else (f"{prefix}mlp.W_out", f"{prefix}mlp.b_out")
    for path in last:
        if path in masks:
            masks[path][..., writes] = True
            masks[path][..., ~writes] = False


def _whole(masks: dict[str, Tensor], prefix: str) -> None:
    for name, mask in masks.items():
        if name.startswith(prefix):
            mask[:] = True
