"""What the zoo holds for each of its networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from assay.models.dataset import Dataset
from assay.models.network import Network

from .training import Progress

__all__ = ["Entry"]


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
