"""Closing boxes that plain bounds leave open: case by case, with optimised slopes and multipliers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from assay.proofs.batch import Rows
from assay.proofs.bounds import Bounds
from assay.proofs.function_bounds import SLOPE_UNIT
from assay.proofs.linear_programs import Array, Duals, RegionProgram
from assay.proofs.program import Program
from assay.proofs.relaxation import Combination, Phase, Sharpened, relu_steps, sharpen
from torch import Tensor

from .alternatives import Case, Cases

STEPS = 12
"""Of gradient descent: a step costs what bounding a single unit costs."""
_TIE, _COARSE = 1e-7, 2.0**8
"""Below this a bound of a linear program may be 0, and the bits behind the point that are tried then."""


@dataclass
class Attempt:
    """Boxes after sharpening: which are closed, and the items that close each."""

    closed: list[bool]
    items: list[list[Any]]


def attempt(bounds: Bounds, cases: Cases, phases: list[tuple[Phase, ...]], exactly: list[bool]) -> Attempt:
    """Try to close boxes, case by case; `exactly` says for which of them by linear programs."""
    boxes = len(bounds.lo)
    if not boxes:
        return Attempt([], [])
    result = Attempt([True] * boxes, [[] for _ in range(boxes)])
    for case in cases.listed:
        rows = [k for k in range(boxes) if result.closed[k]]
        for k in rows:
            result.items[k] += case.head
        if rows:
            _one_case(bounds.rows(rows), case, [phases[k] for k in rows], rows, exactly, result)
    return result


def _one_case(
    bounds: Bounds,
    case: Case,
    phases: list[tuple[Phase, ...]],
    rows: list[int],
    exactly: list[bool],
    result: Attempt,
) -> None:
    if not case.own:
        for k in rows:
            result.closed[k] = False
        return
    forms = bounds.batch.rows([atom.form for _, atom in case.atoms])
    with torch.no_grad():
        top, slopes = bounds.upper(forms)
    reach = torch.maximum(bounds.lo.abs(), bounds.hi.abs())
    noise = 1e-12 * (forms.const.abs() + torch.einsum("brn,bn->br", slopes.abs(), reach) + 1e-30)
    plain = (top + noise < 0).any(-1)
    target = top[:, -case.own :].argmin(-1) + len(case.atoms) - case.own
    left = [k for k, row in enumerate(rows) if not bool(plain[k]) and not exactly[row]]
    left_phases = [phases[k] for k in left]
    sharp = sharpen(bounds.rows(left), forms, target[left], left_phases, STEPS) if left else None
    for k, row in enumerate(rows):
        if bool(plain[k]):
            result.items[row].append(0)
            continue
        if sharp is not None and not exactly[row]:
            found = _by_gradients(sharp, left.index(k))
        else:
            found = _by_duals(bounds, k, forms, phases[k], case.strict)
        if found is None:
            result.closed[row] = False
        else:
            parts = [part for part, _ in case.atoms]
            facts = [sign * bounds.batch.program.unit(bounds.source(step), i) for step, i, sign in phases[k]]
            result.items[row].append(leaf(*found, parts, facts, bounds.batch.program, _unstable(bounds, k)))


def open_units(bounds: Bounds) -> Tensor:
    """How many ReLUs of each box have no known sign [boxes]."""
    counts = [bounds.relaxation(step).unstable.sum(-1) for step in relu_steps(bounds.batch)]
    return torch.stack(counts).sum(0) if counts else torch.zeros(len(bounds.lo), device=bounds.lo.device)


def _unstable(bounds: Bounds, k: int) -> list[tuple[int, int, float]]:
    lines = {step: bounds.relaxation(step) for step in relu_steps(bounds.batch)}
    return [
        (step, i, float(line.down[k, i]))
        for step, line in lines.items()
        for i in line.unstable[k].nonzero().flatten().tolist()
    ]


def _by_gradients(sharp: Sharpened, k: int) -> tuple[Sharpened, int] | None:
    return (sharp, k) if float(sharp.top[k] + sharp.noise[k]) < 0 else None


def _by_duals(
    bounds: Bounds, k: int, forms: Rows, phases: tuple[Phase, ...], strict: tuple[bool, ...]
) -> tuple[Sharpened, int] | None:
    """Slopes and multipliers from a linear program of one region. Where its bound is 0, and that refutes a
    `strict` atom, they are rounded to few bits, and the checker is asked."""
    duals = RegionProgram(bounds, k, forms, phases).solve()
    if duals is None or duals.sigma >= (_TIE if any(strict) else 0):
        return None
    first = torch.zeros(1, dtype=torch.long, device=bounds.lo.device)
    combination = Combination(bounds.rows([k]), forms, first, [phases])
    fine = _combined(combination, duals, 2.0**32, SLOPE_UNIT)
    if duals.sigma < 0 and float(fine.top + fine.noise) < 0:
        return fine, 0
    if not any(strict) or duals.sigma < -_TIE:
        return None
    for bounded in ((True,) * len(strict), strict):
        hard = RegionProgram(bounds, k, forms, phases).solve(bounded)
        if hard is not None and hard.atoms[list(strict)].any():
            found = _combined(combination, hard, _COARSE, _COARSE)
            return (found, 0) if float(found.top) <= float(found.noise) else None
    return None


def _combined(combination: Combination, duals: Duals, grain: float, steps: float) -> Sharpened:
    """What duals are worth with mantissas of multipliers in multiples of 1 / grain, slopes of 1 / steps."""
    device = combination.lo.device
    scale = max(duals.atoms.max(initial=0.0), duals.phases.max(initial=0.0), 1e-300)
    weights, phase_weights = (
        torch.as_tensor(_on_grid(w / scale, grain), device=device)[None] for w in (duals.atoms, duals.phases)
    )
    slopes = {
        step: torch.as_tensor(np.round(a * steps) / steps, device=device)[None]
        for step, a in duals.slopes.items()
    }
    return combination.evaluated(slopes, weights, phase_weights)


def _on_grid(weights: Array, grain: float) -> Array:
    """Few bits for the certificate: so many of each, nothing of what is next to nothing."""
    mantissas, exponents = np.frexp(weights)
    rounded: Array = np.ldexp(np.round(mantissas * grain) / grain, exponents)
    return np.where(weights > max(2.0**-60, 2.0**-28 / grain), rounded, 0.0)


def leaf(
    sharp: Sharpened,
    k: int,
    parts: list[int],
    facts: list[int],
    program: Program,
    unstable: list[tuple[int, int, float]],
) -> dict[str, Any]:
    """What the checker needs to close box `k`: `parts` number its atoms, `facts` its phases.

    `unstable` are the open ReLUs (step, unit) with their usual lower slopes, which need not be told.
    """
    slopes = []
    for step, i, usual in unstable:
        if step in sharp.slopes and (a := float(sharp.slopes[step][k, i])) != usual:
            slopes.append([program.unit(step, i), int(a * SLOPE_UNIT)])
    of_parts, of_facts = (
        [[number, str(Fraction(w))] for number, w in zip(numbers, weights[k].tolist(), strict=False) if w > 0]
        for numbers, weights in ((parts, sharp.multipliers), (facts, sharp.phase_multipliers))
    )
    return {"slopes": slopes, "sum": of_parts, "cuts": of_facts}
