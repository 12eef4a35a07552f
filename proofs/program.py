"""The exact form of networks and claims: a straight-line program of affine maps and ReLUs over the rationals.

Step 0 holds the free variables t. An affine step is Σ_s M_s v_s + c over earlier steps s, plus a rounding
error of at most γ_k (Σ|M_s||v_s| + |c|) + k·2⁻¹²⁶ per row, where k = `depth` (0: exact). A ReLU step is
max(v, 0), exact in every semantics. Everything else of the language is written in these two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[Any]]
"""float64, every entry meant exactly; or objects, each a Fraction."""


@dataclass(frozen=True)
class Affine:
    """Σ M v + c; `terms` are (source step, M [rows, size of source])."""

    terms: tuple[tuple[int, Matrix], ...]
    const: Matrix
    depth: int = 0

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.const)

    @cached_property
    def integral(self) -> list[tuple[int, Matrix, int]]:
        """The terms in integers: source step, N and D with M = N / D."""
        return [(source, *integers(matrix)) for source, matrix in self.terms]


@dataclass(frozen=True)
class Relu:
    """max(v, 0) of the step `source`."""

    source: int
    size: int


@dataclass(frozen=True)
class Free:
    """The free variables."""

    size: int


Step = Free | Affine | Relu


@dataclass
class Program:
    """Steps in order; step 0 is `Free`. `declared` inputs, of which some may depend on others."""

    steps: list[Step] = field(default_factory=list)
    declared: int = 0

    def add(self, step: Step) -> int:
        """Append a step and give its number."""
        self.steps.append(step)
        return len(self.steps) - 1

    def size(self, step: int) -> int:
        """Length of the vector that a step makes."""
        return self.steps[step].size

    def unit(self, step: int, i: int) -> int:
        """How certificates number component `i` of a step: after the constant 1 and what is declared."""
        return 1 + self.declared + sum(earlier.size for earlier in self.steps[1:step]) + i

    def relus(self) -> int:
        """Number of ReLUs."""
        return sum(step.size for step in self.steps if isinstance(step, Relu))

    def evaluate(self, point: list[Fraction]) -> list[Matrix]:
        """All values at an exact point, as Fractions; roundings left out."""
        values: list[Matrix] = []
        for step in self.steps:
            if isinstance(step, Free):
                values.append(np.array(point, dtype=object))
            elif isinstance(step, Relu):
                values.append(np.array([max(v, Fraction(0)) for v in values[step.source]], dtype=object))
            else:
                values.append(_exact_affine(step, values))
        return values


def _exact_affine(step: Affine, values: list[Matrix]) -> Matrix:
    """Through integers with one denominator: an order of magnitude faster than sums of fractions."""
    total = np.array([Fraction(c) for c in step.const], dtype=object)
    for source, rows, scale in step.integral:
        whole, below = integers(values[source])
        product = rows.dot(whole) if rows.size else np.zeros(len(rows), dtype=object)
        total = total + np.array([Fraction(int(p), below * scale) for p in product], dtype=object)
    return total


def integers(array: Matrix) -> tuple[Matrix, int]:
    """Integers N and one denominator D > 0 with `array` = N / D, exactly."""
    ratios = [value.as_integer_ratio() for value in array.ravel().tolist()]
    denominator = lcm(*(below for _, below in ratios))
    whole = np.array([top * (denominator // below) for top, below in ratios], dtype=object)
    return whole.reshape(array.shape), denominator
