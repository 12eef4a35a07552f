"""The triangle relaxation of one region as a linear program (HiGHS), for its dual solution.

The largest σ is sought such that every atom and every fixed phase is at least σ (in its own unit) somewhere
in the relaxation. Where σ < 0 the region has no counterexample, and the duals say why: multipliers of atoms
and phases, and slopes of ReLUs (Salman et al. 2019, section 3; Ehlers 2017). They are sound whatever their
accuracy, because the checker computes the bound that they give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .batch import Rows
from .bounds import Bounds
from .program import Affine, Free, Function, Jump, Relu
from .relaxation import Phase

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Duals:
    """σ, multipliers of the atoms and of the phases, and lower slopes per ReLU step."""

    sigma: float
    atoms: Array
    phases: Array
    slopes: dict[int, Array]


class RegionProgram:
    """One region (row `k` of `bounds`) over columns: free variables scaled to [0, 1], open ReLUs, other
    functions, σ."""

    def __init__(self, bounds: Bounds, k: int, rows: Rows, phases: tuple[Phase, ...]) -> None:
        self.bounds, self.k, self.rows, self.phases = bounds, k, rows, phases
        self.steps = bounds.batch.program.steps
        self.open = {
            step: bounds.relaxation(step).unstable[k].nonzero().flatten().tolist()
            for step, kind in enumerate(self.steps)
            if isinstance(kind, Relu)
        }
        self.free = bounds.lo.shape[1]
        self.columns: dict[tuple[int, int], int] = {}
        called = {k: step for k, step in enumerate(self.steps) if isinstance(step, Function)}
        between = {k: list(range(step.size)) for k, step in called.items()}
        between |= {step: self.twins(step) for step in bounds.batch.pairs}
        for step, units in (*self.open.items(), *between.items()):
            for i in units:
                self.columns[step, i] = self.free + len(self.columns)
        self.width = self.free + len(self.columns) + 1
        self.matrix: list[Array] = []
        self.limit: list[float] = []
        self.tight: dict[tuple[int, int], int] = {}

    def solve(self, some: tuple[bool, ...] = ()) -> Duals | None:
        """Solve it; None where HiGHS does not come to an optimum. Where σ is for `some` atoms, others hold
        without it, and so do phases: so these atoms have a share in whatever bound is found."""
        from scipy.optimize import linprog

        forms = self.forms()
        parts = self.parts(forms)
        first = len(self.matrix)
        for number, (form, const) in enumerate(parts):
            row = -form
            held = bool(some) and not any(some[number : number + 1])
            row[-1] = 0.0 if held else max(1e-9, float(np.abs(form).sum()) + abs(const))
            self.constrain(row, const)
        cost = np.zeros(self.width)
        cost[-1] = -1.0
        ranges = [(0.0, 1.0)] * self.free + [(0.0, None)] * len(self.columns) + [(-2.0, 1.0)]
        found = linprog(cost, np.array(self.matrix), np.array(self.limit), bounds=ranges, method="highs")
        if found.status != 0:
            return None
        weights = np.maximum(-found.ineqlin.marginals, 0.0)
        atoms = weights[first : first + len(parts) - len(self.phases)]
        return Duals(
            float(found.x[-1]),
            atoms,
            weights[first + len(atoms) :],
            self.slopes(weights, np.maximum(found.lower.marginals, 0.0)),
        )

    def constrain(self, row: Array, limit: float) -> None:
        """Add row · x ≤ limit."""
        self.matrix.append(row)
        self.limit.append(limit)

    def forms(self) -> list[tuple[Array, Array]]:
        """Every step as (matrix, constant) over the columns; ReLUs add their triangles on the way."""
        made: list[tuple[Array, Array]] = []
        for number, step in enumerate(self.steps):
            if isinstance(step, Free):
                lo, hi = (side[self.k].cpu().numpy() for side in (self.bounds.lo, self.bounds.hi))
                matrix = np.zeros((step.size, self.width))
                matrix[:, : step.size] = np.diag(hi - lo)
                made.append((matrix, lo))
            elif isinstance(step, Affine):
                const = self.bounds.batch.consts[number].cpu().numpy()
                matrix = np.zeros((step.size, self.width))
                for source, weights in self.bounds.batch.matrices[number].items():
                    matrix = matrix + weights.matrix @ made[source][0]
                    const = const + weights.matrix @ made[source][1]
                made.append((matrix, const))
            elif isinstance(step, Function):
                made.append(self.between(number, made))
            elif isinstance(step, Jump):
                made.append(self.jump(number, *made[step.source]))
            else:
                made.append(self.relu(number, *made[step.source], made))
        return made

    def between(self, step: int, made: list[tuple[Array, Array]]) -> tuple[Array, Array]:
        """A function lies in its band: a column of its own for each component, of how far above the lower
        line."""
        band, function = self.bounds.band(step), self.steps[step]
        assert isinstance(function, Function)
        least, most = (side[self.k].cpu().numpy() for side in (band.least, band.most))
        matrix, const = np.zeros((len(least), self.width)), least.copy()
        for source, slope in zip(function.sources, band.slopes, strict=False):
            k = slope[self.k].cpu().numpy()
            matrix, const = matrix + k[:, None] * made[source][0], const + k * made[source][1]
        for i in range(len(least)):
            column = np.zeros(self.width)
            column[self.columns[step, i]] = 1.0
            self.constrain(column, most[i] - least[i])
            matrix[i] += column
        return matrix, const

    def jump(self, step: int, matrix: Array, const: Array) -> tuple[Array, Array]:
        """0, 1, a bit that is read, or a column of its own between its lines."""
        lines = self.bounds.relaxation(step)
        down, up, most = (side[self.k].cpu().numpy() for side in (lines.down, lines.up, lines.intercept))
        out, shift = matrix * up[:, None], const * up + most
        for i in self.open[step]:
            out[i], shift[i] = 0.0, 0.0
            out[i, self.columns[step, i]] = 1.0
            self.constrain(down[i] * matrix[i] - out[i], -down[i] * const[i])
            self.constrain(out[i] - up[i] * matrix[i], up[i] * const[i] + most[i])
        return out, shift

    def twins(self, step: int) -> list[int]:
        """Units that do not lie at their multiple of others, but between two of them."""
        lines = self.bounds.relaxation(step)
        assert lines.base is not None
        apart = self.bounds.batch.pairs[step].paired & (lines.intercept[self.k] > lines.base[self.k])
        return apart.nonzero().flatten().tolist()

    def along_twins(self, step: int, out: Array, shift: Array, made: list[tuple[Array, Array]]) -> None:
        """Write twins as multiples of what they are twins of, and a column of its own for the rest."""
        pairs, lines = self.bounds.batch.pairs[step], self.bounds.relaxation(step)
        assert lines.base is not None
        least, most = (side[self.k].cpu().numpy() for side in (lines.base, lines.intercept))
        twin, scales = pairs.paired.cpu().numpy(), pairs.scales.cpu().numpy()
        out[twin] = (scales @ made[pairs.base][0])[twin]
        shift[twin] = (scales @ made[pairs.base][1] + least)[twin]
        for i in self.twins(step):
            column = np.zeros(self.width)
            column[self.columns[step, i]] = 1.0
            self.constrain(column, most[i] - least[i])
            out[i] += column

    def relu(
        self, step: int, matrix: Array, const: Array, made: list[tuple[Array, Array]]
    ) -> tuple[Array, Array]:
        """On, off, or a column of its own between its lines."""
        lines = self.bounds.relaxation(step)
        up, intercept = (side[self.k].cpu().numpy() for side in (lines.up, lines.intercept))
        out, shift = matrix * up[:, None], const * up
        if step in self.bounds.batch.pairs:
            self.along_twins(step, out, shift, made)
        for i in self.open[step]:
            column = np.zeros(self.width)
            column[self.columns[step, i]] = 1.0
            self.tight[step, i] = len(self.matrix)
            self.constrain(matrix[i] - column, -const[i])
            self.constrain(column - up[i] * matrix[i], up[i] * const[i] + intercept[i])
            out[i], shift[i] = column, 0.0
        return out, shift

    def parts(self, forms: list[tuple[Array, Array]]) -> list[tuple[Array, float]]:
        """Atoms and phases over the columns."""
        consts = self.rows.const[0].cpu().numpy()
        made = []
        for number, const in enumerate(consts):
            row, total = np.zeros(self.width), float(const)
            for source, dense in self.rows.coefficients.items():
                weights = dense[0, number].cpu().numpy()
                row = row + weights @ forms[source][0]
                total += float(weights @ forms[source][1])
            made.append((row, total))
        for step, i, sign in self.phases:
            matrix, shift = forms[self.bounds.source(step)]
            made.append((sign * matrix[i], sign * float(shift[i])))
        return made

    def slopes(self, weights: Array, lower: Array) -> dict[int, Array]:
        """a / (a + b) from the duals of y ≥ v and y ≥ 0."""
        slopes = {}
        for step, units in self.open.items():
            if isinstance(self.steps[step], Jump):
                continue
            down = self.bounds.relaxation(step).down[self.k].cpu().numpy().copy()
            for i in units:
                above, zero = weights[self.tight[step, i]], lower[self.columns[step, i]]
                if above + zero > 1e-12:
                    down[i] = above / (above + zero)
            slopes[step] = down
        return slopes
