"""Who is needed: rules that say which components a datum needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from assay.explanations.rebuilt import positions
from torch import Tensor

if TYPE_CHECKING:
    from .decomposed import Components


class Importance(Protocol):
    """Which components a datum needs; the sender decides, and the receiver is told."""

    def flags(self, components: Components, x: Tensor) -> Tensor:
        """Inputs [data, …] to Boolean [data, positions, parts]."""

    def recipe(self) -> dict[str, object]:
        """How it decides."""


class ByWeight(ABC):
    """A rule that looks at one weight at a time, at what it reads in the network itself.

    A part with several rows (of higher rank, or over several weights) is needed where one of them is.
    """

    @abstractmethod
    def __call__(self, weight: str, inner: Tensor, read: Tensor | None = None) -> Tensor:
        """Inner activations [..., rows] and what the weight reads [..., d_in] to Boolean [..., rows]."""

    @abstractmethod
    def recipe(self) -> dict[str, object]:
        """How it decides."""

    def flags(self, components: Components, x: Tensor) -> Tensor:
        """Run the network once, ask for each weight, and join the rows of each part."""
        length = positions(components.network, x)
        needed = torch.zeros(len(x), length, components.parts_count, dtype=torch.bool, device=x.device)
        for name, f in components.watched(x).items():
            on = self(name, f.inner, f.uses[0].read)
            on = on if on.ndim == 3 else on[:, None].expand(-1, length, -1)
            counts = torch.zeros(needed.shape, device=on.device)
            counts.index_add_(-1, components.owners[name].to(on.device), on.to(counts))
            needed = needed.to(on.device) | (counts > 0)
        return needed


@dataclass(frozen=True)
class Always(ByWeight):
    """Everything is relevant."""

    def __call__(self, weight: str, inner: Tensor, read: Tensor | None = None) -> Tensor:
        """True."""
        return torch.ones_like(inner, dtype=torch.bool)

    def recipe(self) -> dict[str, object]:
        """The rule's name."""
        return {"active": "always"}


@dataclass(frozen=True)
class Reads(ByWeight):
    """A component is needed where what it reads exceeds ``threshold`` in magnitude."""

    threshold: float = 0.0

    def __call__(self, weight: str, inner: Tensor, read: Tensor | None = None) -> Tensor:
        """|inner| > threshold."""
        return inner.abs() > self.threshold

    def recipe(self) -> dict[str, object]:
        """The rule and its threshold."""
        return {"active": "reads", "threshold": self.threshold}
