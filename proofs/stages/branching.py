"""Where to cut a box: along the variable whose ends the bound hangs on the most.

A certificate is checked at a price per leaf, which is far above what the search pays for a box. So the search
differentiates the bound of a box by the ends of its sides, through the bounds of all units on the way: to
first order this says what the cut of each variable is worth. How steep the bound itself is along a variable
says little where most of it is slack of the relaxation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from assay.proofs.batch import BatchProgram, Rows
from assay.proofs.bounds import Bounds
from assay.proofs.formulas import Formula, atoms
from assay.proofs.lines import Lines
from assay.proofs.program import Relu
from assay.proofs.relaxation import relu_steps
from assay.proofs.search import Search, fuzzy
from torch import Tensor

_EDGE = 1e-6
"""The share of an atom's range below 0 that counts for nothing: the end of a scope, rounded outward."""


class Aim:
    """What cuts are to bring down, [boxes]: how far a formula is from being refuted.

    An atom counts by the share of its range that lies above 0, so that atoms in different units compare; one
    that holds on all of a box is out of the question. A conjunction is as far as its nearest part, a
    disjunction as far as all of its parts together.
    """

    def __init__(self, formula: Formula, batch: BatchProgram) -> None:
        self.formula = formula
        self.rows = batch.rows([atom.form for atom in atoms(formula)])
        self.opposite = Rows({s: -c for s, c in self.rows.coefficients.items()}, -self.rows.const)

    def __call__(self, bounds: Bounds) -> Tensor:
        """How far, of each box."""
        return self.distance(self.shares(bounds)[0])

    def shares(self, bounds: Bounds) -> tuple[Tensor, Tensor]:
        """The share of each atom [boxes, atoms], and how it changes along the variables [.., free]."""
        top, slopes = bounds.upper(self.rows)
        with torch.no_grad():
            bottom = -bounds.upper(self.opposite)[0]
            spread = (top - bottom).clamp(min=1e-300)
        holds = bottom >= -_EDGE * spread
        return torch.where(holds, torch.inf, top / spread), slopes.detach() / spread[..., None]

    def distance(self, shares: Tensor) -> Tensor:
        """Of the formula, from those of its atoms."""
        return fuzzy(self.formula, shares, lambda parts: parts.clamp(min=0).sum(-1))

    def steepness(self, bounds: Bounds) -> Tensor:
        """How fast the atom that is nearest to being refuted changes along each variable [boxes, free]."""
        shares, slopes = self.shares(bounds)
        nearest = torch.where(shares > 0, shares, torch.inf).argmin(-1)
        return slopes[torch.arange(len(nearest)), nearest].abs()


def variables(search: Search, bounds: Bounds, aim: Aim, few: bool) -> Tensor:
    """The variable to cut, for each box; with more than a `few` the one along which the bound is steepest."""
    width = bounds.hi - bounds.lo
    steep = aim.steepness(bounds) * width
    promise = sensitivity(bounds, aim).clamp(min=0) + 1e-6 * steep if few else steep
    scope = (search.hi - search.lo).clamp(min=1e-300)
    promise = promise + 1e-9 * promise.amax(-1, keepdim=True) * width / scope + 1e-12 * width / scope
    return promise.masked_fill(width <= 0, -torch.inf).argmax(-1)


def sensitivity(bounds: Bounds, aim: Callable[[Bounds], Tensor]) -> Tensor:
    """By how much [boxes, free] the aim would fall if each side shrank to nothing from both ends."""
    with torch.enable_grad():
        lo, hi = (side.clone().requires_grad_(True) for side in (bounds.lo, bounds.hi))
        value = aim(_Smooth(bounds.batch, lo, hi, bounds.phases, bounds.outer))
        if not value.requires_grad:  # a constant
            return torch.zeros_like(bounds.lo)
        down, up = torch.autograd.grad(value[value.isfinite()].sum(), (lo, hi))
    return (up - down) * (bounds.hi - bounds.lo)


_BELOW, _LITTLE = 1e-3, 1e-6
"""The share that a lower line counts for, since its slope is chosen well; and the least weight: what reads an
interval has no slope."""


def slacks(bounds: Bounds, aim: Callable[[Bounds], Tensor]) -> dict[int, Tensor]:
    """By how much [boxes, size] the aim would fall if the lines of each ReLU and jump met: their distance,
    times the weight that they have in the bound."""
    part, ends = bounds.rows(range(len(bounds.lo))), list[Tensor]()
    loose = {s: lines for s in relu_steps(bounds.batch) if (lines := bounds.relaxation(s)).unstable.any()}
    with torch.enable_grad():
        for step, lines in loose.items():
            base = torch.zeros_like(lines.up) if lines.base is None else lines.base
            ends += [lines.intercept.clone().requires_grad_(True), base.clone().requires_grad_(True)]
            part.lines[step] = replace(lines, intercept=ends[-2], base=ends[-1])
        value = aim(part)
        total = value[value.isfinite()].sum()
        if not ends or not total.requires_grad:
            return {step: lines.intercept for step, lines in loose.items()}
        weights = torch.autograd.grad(total, ends, materialize_grads=True)
    return {
        step: lines.intercept * (above + _BELOW * below.abs() + _LITTLE)
        for (step, lines), above, below in zip(loose.items(), weights[::2], weights[1::2], strict=True)
    }


class _Smooth(Bounds):
    """Bounds whose upper lines are not rounded to the checker's grid, and have derivatives."""

    def relaxation(self, step: int) -> Lines:
        if step not in self.lines:
            lines = super().relaxation(step)
            low, high = self.interval(self.source(step))
            width = torch.where(lines.unstable, high - low, torch.ones_like(low))
            up = torch.where(lines.unstable, high / width, lines.up)
            intercept = torch.where(lines.unstable, -up * low, lines.intercept)
            self.lines[step] = Lines(lines.down, up, intercept, lines.unstable, lines.base)
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
