"""Boxes of the search, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from assay.proofs.batch import BatchProgram
from assay.proofs.bounds import Bounds, Intervals
from assay.proofs.program import Affine
from assay.proofs.relaxation import Phase, phase_tensors
from torch import Tensor

from .branching import slacks
from .sharpening import open_units

EVERY = 3
"""The checker bounds a box before it is cut if its depth is a multiple of this (check.py)."""
FEW_UNSTABLE = 8


@dataclass(frozen=True)
class Region:
    """A box of the free variables, and ReLUs that are known to be on or off in it.

    `outer` are the intervals that the checker takes over: those of the nearest box around whose depth is a
    multiple of `EVERY`; None before there is one. `anew` leaves them aside for this box, as the checker does
    where it would fail otherwise.
    """

    lo: Tensor
    hi: Tensor
    phases: tuple[Phase, ...] = ()
    depth: int = 0
    outer: Intervals | None = None
    anew: bool = False

    @property
    def known(self) -> Intervals | None:
        """The intervals that its bounds start from."""
        return None if self.anew else self.outer


@dataclass(frozen=True)
class Batch:
    """Regions side by side, with their plain bounds."""

    regions: list[Region]
    bounds: Bounds

    @classmethod
    def of(cls, batch: BatchProgram, regions: list[Region]) -> Batch:
        """Put regions side by side; all of them have known intervals, or none."""
        lo, hi = torch.stack([r.lo for r in regions]), torch.stack([r.hi for r in regions])
        fixed = phase_tensors(batch, [r.phases for r in regions], lo.device)
        known = [r.known for r in regions]
        outer = {
            step: tuple(torch.stack([k[step][side] for k in known if k]) for side in (0, 1))
            for step in known[0] or {}
        }
        return cls(regions, Bounds(batch, lo, hi, fixed, outer))  # type: ignore[arg-type]

    @property
    def lo(self) -> Tensor:
        """Lower ends [boxes, free]."""
        return self.bounds.lo

    @property
    def hi(self) -> Tensor:
        """Upper ends [boxes, free]."""
        return self.bounds.hi

    @property
    def phases(self) -> list[tuple[Phase, ...]]:
        """Fixed phases of each region."""
        return [region.phases for region in self.regions]

    def rows(self, kept: list[int]) -> Batch:
        """Some of the regions."""
        return Batch([self.regions[k] for k in kept], self.bounds.rows(kept))

    def inside(self, k: int) -> Region:
        """What the parts of region `k` take over from it."""
        region = self.regions[k]
        outer = region.outer
        if region.depth % EVERY == 0 and not region.anew:
            outer = {
                step: (low[k], high[k])
                for step, (low, high) in self.bounds.intervals.items()
                if isinstance(self.bounds.batch.program.steps[step], Affine)
            }
        return replace(region, depth=region.depth + 1, outer=outer, anew=False)

    def phase_choices(self, aim: Callable[[Bounds], Tensor], most: int) -> list[tuple[int, int] | None]:
        """For each region with at most so many undecided ReLUs and jumps, the one whose slack weighs most."""
        count = open_units(self.bounds)
        best = torch.zeros(len(self.lo), dtype=self.lo.dtype)
        picks: list[tuple[int, int] | None] = [None] * len(self.lo)
        for step, slack in slacks(self.bounds, aim).items():
            width, unit = torch.where(self.bounds.relaxation(step).unstable, slack, -1.0).max(-1)
            for k in (width.cpu() > best).nonzero().flatten().tolist():
                best[k], picks[k] = float(width[k]), (step, int(unit[k]))
        return [pick if count[k] <= most else None for k, pick in enumerate(picks)]
