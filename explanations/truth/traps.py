"""Explanations that are false, empty or padded, built to fool a scorer, beside the honest ones.

Each trap explains the same network on the same data as its honest rival.  What has to reject it is the bill:
a total, L(1), L(10³) or the rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from assay.explanations.components import Always, ByWeight, Components, Reads, planted_components
from assay.explanations.errors import ExplanationError
from assay.explanations.sae import SAE
from assay.explanations.whole import WholeNetwork
from assay.models import Network
from torch import Tensor

__all__ = [
    "SwappedAnswers",
    "arbitrary_parts",
    "cancelling_pair",
    "duplicated",
    "everything_relevant",
    "merged_mechanisms",
]


def everything_relevant(honest: Components) -> Components:
    """The same parts, all of them called active on every datum."""
    return Components(honest.network, honest.factors, Always(), "everything is relevant")


def arbitrary_parts(honest: Components, seed: int = 0) -> Components:
    """C − 1 random directions as parts, and the remainder as one more: they sum to the weight exactly.

    The remainder is one part of full rank, so that C parts stand against C.
    """
    generator = torch.Generator().manual_seed(seed)
    factors, owners = {}, {}
    for name, (L, R) in honest.factors.items():
        W, C = L.T @ R, len(L)
        columns = torch.randn(C - 1, W.shape[0], generator=generator).to(W)
        rows = torch.randn(C - 1, W.shape[1], generator=generator).to(W)
        scale = (W.norm() / (C * columns.norm(dim=1) * rows.norm(dim=1)))[:, None]
        rest = W - (columns * scale).T @ rows
        eye = torch.eye(len(rest), dtype=W.dtype, device=W.device)
        factors[name] = (torch.cat([columns * scale, eye]), torch.cat([rows, rest]))
        owners[name] = torch.cat([torch.arange(C - 1), torch.full((len(rest),), C - 1)])
    about = {"from": "random", "seed": seed}
    return Components(honest.network, factors, Always(), "arbitrary parts and the rest", about, owners)


class _OthersAlways(ByWeight):
    """The rule of the honest parts, and the two last parts always."""

    def __init__(self, honest: Reads) -> None:
        self.honest = honest

    def __call__(self, weight: str, inner: Tensor, read: Tensor | None = None) -> Tensor:
        """Inner activations [..., C + 2] to Boolean [..., C + 2]."""
        pair = torch.ones_like(inner[..., -2:], dtype=torch.bool)
        return torch.cat([self.honest(weight, inner[..., :-2], read), pair], dim=-1)

    def recipe(self) -> dict[str, object]:
        """The rule's name."""
        return {**self.honest.recipe(), "pair": "always"}


def cancelling_pair(honest: Components, seed: int = 0) -> Components:
    """The honest parts, one part that does something large, and one that undoes it."""
    if not isinstance(honest.importance, Reads):
        raise ExplanationError("cancelling pair: the honest parts have to be needed where they read")
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for name, (L, R) in honest.factors.items():
        column, row = (torch.randn(1, F.shape[1], generator=generator).to(F) for F in (L, R))
        factors[name] = (torch.cat([L, column, -column]), torch.cat([R, row, row]))
    rule = _OthersAlways(honest.importance)
    return Components(honest.network, factors, rule, "a cancelling pair", {"seed": seed})


def merged_mechanisms(network: Network, first: int = 0, second: int = 1) -> Components:
    """The planted parts of a toy model of superposition, two of them forced into one rank-1 part."""
    honest = planted_components(network)
    factors = {}
    for name, (L, R) in honest.factors.items():
        others = [i for i in range(len(L)) if i not in (first, second)]
        joined = [F[[first]] + F[[second]] for F in (L, R)]
        factors[name] = (torch.cat([L[others], joined[0]]), torch.cat([R[others], joined[1]]))
    about = {"merged": [first, second]}
    return Components(network, factors, honest.importance, "two mechanisms in one part", about)


def duplicated(sae: SAE) -> SAE:
    """Every feature twice, each copy with half the strength: the same reconstruction."""
    if sae.architecture not in ("standard", "topk") or sae.router is not None:
        raise ExplanationError(f"duplicated: copies in a {sae.architecture} SAE do not fire together")
    return replace(
        sae,
        W_enc=torch.cat([sae.W_enc, sae.W_enc], dim=1),
        W_dec=torch.cat([sae.W_dec, sae.W_dec]) / 2,
        b_enc=torch.cat([sae.b_enc, sae.b_enc]),
        k=None if sae.k is None else 2 * sae.k,
        about={**sae.about, "trap": "duplicated"},
    )


class SwappedAnswers(WholeNetwork):
    """False with perfect mean loss: each answer is what the network says of another datum of the same label.

    Cross-entropy against the labels is the same number, and 100 % of the loss is recovered.  The trap is
    given for nothing which datum to look at.
    """

    def __init__(self, network: Network, inputs: Tensor, labels: Tensor) -> None:
        super().__init__(network, "swapped answers")
        order = torch.argsort(labels, stable=True)
        partner = torch.arange(len(labels))
        for label in sorted(set(labels.tolist())):
            same = order[labels[order] == label]
            partner[same] = same.roll(1)
        self.inputs = inputs
        self._partner = {_key(row): int(i) for row, i in zip(inputs, partner, strict=True)}
        if len(self._partner) < len(inputs):
            raise ExplanationError("swapped answers: the data hold an input twice")

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """The network as it was sent, on other inputs."""
        others = torch.tensor([self._partner[_key(row)] for row in x])
        return super().predict(restored, self.inputs[others], active)


def _key(row: Tensor) -> bytes:
    return row.detach().cpu().contiguous().numpy().tobytes()
