"""What parts do together: integer tallies of parts that fire on the same row, and of parts that stay active.

These are what the codes that know dependence are functions of (:mod:`dependence`); like every tally they add.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .tally import Ints, Usage

FEW_PARTS = 512  # so many parts are paired off by one dense product
MOST_PARTS = 4096  # more are not paired off at all
MOST_PAIRS = 4096  # nor are rows with more pairs than this, on average


@dataclass(frozen=True, eq=False)
class Joint:
    """Over rows in data of so many ``positions``: what is active together, and one after the other.

    ``before`` [parts]: on how many rows a part was active on the row before, in the same datum; ``stays``
    [parts]: on how many of these it is active again; ``pairs``: a sparse matrix [parts, parts] of the rows on
    which i < j are both active, or None where they were not counted.
    """

    positions: int
    before: Ints
    stays: Ints
    pairs: Any = None

    def __add__(self, other: Joint) -> Joint:
        if (self.positions, self.pairs is None) != (other.positions, other.pairs is None):
            raise ValueError(
                f"tallies over {self.positions} and {other.positions} positions, or with and without pairs, "
                "do not add"
            )
        pairs = None if self.pairs is None else self.pairs + other.pairs
        return Joint(self.positions, self.before + other.before, self.stays + other.stays, pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Joint) or (self.pairs is None) != (other.pairs is None):
            return False
        alike = self.positions == other.positions and np.array_equal(self.before, other.before)
        alike = alike and np.array_equal(self.stays, other.stays)
        return alike and (self.pairs is None or (self.pairs != other.pairs).nnz == 0)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Together:
    """What to count: over data of so many ``positions``, with or without ``pairs`` of parts."""

    positions: int = 1
    pairs: bool = False

    @classmethod
    def worth_counting(cls, positions: int, usage: Usage) -> Together:
        """Pairs only where that is cheap, judged by a first shard; elsewhere a few bits are lost."""
        square = float((usage.sizes.symbols**2 * usage.sizes.counts).sum()) / max(usage.n, 1)
        few = 1 < usage.parts <= FEW_PARTS
        return cls(positions, few or (usage.parts <= MOST_PARTS and square <= 2 * MOST_PAIRS))

    def usage(self, active: Tensor) -> Usage:
        """The tally of a Boolean tensor [rows, parts]."""
        alone = Usage.of(active)
        row, part = active.nonzero(as_tuple=True)
        return replace(alone, joint=self.tally(row, part, *active.shape))

    def tally(self, row: Tensor, part: Tensor, rows: int, parts: int) -> Joint:
        """Of active parts, given as ascending rows and the part on each; row 0 begins a datum."""
        before, stays = _past(row, part, rows, parts, self.positions)
        return Joint(self.positions, before, stays, _pairs(row, part, rows, parts) if self.pairs else None)


def _past(row: Tensor, part: Tensor, rows: int, parts: int, positions: int) -> tuple[Ints, Ints]:
    """How often each part was active on the row before of the same datum, and stayed so."""
    if positions == 1:
        return np.zeros(parts, dtype=np.int64), np.zeros(parts, dtype=np.int64)
    here, place = row % positions, row * parts + part
    goes_on = (here < positions - 1) & (row < rows - 1)
    stays = torch.isin(place[here > 0] - parts, place, assume_unique=True)
    before = part[goes_on].bincount(minlength=parts)
    return before.cpu().numpy(), part[here > 0][stays].bincount(minlength=parts).cpu().numpy()


def _pairs(row: Tensor, part: Tensor, rows: int, parts: int) -> Any:
    """How often i < j are active on the same row, as a sparse matrix of integers."""
    from scipy.sparse import csr_array, triu

    if parts <= FEW_PARTS:
        active = torch.zeros(rows, parts, device=row.device)  # sums below 2²⁴ are exact in float32
        active[row, part] = 1.0
        counts = (active.T @ active).triu(1).round().long().cpu().numpy()
        return csr_array(counts)
    entries = np.ones(len(row), dtype=np.int64)
    sparse = csr_array((entries, (row.cpu().numpy(), part.cpu().numpy())), shape=(rows, parts))
    return csr_array(triu(sparse.T @ sparse, k=1))
