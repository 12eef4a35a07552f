"""What the zoo holds for each of its networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assay.models.dataset import Dataset
from assay.models.network import Network
from torch.nn import functional as F

from .training import Progress

__all__ = ["Entry", "classified"]


@dataclass(frozen=True)
class Entry:
    """One network of the zoo: how it is trained, what it is tried on, and how well it does.

    ``train(seed, progress)`` is the shipped recipe, ``data(n, seed)`` draws fresh held-out data, ``measure``
    takes the figures that the card states on ``card_data`` of them, and ``recipe``
    says the recipe's constants for the card.
    """

    name: str
    about: str
    train: Callable[[int, Progress | None], Network]
    data: Callable[[int, int], Dataset]
    measure: Callable[[Network, Dataset], dict[str, float]]
    recipe: dict[str, Any]
    seed: int = 0
    card_data: int = 65_536


def classified(network: Network, dataset: Dataset) -> dict[str, float]:
    """How well labels are told: accuracy, and cross-entropy in bits."""
    assert dataset.labels is not None
    logits = network(dataset.inputs).cpu()
    right = (logits.argmax(-1) == dataset.labels).double().mean()
    bits = F.cross_entropy(logits, dataset.labels) / math.log(2)
    return {"accuracy": float(right), "cross_entropy_bits": float(bits)}
