"""Where to cut a box: by looking ahead at what the cut of each promising variable would be worth.

A certificate is checked at a price per leaf, which is far above what the search pays for a box. So the
search bounds the halves of a box along several variables before it decides (strong branching, Applegate et
al. 1995).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from assay.proofs.bounds import BatchProgram, Bounds
from assay.proofs.program import Relu
from assay.proofs.search import Search
from torch import Tensor

CANDIDATES = 3
WORTHWHILE = 0.3
"""Where looking ahead promises less than this share of the bound, the steepest variable is cut: one step
ahead cannot see that two cuts together help, and would go on cutting what hardly matters."""
Value = Callable[[Bounds], Tensor]
"""Upper bounds [boxes] of what must be negative."""


def variables(search: Search, bounds: Bounds, weight: Tensor, ahead: Value | None) -> Tensor:
    """The variable to cut, for each box.

    Args:
        bounds: of the boxes, with the intervals of all steps.
        weight: how fast the decisive bound changes along each variable [boxes, free].
        ahead: what the halves are valued by; None takes the variable that promises most.
    """
    width = bounds.hi - bounds.lo
    scope = (search.hi - search.lo).clamp(min=1e-300)
    promise = weight * width + 1e-9 * weight.amax(-1, keepdim=True) * width + 1e-12 * width / scope
    if ahead is None:
        return promise.argmax(-1)
    candidates = promise.topk(min(CANDIDATES, promise.shape[1]), -1).indices
    here = ahead(bounds).clamp(min=1e-300)
    halves = ahead(halved(search, bounds, candidates)).reshape(*candidates.shape, 2)
    gain = 2 * here[:, None] - halves.clamp(min=0).sum(-1)
    fits = (bounds.lo < bounds.hi).gather(1, candidates)
    most, best = torch.where(fits, gain, -torch.inf).max(-1)
    best = torch.where(most > WORTHWHILE * here, best, torch.zeros_like(best))
    return candidates.gather(1, best[:, None]).squeeze(1)


def halved(search: Search, bounds: Bounds, candidates: Tensor) -> Bounds:
    """Both halves of each box along each of its candidates [boxes, candidates], in this order."""
    boxes, count = candidates.shape
    lo, hi = (side[:, None].repeat(1, 2 * count, 1) for side in (bounds.lo, bounds.hi))
    at = middles(search, bounds.lo, bounds.hi).gather(1, candidates)
    step = search.whole[candidates].to(at.dtype)
    rows = torch.arange(boxes, device=lo.device)[:, None]
    places = torch.arange(count, device=lo.device)[None]
    hi[rows, 2 * places, candidates] = at
    lo[rows, 2 * places + 1, candidates] = torch.minimum(at + step, hi[rows, 2 * places + 1, candidates])
    many = torch.arange(boxes, device=lo.device).repeat_interleave(2 * count)
    outer = {k: (low[many], high[many]) for k, (low, high) in bounds.intervals.items()}
    phases = {k: fixed[many] for k, fixed in bounds.phases.items()}
    return Bounds(bounds.batch, lo.flatten(0, 1), hi.flatten(0, 1), phases, outer)


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
