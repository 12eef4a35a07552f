"""Counterexamples of several conditions at once: one point, moved by a sequence of linear programs.

Gradient ascent follows the condition that fails most, and goes to and fro where several meet. Here all of
them are taken together: the point goes where their linear forms, within a trust region, leave the most room
(successive linear programming; Fletcher and Sainz de la Maza 1989).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import torch
from assay.proofs.formulas import Atom, Both, Formula
from assay.proofs.search import Search, fuzzy
from torch import Tensor

STEPS = 12
_FIRST, _LEAST = 0.1, 1e-9
"""The first and the least radius of trust, as shares of the box."""
_GROW, _SHRINK = 2.0, 0.25
Array = np.ndarray[Any, np.dtype[np.float64]]


def several(search: Search) -> bool:
    """Whether a counterexample has to meet several conditions."""
    return _most(search.obligation.counterexample) > 1


def polished(search: Search, point: Tensor, steps: int = STEPS) -> Tensor:
    """A point [free] of the box with at least as much room as `point`; whole numbers stay as they are."""
    radius, width = _FIRST, search.hi - search.lo
    width = torch.where(search.whole, 0.0, width)
    worth, values, slopes = _linear(search, point)
    for _ in range(steps):
        if not len(values) or radius < _LEAST:
            break
        lo = torch.maximum(search.lo - point, -radius * width).clamp(max=0)
        hi = torch.minimum(search.hi - point, radius * width).clamp(min=0)
        step = _step(*(side.cpu().numpy() for side in (values, slopes, lo, hi)))
        moved = point + torch.from_numpy(step).to(point.device)
        moved = torch.minimum(torch.maximum(moved, search.lo), search.hi)
        new = _linear(search, moved)
        if new[0] > worth:
            point, (worth, values, slopes) = moved, new
            radius = min(_GROW * radius, 1.0)
        else:
            radius *= _SHRINK
    return point


def _linear(search: Search, point: Tensor) -> tuple[float, Tensor, Tensor]:
    """The score at a point; the values [atoms] and gradients [atoms, free] of what a counterexample there
    would meet."""
    moving = point.detach()[None].requires_grad_(True)
    with torch.enable_grad():
        values = search.values(moving)[0]
    chosen = values[_chosen(search.obligation.counterexample, values.tolist())]
    rows = [
        torch.autograd.grad(value, moving, retain_graph=True, materialize_grads=True)[0][0]
        if value.requires_grad
        else torch.zeros_like(point)
        for value in chosen
    ]
    slopes = torch.stack(rows) if rows else point.new_empty(0, len(point))
    worth = fuzzy(search.obligation.counterexample, values.detach()[None])
    return float(worth[0]), chosen.detach(), slopes


def _step(values: Array, slopes: Array, lo: Array, hi: Array) -> Array:
    """Within lo and hi, where the least of values + slopes · step is largest."""
    from scipy.optimize import linprog

    n = len(lo)
    rows = np.hstack([-slopes, np.ones((len(slopes), 1))])
    cost = np.append(np.zeros(n), -1.0)
    ends = [*zip(lo, hi, strict=True), (None, None)]
    found = linprog(cost, rows, values, bounds=ends, method="highs")
    return np.asarray(found.x[:n]) if found.status == 0 else np.zeros(n)


def _chosen(formula: Formula, values: list[float]) -> list[int]:
    """Numbers of the atoms that a counterexample here would meet: of a disjunction those of its best part."""
    numbers = count()

    def read(part: Formula) -> tuple[float, list[int]]:
        if isinstance(part, Atom):
            number = next(numbers)
            return values[number], [number]
        parts = [read(inner) for inner in part.parts]
        if isinstance(part, Both):
            return min((v for v, _ in parts), default=np.inf), [n for _, found in parts for n in found]
        return max(parts, key=lambda found: found[0], default=(-np.inf, []))

    return read(formula)[1]


def _most(formula: Formula) -> int:
    """How many atoms a counterexample has to meet at most."""
    if isinstance(formula, Atom):
        return 1
    parts: Iterator[int] = map(_most, formula.parts)
    return sum(parts) if isinstance(formula, Both) else max(parts, default=0)
