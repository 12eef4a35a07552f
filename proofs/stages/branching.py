"""Where to cut a box: along the variable whose ends the bound hangs on the most.

A certificate is checked at a price per leaf, which is far above what the search pays for a box. So the search
differentiates the bound of a box by the ends of its sides, through the bounds of all units on the way: to
first order this says what the cut of each variable is worth. How steep the bound itself is along a variable
says little where most of it is slack of the relaxation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from assay.proofs.bounds import BatchProgram, Bounds, Lines
from assay.proofs.program import Relu
from assay.proofs.search import Search
from torch import Tensor

Value = Callable[[Bounds], Tensor]
"""Upper bounds [boxes] of what must be negative."""


def variables(search: Search, bounds: Bounds, weight: Tensor, value: Value | None) -> Tensor:
    """The variable to cut, for each box.

    Args:
        bounds: of the boxes.
        weight: how fast the decisive bound changes along each variable [boxes, free].
        value: what is to fall; None takes the variable along which `weight` promises most.
    """
    width = bounds.hi - bounds.lo
    scope = (search.hi - search.lo).clamp(min=1e-300)
    steep = weight * width
    promise = steep if value is None else sensitivity(bounds, value).clamp(min=0) + 1e-6 * steep
    promise = promise + 1e-9 * weight.amax(-1, keepdim=True) * width + 1e-12 * width / scope
    return promise.masked_fill(width <= 0, -torch.inf).argmax(-1)


def sensitivity(bounds: Bounds, value: Value) -> Tensor:
    """By how much [boxes, free] the value would fall if each side shrank to nothing from both ends."""
    with torch.enable_grad():
        lo, hi = (side.clone().requires_grad_(True) for side in (bounds.lo, bounds.hi))
        total = value(_Smooth(bounds.batch, lo, hi, bounds.phases, bounds.outer)).sum()
        if not total.requires_grad:  # a constant
            return torch.zeros_like(bounds.lo)
        down, up = torch.autograd.grad(total, (lo, hi))
    return (up - down) * (bounds.hi - bounds.lo)


class _Smooth(Bounds):
    """Bounds whose upper lines are not rounded to the checker's grid, and have derivatives."""

    def relaxation(self, step: int) -> Lines:
        if step not in self.lines:
            lines = super().relaxation(step)
            low, high = self.interval(self.source(step))
            width = torch.where(lines.unstable, high - low, torch.ones_like(low))
            up = torch.where(lines.unstable, high / width, lines.up)
            intercept = torch.where(lines.unstable, -up * low, lines.intercept)
            self.lines[step] = Lines(lines.down, up, intercept, lines.unstable)
        return self.lines[step]


def middles(search: Search, lo: Tensor, hi: Tensor) -> Tensor:
    """The middle of each side, rounded down where it is whole; elsewhere to a number of few bits."""
    middle = (lo + hi) / 2
    grid = (((hi - lo) / 16).clamp(min=1e-300).log2().floor()).exp2()
    return torch.where(search.whole, middle.floor(), (middle / grid).round() * grid)


def breakpoints(batch: BatchProgram, low: Tensor, high: Tensor, middle: Tensor) -> Tensor:
    """A zero inside (low, high) of a ReLU whose inputs are affine there, the one nearest the middle; else
    the middle.

    Up to the first step whose ReLUs change sign, values are affine between the ends, so the zero is where the
    chord crosses.
    """
    at_low, at_high = batch.forward(low[:, None]), batch.forward(high[:, None])
    found, done = middle.clone(), torch.zeros_like(middle, dtype=torch.bool)
    for step in batch.program.steps:
        if not isinstance(step, Relu):
            continue
        a, b = at_low[step.source], at_high[step.source]
        zero = low[:, None] - a * (high - low)[:, None] / torch.where(a == b, torch.ones_like(a), b - a)
        inside = (a * b < 0) & (zero > low[:, None]) & (zero < high[:, None])
        distance = torch.where(inside, (zero - middle[:, None]).abs(), torch.full_like(zero, torch.inf))
        nearest = distance.argmin(-1, keepdim=True)
        hit = inside.any(-1) & ~done
        found = torch.where(hit, zero.gather(-1, nearest).squeeze(-1), found)
        done |= hit
    return found
