"""Looking for a counterexample: corners, samples, gradient ascent, linear programs, then rounding inward."""

from __future__ import annotations

import itertools

import torch
from assay.proofs.search import Search, near
from assay.proofs.verdicts import Witness
from torch import Tensor

from .polishing import polished, several

NAME = "falsification"
STARTS, STEPS = 16, 12
"""Of a first look: it finds nearly as much as a thorough one, at a fifth of the price."""
THOROUGH_STARTS, THOROUGH_STEPS = 256, 40
_SAMPLES = 256
_POLISHED = 1 / 8
"""The share of starts that are polished where a counterexample has to meet several conditions."""
_FIRST, _SHRINK = 0.3, 1 / 600
"""The first step of an ascent, as a share of the box, and what a last one would be of it."""


def falsify(search: Search, starts: int = STARTS, steps: int = STEPS) -> Witness | None:
    """A replayed counterexample, or None where the search finds none; the best `starts` points climb."""
    points = torch.cat([corners(search), samples(search)])
    if (found := _first(search, points)) is not None or search.deadline.over:
        return found
    points = climbed(search, points, starts, steps)
    if (found := _first(search, points)) is not None or not several(search) or bool(search.whole.all()):
        return found
    best = points[search.score(points).argsort(descending=True)[: max(1, round(starts * _POLISHED))]]
    for point in best:
        found = _first(search, polished(search, point)[None])
        if found is not None or search.deadline.over:
            return found
    return None


def _first(search: Search, points: Tensor) -> Witness | None:
    """A counterexample among those of some points that may be one."""
    score = search.score(points, settled=bool(search.whole.all()))
    order = score.argsort(descending=True)[:16]
    return search.witness(points[order[near(score[order])]])


def corners(search: Search) -> Tensor:
    """The middle and up to 256 corners of the box."""
    n = len(search.lo)
    chosen = list(itertools.islice(itertools.product((0.0, 1.0), repeat=min(n, 8)), 256))
    mix = torch.tensor(chosen, dtype=torch.float64, device=search.lo.device)
    mix = mix[:, torch.arange(n, device=mix.device) % mix.shape[1]] if n else mix[:, :0]
    mix = torch.cat([mix, torch.full((1, n), 0.5, dtype=torch.float64, device=mix.device)])
    return _whole(search, search.lo + mix * (search.hi - search.lo))


def samples(search: Search) -> Tensor:
    """Uniform points of the box, and points near its faces."""
    generator = torch.Generator().manual_seed(search.seed)
    mix = torch.rand(_SAMPLES, len(search.lo), generator=generator, dtype=torch.float64)
    extreme = torch.rand(_SAMPLES, len(search.lo), generator=generator, dtype=torch.float64)
    mix[_SAMPLES // 2 :] = torch.where(
        extreme[_SAMPLES // 2 :] < 0.5, mix[_SAMPLES // 2 :].round(), mix[_SAMPLES // 2 :]
    )
    return _whole(search, search.lo + mix.to(search.lo.device) * (search.hi - search.lo))


def climbed(search: Search, points: Tensor, starts: int, steps: int) -> Tensor:
    """The best of the points, after gradient ascent in the whole box."""
    best = points[search.score(points).argsort(descending=True)[:starts]]
    return _whole(search, ascended(search, best, search.lo, search.hi, steps))


def ascended(search: Search, points: Tensor, lo: Tensor, hi: Tensor, steps: int) -> Tensor:
    """Points after projected gradient ascent of the score within boxes, with steps that shrink."""
    best = points
    value, gradient = _slope(search, best)
    for k in range(steps):
        step = _FIRST * _SHRINK ** (k / steps) * (hi - lo) * gradient.sign()
        moved = torch.minimum(torch.maximum(best + step, lo), hi)
        new, there = _slope(search, moved)
        better = (new > value)[:, None]
        best, gradient = torch.where(better, moved, best), torch.where(better, there, gradient)
        value = torch.maximum(new, value)
    return best


def _slope(search: Search, points: Tensor) -> tuple[Tensor, Tensor]:
    """The score of points, and its gradients."""
    moving = points.detach().requires_grad_(True)
    with torch.enable_grad():
        score = search.score(moving)
    if not score.requires_grad:  # nothing that is claimed depends on the inputs
        return score, torch.zeros_like(points)
    (gradient,) = torch.autograd.grad(score.sum(), moving, materialize_grads=True)
    return score.detach(), gradient


def _whole(search: Search, points: Tensor) -> Tensor:
    return torch.where(search.whole, points.round(), points)
