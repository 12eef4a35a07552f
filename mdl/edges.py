"""Sets of edges between nodes that have a place: which layer, which head.

Nodes are numbered; a place (layer, head) says where a node stands in a table with one axis for each level.
Edges [sources, targets] become a mask over both tables, [*levels of sources, *levels of targets], that can be
told level by level: which layers send at all, which of their heads, to which layers and heads. Places without
a node, and edges that cannot be, cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .part_tensors import PartError, PartTensor, one_part

Place = tuple[int, ...]


@dataclass(frozen=True)
class EdgeSpace:
    """The places of sources and targets, and which edges [sources, targets] can be (all, if None).

    Raises :class:`PartError` where two nodes share a place or have places of unlike length.
    """

    sources: tuple[Place, ...]
    targets: tuple[Place, ...]
    exists: Tensor | None = None

    def __post_init__(self) -> None:
        for side, places in (("sources", self.sources), ("targets", self.targets)):
            if len({len(place) for place in places}) != 1 or min(map(min, places)) < 0:
                raise PartError(f"{side}: every place is as many numbers >= 0 as there are levels")
            if len(set(places)) < len(places):
                raise PartError(f"{side}: {len(places)} nodes stand at {len(set(places))} places")
        if self.exists is not None and tuple(self.exists.shape) != self.shape:
            raise PartError(f"exists is {tuple(self.exists.shape)}, expected {self.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """(sources, targets)."""
        return len(self.sources), len(self.targets)

    def part(self, name: str, edges: Tensor, owner: int) -> PartTensor:
        """The edges [sources, targets] that are kept, as structure that belongs to one part."""
        if edges.dtype != torch.bool or tuple(edges.shape) != self.shape:
            got = f"{edges.dtype} {tuple(edges.shape)}"
            raise PartError(f"{name}: edges are {got}, expected torch.bool {self.shape}")
        return one_part(name, self.fold(edges), owner, allowed=self._allowed)

    def fold(self, edges: Tensor) -> Tensor:
        """Edges [sources, targets] at their places [*levels of sources, *levels of targets]."""
        table = edges.new_zeros(self._table)
        table[self._places] = edges.flatten()
        return table

    def unfold(self, table: Tensor) -> Tensor:
        """The edges [sources, targets] in a table of places."""
        return table[self._places].reshape(self.shape)

    @cached_property
    def _allowed(self) -> Tensor:
        exists = torch.ones(self.shape, dtype=torch.bool) if self.exists is None else self.exists.bool().cpu()
        return self.fold(exists)

    @property
    def _table(self) -> tuple[int, ...]:
        return (*_sizes(self.sources), *_sizes(self.targets))

    @cached_property
    def _places(self) -> tuple[Tensor, ...]:
        """For each axis of the table, the index of every pair of a source and a target."""
        sources, targets = torch.tensor(self.sources), torch.tensor(self.targets)
        pairs = [column.repeat_interleave(len(targets)) for column in sources.T]
        return (*pairs, *(column.repeat(len(sources)) for column in targets.T))


def _sizes(places: Sequence[Place]) -> tuple[int, ...]:
    return tuple(max(level) + 1 for level in zip(*places, strict=True))
