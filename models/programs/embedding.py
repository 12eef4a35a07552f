"""A compiled program as a transformer, among distractors that do nothing to its answers.

Beside the program's own dimensions the residual stream has *junk* ones, which distractors write and only
distractors read, and *silent* ones, which nothing writes and anything may read.  Distractor edges are as
large as the program's own, so that no threshold on weights tells them apart, and they leave every
answer as it is: the true circuit is a strict subset of the edges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from assay.models.errors import InputError
from assay.models.network import Network, Output
from assay.models.transformer import Transformer, TransformerConfig
from torch import Tensor

from .compiler import Weights

__all__ = ["Compiled", "embed"]

JUNK, SILENT = 12, 6
SPARE_HEADS, SPARE_NEURONS = 2, 12
DISTRACTORS = 3.0  # distractor edges for each true one


@dataclass(frozen=True, eq=False)
class Compiled:
    """A network, and which of its edges (weights that are not zero) its construction made for the task.

    ``truth`` holds a Boolean mask for every parameter; ``dimensions`` names the program's share of the
    residual stream.
    """

    network: Network
    truth: Mapping[str, Tensor]
    dimensions: tuple[str, ...]

    @property
    def edges(self) -> int:
        """How many edges the network has, distractors included."""
        return sum(int((p != 0).sum()) for p in self.network.parameters().values())


@dataclass(frozen=True)
class _Places:
    """Which indices belong to the program, and which to distractors."""

    own: int
    heads: int
    neurons: int
    heads_of: Mapping[int, int]
    neurons_of: Mapping[int, int]

    @property
    def junk(self) -> range:
        return range(self.own, self.own + JUNK)

    @property
    def silent(self) -> range:
        return range(self.own + JUNK, self.own + JUNK + SILENT)

    @property
    def width(self) -> int:
        return self.own + JUNK + SILENT


def embed(
    name: str,
    weights: Weights,
    longest: int,
    vocabulary: int,
    answers: int,
    output: Output = "categorical",
    distractors: float = DISTRACTORS,
    seed: int = 0,
) -> Compiled:
    """Build the transformer for sequences of up to ``longest`` of ``vocabulary`` tokens.

    ``answers`` is the number of logits (1 for a number); ``distractors`` is how many distractor edges there
    are for each true one.
    """
    if distractors < 0:
        raise InputError(f"distractors are a ratio of edges, at least 0; got {distractors}")
    places = _Places(
        len(weights.dimensions),
        max(weights.heads.values(), default=0) + SPARE_HEADS,
        max(weights.neurons.values(), default=0) + SPARE_NEURONS,
        weights.heads,
        weights.neurons,
    )
    module = Transformer(_architecture(weights, places, longest, vocabulary, answers))
    truth = _write(module, weights)
    wanted = round(distractors * sum(int(mask.sum()) for mask in truth.values()))
    _distract(module, truth, places, wanted, torch.Generator().manual_seed(seed))
    network = Network(name, module, output, "token", (longest + 1,), vocabulary=vocabulary + 2)
    return Compiled(network, truth, tuple(weights.dimensions))


def _architecture(
    weights: Weights, places: _Places, longest: int, vocabulary: int, answers: int
) -> TransformerConfig:
    width = 1
    while width < weights.head_width:
        width *= 4  # the square root that divides the scores is then a power of two
    return TransformerConfig(
        n_layers=1 + max([*weights.heads, *weights.neurons], default=0),
        d_model=places.width,
        n_heads=places.heads,
        d_head=width,
        d_vocab=vocabulary + 2,
        d_vocab_out=answers,
        n_ctx=longest + 1,
        d_mlp=places.neurons,
        normalization=None,
        causal=False,
    )


def _write(module: Transformer, weights: Weights) -> dict[str, Tensor]:
    """Fill in the program's entries, all else zero; gives the masks of what was filled in."""
    truth = {}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.zero_()
            for index, value in weights.entries.get(name, {}).items():
                parameter[index] = value
            truth[name] = parameter != 0
    return truth


def _distract(
    module: Transformer,
    truth: Mapping[str, Tensor],
    places: _Places,
    wanted: int,
    generator: torch.Generator,
) -> None:
    """Draw that many of the entries that do nothing, and give them the size of the tensor's true ones."""
    own = dict(module.named_parameters())
    allowed = {name: _harmless(name, mask, places) & ~mask for name, mask in truth.items()}
    every = torch.cat([mask.flatten() for mask in allowed.values()]).nonzero().flatten()
    if wanted > len(every):
        raise InputError(f"{wanted} distractor edges were asked for, there is room for {len(every)}")
    chosen = every[torch.randperm(len(every), generator=generator)[:wanted]]
    drawn = torch.zeros(sum(mask.numel() for mask in truth.values()), dtype=torch.bool)
    drawn[chosen] = True
    flags = torch.split(drawn, [mask.numel() for mask in truth.values()])
    with torch.no_grad():
        for (name, mask), flag in zip(truth.items(), flags, strict=True):
            sign = 2.0 * torch.randint(2, mask.shape, generator=generator) - 1
            size = float(own[name].abs().max()) or 1.0
            own[name].copy_(torch.where(flag.view_as(mask), size * sign, own[name]))


def _harmless(name: str, like: Tensor, places: _Places) -> Tensor:
    """Entries that no answer depends on: Boolean, of the shape of the tensor."""
    mask = torch.zeros_like(like)
    for index in _harmless_blocks(name, places):
        mask[index] = True
    return mask


Block = tuple[slice, ...]


def _harmless_blocks(name: str, places: _Places) -> Iterator[Block]:
    all_, junk, silent = slice(None), _slice(places.junk), _slice(places.silent)
    layer = int(name.split(".")[1]) if name.startswith("blocks") else 0
    heads = slice(places.heads_of.get(layer, 0), None)
    neurons = slice(places.neurons_of.get(layer, 0), None)
    match name.rsplit(".", 1)[-1]:
        case "W_E" | "W_pos":
            yield all_, junk
        case "W_Q" | "W_K" | "W_V":
            yield heads, all_, all_
            yield all_, silent, all_
        case "b_Q" | "b_K" | "b_V":
            yield heads, all_
        case "W_O":
            yield all_, all_, junk
        case "W_in":
            yield all_, neurons
            yield silent, all_
        case "b_in":
            yield (neurons,)
        case "W_out":
            yield all_, junk
        case "b_O" | "b_out":
            yield (junk,)
        case "W_U":
            yield silent, all_


def _slice(indices: range) -> slice:
    return slice(indices.start, indices.stop)
