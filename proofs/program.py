"""The exact form of networks and claims: a straight-line program of affine maps, ReLUs and other functions.

Step 0 holds the free variables t. An affine step is Σ_s M_s v_s + c over earlier steps s, plus a rounding
error of at most γ_k (Σ|M_s||v_s| + |c|) + k·2⁻¹²⁶ per row, where k = `depth` (0: exact). A ReLU step is
max(v, 0), exact in every semantics. Other functions are products, exp, reciprocals, roots and rows of tables;
softmax and norms are written in these.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property
from math import lcm

import numpy as np

from .maps import Map, Matrix, entries

_CONTEXT = Context(prec=60)
_BITS = 512
_FAR = Fraction(4096)
UNDEFINED = Fraction(10**300)
"""Stands for what is not defined, or too large: no checker accepts a witness that rests on it."""


@dataclass(frozen=True)
class Affine:
    """Σ M v + c; `terms` are (source step, M [rows, size of source]), `sizes` the magnitudes that are rounded
    where a row reads a component more than once."""

    terms: tuple[tuple[int, Map], ...]
    const: Matrix
    depth: int = 0
    sizes: tuple[tuple[int, Map], ...] = ()

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.const)

    @cached_property
    def integral(self) -> list[tuple[int, Matrix, Matrix, Matrix, int]]:
        """The terms in integers: source step, the rows and columns that are not 0, their N, and D, with
        M = N / D."""
        found = []
        for source, matrix in self.terms:
            rows, columns, values = entries(matrix)
            distinct, places = np.unique(values, return_inverse=True)
            whole, scale = integers(distinct)
            found.append((source, rows, columns, whole[places.ravel()], scale))
        return found


@dataclass(frozen=True)
class Relu:
    """max(v, 0) of the step `source`."""

    source: int
    size: int


@dataclass(frozen=True)
class Jump(Relu):
    """1 where the step `source` is above 0, else 0: two phases, like a ReLU."""


@dataclass(frozen=True)
class Function:
    """A product of two steps, or `exp`, `log`, `erf`, `sigmoid`, `reciprocal`, `sqrt` of one, component by
    component; or the rows of a `table` [tokens, columns], one after the other, for the whole numbers of a
    step."""

    kind: str
    sources: tuple[int, ...]
    size: int
    table: Matrix | None = None


@dataclass(frozen=True)
class Free:
    """The free variables."""

    size: int


Step = Free | Affine | Relu | Function


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
        """Number of ReLUs and jumps."""
        return sum(step.size for step in self.steps if isinstance(step, Relu))

    @property
    def jumps(self) -> bool:
        """Whether it is not continuous."""
        return any(isinstance(step, Jump) for step in self.steps)

    def functions(self) -> int:
        """Number of components that functions other than ReLU make."""
        return sum(step.size for step in self.steps if isinstance(step, Function))

    def multiplications(self) -> int:
        """Of one run of the networks: entries of their matrices."""
        return sum(m.size for step in self.steps if isinstance(step, Affine) for _, m in step.terms)

    def whole(self, free: Sequence[bool]) -> list[Matrix]:
        """Which components [size, bool] of each step are whole numbers, for whole `free` variables."""
        found: list[Matrix] = []
        for step in self.steps:
            if isinstance(step, Free):
                found.append(np.array(free, dtype=bool))
            elif isinstance(step, Jump):
                found.append(np.ones(step.size, dtype=bool))
            elif isinstance(step, Relu):
                found.append(found[step.source])
            elif isinstance(step, Function):
                found.append(np.zeros(step.size, dtype=bool))
            else:
                rows = step.const % 1 == 0
                for source, matrix in step.terms:
                    reading, read, values = entries(matrix)
                    broken = (values % 1 != 0) | ~found[source][read]
                    rows[reading[broken.astype(bool)]] = False
                found.append(rows.astype(bool))
        return found

    def evaluate(self, point: list[Fraction]) -> list[Matrix]:
        """All values at an exact point, as Fractions; roundings left out, functions to some 60 digits."""
        values: list[Matrix] = []
        for step in self.steps:
            if isinstance(step, Free):
                values.append(np.array(point, dtype=object))
            elif isinstance(step, Jump):
                values.append(np.array([Fraction(int(v > 0)) for v in values[step.source]], dtype=object))
            elif isinstance(step, Relu):
                values.append(np.array([max(v, Fraction(0)) for v in values[step.source]], dtype=object))
            elif isinstance(step, Function):
                values.append(_function(step, [values[s] for s in step.sources]))
            else:
                values.append(_exact_affine(step, values))
        return values


def _function(step: Function, read: list[Matrix]) -> Matrix:
    if step.table is not None:
        last = len(step.table) - 1
        rows = [step.table[min(max(int(v), 0), last)] for v in read[0]]
        return np.array([Fraction(float(v)) for row in rows for v in row], dtype=object)
    calls: dict[str, Callable[..., Fraction]] = {
        "exp": lambda v: Fraction(_decimal(max(v, Fraction(-4096))).exp(_CONTEXT)) if v < 690 else UNDEFINED,
        "log": lambda v: Fraction(_decimal(v).ln(_CONTEXT)) if v > 0 else UNDEFINED,
        "erf": _erf,
        "sigmoid": lambda v: Fraction(
            _CONTEXT.divide(1, 1 + _decimal(max(min(-v, _FAR), -_FAR)).exp(_CONTEXT))
        ),
        "sqrt": lambda v: Fraction(_decimal(v).sqrt(_CONTEXT)) if v >= 0 else UNDEFINED,
        "reciprocal": lambda v: 1 / v if v else UNDEFINED,
        "product": operator.mul,
    }
    made = [_short(calls[step.kind](*each)) for each in zip(*read, strict=True)]
    return np.array(made, dtype=object)


def _erf(value: Fraction) -> Fraction:
    import mpmath

    with mpmath.workdps(60):
        near = mpmath.erf(mpmath.mpf(value.numerator) / value.denominator)
        return Fraction(mpmath.nstr(near, 60))


def _decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _short(value: Fraction) -> Fraction:
    """Numbers that grow too long are cut far behind what matters."""
    if value.denominator.bit_length() <= 2 * _BITS:
        return value
    return Fraction((value.numerator << _BITS) // value.denominator, 1 << _BITS)


def _exact_affine(step: Affine, values: list[Matrix]) -> Matrix:
    """Through integers with one denominator: an order of magnitude faster than sums of fractions."""
    total = np.array([Fraction(c) for c in step.const], dtype=object)
    for source, rows, columns, factors, scale in step.integral:
        whole, below = integers(values[source])
        sums = np.zeros(step.size, dtype=object)
        np.add.at(sums, rows, factors * whole[columns])
        total = total + np.array([Fraction(int(p), below * scale) for p in sums], dtype=object)
    return total


def integers(array: Matrix) -> tuple[Matrix, int]:
    """Integers N and one denominator D > 0 with `array` = N / D, exactly."""
    ratios = [value.as_integer_ratio() for value in array.ravel().tolist()]
    denominator = lcm(*(below for _, below in ratios))
    whole = np.array([top * (denominator // below) for top, below in ratios], dtype=object)
    return whole.reshape(array.shape), denominator
