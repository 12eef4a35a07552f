"""Attributions: how APD says which components a datum needs (Braun et al. 2025, arXiv 2501.14926).

A batch top-k of an APD run depends on its batch. Here the batch is the whole of the data, told as one
threshold, so that nothing depends on how the data are cut up afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import positions
from torch import Tensor

if TYPE_CHECKING:
    from .decomposed import Components

Kind = Literal["gradient", "ablation", "activation"]
BATCH = 64


@dataclass(frozen=True)
class Attributions:
    """Components whose attribution exceeds ``threshold``, or the ``k`` largest on each datum."""

    kind: Kind
    threshold: float = 0.0
    k: int | None = None

    @classmethod
    def fit(cls, kind: str, topk: float, components: Components, x: Tensor) -> Attributions:
        """The threshold above which lie ``topk`` components per datum of ``x``, on average."""
        if kind not in get_args(Kind):
            raise ExplanationError(f"unknown attributions {kind!r}; known: {', '.join(get_args(Kind))}")
        rule = cls(kind)  # type: ignore[arg-type]
        scores = torch.cat([rule.scores(components, x[i : i + BATCH]) for i in range(0, len(x), BATCH)])
        ordered = scores.flatten().sort(descending=True).values
        kept = min(int(topk * len(x)), len(ordered))
        if kept == len(ordered):
            return cls(rule.kind, -1.0)
        low = float(ordered[kept])
        return cls(rule.kind, (low + float(ordered[kept - 1])) / 2 if kept else low)

    def flags(self, components: Components, x: Tensor) -> Tensor:
        """The rule's verdict: Boolean [data, 1, parts]."""
        scores = self.scores(components, x)
        if self.k is None:
            return (scores > self.threshold)[:, None]
        chosen = torch.zeros_like(scores, dtype=torch.bool)
        return chosen.scatter_(1, scores.topk(min(self.k, scores.shape[1])).indices, True)[:, None]

    def scores(self, components: Components, x: Tensor) -> Tensor:
        """Attributions [data, parts].  Raises :class:`ExplanationError` for a network with positions."""
        if positions(components.network, x) != 1 or components.network.input == "token":
            raise ExplanationError("attributions of components are for networks without positions")
        by = {"gradient": _gradient, "ablation": _ablation, "activation": _activation}
        return by[self.kind](components, x)

    def recipe(self) -> dict[str, object]:
        """The rule."""
        how = {"k": self.k} if self.k is not None else {"threshold": self.threshold}
        return {"active": "attributions", "attribution": self.kind, **how}


def _everything(components: Components, x: Tensor) -> Tensor:
    network = components.network
    return torch.ones(len(x), components.parts_count, dtype=network.dtype, device=network.device)


def _gradient(components: Components, x: Tensor) -> Tensor:
    """Σ_o (∂y_o/∂m_c)² at masks m = 1: to first order what each output owes to the component."""
    with torch.enable_grad():
        masks = _everything(components, x).requires_grad_()
        outputs = components.run(x, masks).flatten(1)
        total = torch.zeros_like(masks)
        for column in outputs.T:
            total = total + torch.autograd.grad(column.sum(), masks, retain_graph=True)[0] ** 2
    return total.detach()


def _ablation(components: Components, x: Tensor) -> Tensor:
    """Mean squared change of the outputs without the component."""
    masks = _everything(components, x)
    truth, found = components.run(x, masks), []
    for part in range(components.parts_count):
        off = masks.clone()
        off[:, part] = 0
        found.append((components.run(x, off) - truth).square().flatten(1).mean(1))
    return torch.stack(found, 1)


def _activation(components: Components, x: Tensor) -> Tensor:
    """Squared length of what the component writes, over all weights."""
    total = _everything(components, x) * 0
    for name, f in components.watched(x).items():
        owners = components.owners[name].to(total.device)
        for use in f.uses:
            written = torch.zeros(len(x), components.parts_count, use.writes.shape[1]).to(total)
            written.index_add_(1, owners, use.inner[..., None] * use.writes)
            total = total + written.square().sum(-1)
    return total
