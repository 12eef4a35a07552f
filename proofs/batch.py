"""Programs and linear forms as tensors on a device, for the bounds of many boxes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import function_bounds as functions
from .maps import Matrix
from .pairing import Twin, pairings
from .program import Affine, Free, Function, Jump, Program, Relu
from .thin import Thin
from .translation import Form

_WHOLE = 1e-6
"""How far from a whole number a bound of one is taken for it."""


@dataclass(frozen=True)
class Rows:
    """Linear forms over steps: Σ_s coefficients[s] v_s + const, coefficients [1 or boxes, rows, size of
    s]."""

    coefficients: Mapping[int, Tensor]
    const: Tensor


class BatchProgram:
    """A program as tensors [float64] on a device."""

    def __init__(
        self,
        program: Program,
        device: torch.device | str = "cpu",
        whole: Sequence[bool] = (),
        twins: Sequence[Twin] = (),
    ) -> None:
        self.program = program
        self.device = torch.device(device)
        self.matrices = {
            k: {s: Thin(m, self.device) for s, m in step.terms}
            for k, step in enumerate(program.steps)
            if isinstance(step, Affine)
        }
        self.sizes: dict[tuple[int, int], Thin] = {}
        self.widest = max(step.size for step in program.steps)
        self.consts = {k: self.tensor(s.const) for k, s in enumerate(program.steps) if isinstance(s, Affine)}
        called = {k: s for k, s in enumerate(program.steps) if isinstance(s, Function)}
        self.tables = {k: self.tensor(s.table) for k, s in called.items() if s.table is not None}
        self.curved = {source for s in called.values() for source in s.sources}  # what functions read
        self.banded = any(s.table is None for s in called.values())
        self.curved |= {step.source for step in program.steps if isinstance(step, Jump)}
        self.rounding = any(isinstance(step, Affine) and step.depth for step in program.steps)
        free = list(whole) or [False] * program.size(0)
        wholes = program.whole(free) if any(whole) or program.jumps else []
        self.pairs = pairings(program, twins, self.device)
        self.readers = {step.source: k for k, step in enumerate(program.steps) if k in self.pairs}  # type: ignore[union-attr]
        self.wholes = {k: torch.as_tensor(w, device=self.device) for k, w in enumerate(wholes) if w.any()}

    def magnitudes(self, step: int, source: int) -> Thin:
        """Of what an affine step of roundings reads."""
        if (step, source) not in self.sizes:
            affine = self.program.steps[step]
            assert isinstance(affine, Affine)
            size = dict(affine.sizes).get(source)
            read = self.matrices[step][source].sizes() if size is None else Thin(size, self.device)
            self.sizes[step, source] = read
        return self.sizes[step, source]

    def tensor(self, array: Matrix) -> Tensor:
        """Exact entries rounded to float64."""
        return torch.as_tensor(array.astype("float64"), device=self.device)

    def inward(
        self, step: int, low: Tensor, high: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Bounds [boxes, size, or `rows` of it] with those of whole numbers made whole."""
        if step not in self.wholes:
            return low, high
        whole = self.wholes[step] if rows is None else self.wholes[step][rows]
        return (
            torch.where(whole, (low - _WHOLE).ceil(), low),
            torch.where(whole, (high + _WHOLE).floor(), high),
        )

    def forward(self, points: Tensor) -> list[Tensor]:
        """Values [points, size] of all steps at `points` [points, free variables], without roundings."""
        values: list[Tensor] = []
        for k, step in enumerate(self.program.steps):
            if isinstance(step, Free):
                values.append(points)
            elif isinstance(step, Jump):
                values.append((values[step.source] > 0).to(points.dtype))
            elif isinstance(step, Relu):
                values.append(values[step.source].clamp(min=0))
            elif isinstance(step, Function):
                values.append(functions.value(step, self.tables.get(k), [values[s] for s in step.sources]))
            else:
                value = self.consts[k].expand(len(points), -1)
                for source, matrix in self.matrices[k].items():
                    value = value + matrix.values(values[source])
                values.append(value)
        return values

    def rows(self, forms: Sequence[Form]) -> Rows:
        """Forms as one batch of rows."""
        sources = sorted({step for form in forms for (step, _), _ in form.terms})
        dense = {s: torch.zeros(1, len(forms), self.program.size(s), dtype=torch.float64) for s in sources}
        for row, form in enumerate(forms):
            for (step, i), value in form.terms:
                dense[step][0, row, i] = float(value)
        const = torch.tensor([[float(form.const) for form in forms]], dtype=torch.float64, device=self.device)
        return Rows({s: m.to(self.device) for s, m in dense.items()}, const)
