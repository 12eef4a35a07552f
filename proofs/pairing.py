"""What twins are worth in the search: a ReLU as a multiple of another ReLU, and what lies between them.

As in the checker (check.py, `Box.twin`): v = relu(m) lies along c relu(o) by what m - c o may be, and that is
what the rows of m and c o leave of one another where twins are written in what they are twins of.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from .maps import Matrix
from .program import Affine, Program, Relu

Interval = tuple[Tensor, Tensor]
Twin = tuple[int, int, Fraction]
"""Unit v is about c times unit u."""


@dataclass
class Pairing:
    """The twins among the units of one ReLU step.

    Attributes:
        base: the ReLU step of which they are multiples.
        scales: c of each unit and unit of the base [size, size of the base], 0 for all others.
        paired: which units are twins [size].
        rest: per step what the rows leave of one another [size, size of the step].
        between: per ReLU step the weights of twins, whose distance to their own counterparts counts.
        through: per affine step magnitudes of the rows, for its roundings.
        const: what the constants leave of one another [size].
    """

    base: int
    scales: Matrix
    paired: Matrix
    rest: dict[int, Matrix] = field(default_factory=dict)
    between: dict[int, Matrix] = field(default_factory=dict)
    through: dict[int, Matrix] = field(default_factory=dict)
    const: Matrix = field(default_factory=lambda: np.zeros(1))


@dataclass(frozen=True)
class Pairs:
    """The same as tensors."""

    base: int
    scales: Tensor
    paired: Tensor
    rest: dict[int, Tensor]
    between: dict[int, Tensor]
    through: dict[int, Tensor]
    const: Tensor

    def apart(
        self, intervals: Callable[[int], Interval], ends: Callable[[int], Interval]
    ) -> tuple[Tensor, Tensor]:
        """The least and the most [boxes, size] by which what units read may lie above c times what their
        counterparts read; `intervals` bound steps, `ends` what lies between ReLUs of a step and theirs."""
        least = most = self.const
        for rows, known in ((self.rest, intervals), (self.between, ends)):
            for step, matrix in rows.items():
                low, high = known(step)
                up, down = matrix.clamp(min=0).T, matrix.clamp(max=0).T
                least, most = least + low @ up + high @ down, most + high @ up + low @ down
        return least, most


def pairings(program: Program, twins: Sequence[Twin], device: torch.device) -> dict[int, Pairs]:
    """Per ReLU step its twins; all of a step are multiples of ReLUs of one step that comes before."""
    found: dict[int, Pairing] = {}
    starts = [0, *accumulate((step.size for step in program.steps[1:]), initial=1 + program.declared)]
    for v, u, c in twins:
        step, base = (bisect_right(starts, unit) - 1 for unit in (v, u))
        if step not in found:
            size = program.size(step)
            found[step] = Pairing(base, np.zeros((size, program.size(base))), np.zeros(size, dtype=bool))
        found[step].scales[v - starts[step], u - starts[base]] = float(c)
        found[step].paired[v - starts[step]] = True
    for step in sorted(found):
        _compare(program, step, found)

    def moved(array: Matrix) -> Tensor:
        return torch.as_tensor(array, device=device)

    return {
        step: Pairs(
            pairing.base,
            moved(pairing.scales),
            moved(pairing.paired),
            {s: moved(matrix) for s, matrix in pairing.rest.items()},
            {s: moved(matrix) for s, matrix in pairing.between.items()},
            {s: moved(matrix) for s, matrix in pairing.through.items()},
            moved(pairing.const),
        )
        for step, pairing in found.items()
    }


def _compare(program: Program, step: int, found: dict[int, Pairing]) -> None:
    """Fill in what the rows of the units leave of those of their counterparts, written in what is not affine,
    and twins in what they are twins of."""
    pairing = found[step]
    rest = {_source(program, pairing.base): -pairing.scales}
    _add(rest, _source(program, step), np.eye(program.size(step)))
    for source in range(max(rest), 0, -1):
        if source not in rest:
            continue
        called, rows = program.steps[source], rest.pop(source)
        if isinstance(called, Affine):
            pairing.through[source] = abs(rows)
            pairing.const = pairing.const + rows @ called.const.astype(np.float64)
            for inner, matrix in called.terms:
                _add(rest, inner, rows @ matrix.astype(np.float64))
        elif source in found:
            twin = found[source]
            pairing.between[source] = rows * twin.paired
            _add(rest, twin.base, (rows * twin.paired) @ twin.scales)
            pairing.rest[source] = rows * ~twin.paired
        else:
            pairing.rest[source] = rows
    pairing.rest.update(rest)


def _source(program: Program, step: int) -> int:
    relu = program.steps[step]
    assert isinstance(relu, Relu)
    return relu.source


def _add(rows: dict[int, Matrix], step: int, more: Matrix) -> None:
    rows[step] = rows[step] + more if step in rows else more
