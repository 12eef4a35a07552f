"""Optimised linear bounds: lower slopes of ReLUs, multipliers of conditions, multipliers of fixed phases.

Any slope in [0, 1] and any multiplier ≥ 0 is sound (α,β-CROWN: Xu et al. 2021, Wang et al. 2021), so that
gradients may look for good ones and the checker need only use them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .ascent import Adam
from .batch import BatchProgram, Rows
from .bounds import Bounds
from .function_bounds import SLOPE_UNIT
from .program import Relu

_STEPS = 40
_RATE = 0.25
_DECAY = 0.05
"""The rate of the last step, as a share of that of the first."""
_FAR = (1 / 16, 1 / 4, 1 / 2, 3 / 4, 1)
"""How far a slope must lie from the usual one to be told."""
Phase = tuple[int, int, int]
"""A ReLU step, a unit of it, and 1 (on) or -1 (off)."""


@dataclass
class Sharpened:
    """Bounds [boxes] of the best combination found, and what makes them.

    Attributes:
        slopes: per ReLU step its lower slopes [boxes, size], whole multiples of 2⁻¹⁶.
        multipliers: of the atoms [boxes, atoms], in units of 2⁻²⁰ of the target's scale.
        phase_multipliers: of the phases of each box [boxes, most phases of a box].
    """

    top: Tensor
    noise: Tensor
    slopes: dict[int, Tensor]
    multipliers: Tensor
    phase_multipliers: Tensor

    def where_closed(self, other: Sharpened) -> Sharpened:
        """This on boxes that it closes, on others the other."""
        mine = self.top + self.noise < 0

        def chosen(one: Tensor, two: Tensor) -> Tensor:
            return torch.where(mine if one.ndim == 1 else mine[:, None], one, two)

        return Sharpened(
            chosen(self.top, other.top),
            chosen(self.noise, other.noise),
            {step: chosen(slopes, other.slopes[step]) for step, slopes in self.slopes.items()},
            chosen(self.multipliers, other.multipliers),
            chosen(self.phase_multipliers, other.phase_multipliers),
        )


def phase_tensors(
    batch: BatchProgram, phases: list[tuple[Phase, ...]], device: torch.device
) -> dict[int, Tensor]:
    """Phases of each box as tensors [boxes, size] of -1, 0, 1 per ReLU step."""
    tensors: dict[int, Tensor] = {}
    for row, fixed in enumerate(phases):
        for step, i, sign in fixed:
            if step not in tensors:
                tensors[step] = torch.zeros(len(phases), batch.program.size(step), device=device)
            tensors[step][row, i] = sign
    return tensors


def sharpen(
    bounds: Bounds, rows: Rows, target: Tensor, phases: list[tuple[Phase, ...]], steps: int = _STEPS
) -> Sharpened:
    """Minimise, per box, the upper bound of atom `target` [boxes] plus multiples of atoms and phases."""
    problem = Combination(bounds, rows, target, phases)
    parameters = problem.start()
    optimiser = Adam(parameters)
    best_value = torch.full_like(bounds.lo[:, 0], torch.inf)
    best = {name: p.detach().clone() for name, p in parameters.items()}
    for k in range(steps):
        value, _ = problem.bound(parameters)
        better = value.detach() < best_value
        best_value = torch.where(better, value.detach(), best_value)
        for name, p in parameters.items():
            best[name][better] = p.detach()[better]
        if bool((best_value < 0).all()) or k == steps - 1:
            break
        optimiser.forget()
        (value / problem.scale).clamp(min=-1).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step(_RATE * _DECAY ** (k / steps))
        with torch.no_grad():
            problem.project(parameters)
    return problem.rounded(best)


class Combination:
    """Combinations of atoms and phases on a batch of boxes, over their plain bounds."""

    def __init__(self, bounds: Bounds, rows: Rows, target: Tensor, phases: list[tuple[Phase, ...]]) -> None:
        self.batch, self.lo, self.hi, self.rows, self.target = (
            bounds.batch,
            bounds.lo,
            bounds.hi,
            rows,
            target,
        )
        self.plain, self.phases = bounds, phases
        self.most = max((len(p) for p in phases), default=0)
        self.places = self._places()
        with torch.no_grad():
            top, _ = self.plain.upper(rows)
            bottom, _ = self.plain.upper(Rows({s: -c for s, c in rows.coefficients.items()}, -rows.const))
        spread = torch.maximum(top.abs(), bottom.abs()).clamp(min=1e-12)
        self.scale = spread.gather(1, target[:, None]).squeeze(1)
        self.units = _power(self.scale[:, None] / spread)
        self.phase_units = torch.ones(len(self.lo), self.most, dtype=self.lo.dtype, device=self.lo.device)
        for source, (row, k, unit, _) in self.places.items():
            low, high = (side[row, unit] for side in self.plain.interval(source))
            most = torch.maximum(-low, high).clamp(min=1e-12)
            self.phase_units[row, k] = _power(self.scale[row] / most)

    def _places(self) -> dict[int, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Per step that ReLUs with fixed phases read: box, number of the phase, unit and sign of each."""
        found: dict[int, list[tuple[int, int, int, int]]] = {}
        for row, fixed in enumerate(self.phases):
            for k, (step, i, sign) in enumerate(fixed):
                found.setdefault(self.plain.source(step), []).append((row, k, i, sign))
        return {source: tuple(torch.tensor(at, device=self.lo.device).T) for source, at in found.items()}

    def start(self) -> dict[str, Tensor]:
        """Parameters: the checker's default slopes, no multipliers."""
        parameters = {}
        for step, lines in self.plain.lines.items():
            if lines.base is None and bool(lines.unstable.any()):
                parameters[str(step)] = lines.down.clone()
        shape = (len(self.lo), self.rows.const.shape[-1])
        parameters["atoms"] = torch.zeros(shape, dtype=self.lo.dtype, device=self.lo.device)
        parameters["phases"] = torch.zeros_like(self.phase_units)
        return {name: p.requires_grad_(True) for name, p in parameters.items()}

    def project(self, parameters: dict[str, Tensor]) -> None:
        """Back to slopes in [0, 1] and multipliers ≥ 0."""
        for name, parameter in parameters.items():
            parameter.clamp_(min=0.0, max=None if name in ("atoms", "phases") else 1.0)

    def bound(self, parameters: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Upper bound [boxes] of the combination, and the size of the numbers that went into it."""
        slopes = {int(name): p for name, p in parameters.items() if name not in ("atoms", "phases")}
        weights = (parameters["atoms"] * self.units).scatter(1, self.target[:, None], 1.0)
        return self.combination(slopes, weights, parameters["phases"] * self.phase_units)

    def combination(
        self, slopes: dict[int, Tensor], weights: Tensor, phase_weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Upper bound [boxes] of Σ weights · atoms + Σ phase_weights · phases."""
        combined = {
            s: torch.einsum("bk,kd->bd", weights, c[0])[:, None] for s, c in self.rows.coefficients.items()
        }
        const = (weights * self.rows.const).sum(-1, keepdim=True)
        for source, (row, k, unit, sign) in self.places.items():
            size = self.batch.program.size(source)
            part = self.lo.new_zeros(len(self.lo), size)
            part = part.index_put((row, unit), sign * phase_weights[row, k], accumulate=True)[:, None]
            combined[source] = combined[source] + part if source in combined else part
        top, slope = self.plain.upper(Rows(combined, const), slopes=slopes)
        reach = torch.maximum(self.lo.abs(), self.hi.abs())
        magnitude = const.squeeze(1).abs() + torch.einsum("bn,bn->b", slope[:, 0].abs(), reach)
        return top.squeeze(1), magnitude

    def rounded(self, best: dict[str, Tensor]) -> Sharpened:
        """The best parameters on the checker's grids, in as few and round numbers as do."""
        found = self.on_grid(best, 2**20, SLOPE_UNIT, 0.0)
        for grain in (2**20, 2**6):
            for far in _FAR:
                found = self.on_grid(best, grain, 16, far).where_closed(found)
        return found

    def on_grid(self, best: dict[str, Tensor], grain: float, steps: float, far: float) -> Sharpened:
        """Multipliers in multiples of 1 / grain, slopes of 1 / steps; the usual slopes unless farther off."""
        on = {n: (p * grain).round() / grain for n, p in best.items() if n in ("atoms", "phases")}
        weights = (on["atoms"] * self.units).scatter(1, self.target[:, None], 1.0)
        slopes = {int(n): self._slope(int(n), p, steps, far) for n, p in best.items() if n not in on}
        return self.evaluated(slopes, weights, on["phases"] * self.phase_units)

    def _slope(self, step: int, slopes: Tensor, steps: float, far: float) -> Tensor:
        usual = self.plain.lines[step].down
        return torch.where((slopes - usual).abs() <= far, usual, (slopes * steps).round() / steps)

    def evaluated(self, slopes: dict[int, Tensor], weights: Tensor, phase_weights: Tensor) -> Sharpened:
        """What given slopes and multipliers are worth."""
        with torch.no_grad():
            top, size = self.combination(slopes, weights, phase_weights)
        return Sharpened(top, 1e-12 * size, slopes, weights, phase_weights)


def _power(positive: Tensor) -> Tensor:
    """The nearest powers of two: numbers of few bits stay such."""
    return positive.log2().round().exp2()


def relu_steps(batch: BatchProgram) -> list[int]:
    """Numbers of the ReLU steps."""
    return [k for k, step in enumerate(batch.program.steps) if isinstance(step, Relu)]
