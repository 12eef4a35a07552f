"""Neuron matching: which ReLUs of one network are multiples of which of another, found from the weights.

Layer by layer: where the inputs of two layers are matched, the rows of the one can be written in the inputs
of the other; two ReLUs belong together where their rows, with the biases, point the same way. The checker
bounds how far they really lie apart, so that any matching is sound and a good one makes a short proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from .maps import Matrix, dense
from .obligations import Obligation
from .program import Affine, Program, Relu

TOLERANCE = 1e-3
"""How far a row may lie from a multiple of another, relative to its own length."""
_BITS = 40
_LARGEST = 1 << 26
"""Entries of matrices whose rows are compared."""


@dataclass(frozen=True)
class _Same:
    """Values of one step: about `scales` times components `places` of the step `base`; NaN if unmatched."""

    base: int
    places: Matrix
    scales: Matrix

    def rows(self, matrix: Matrix, size: int) -> Matrix:
        """A matrix [n, step] as one [n, base]."""
        moved = np.zeros((len(matrix), size))
        np.add.at(moved.T, self.places, (matrix * np.nan_to_num(self.scales)).T)
        return moved


def matched(obligation: Obligation) -> Obligation:
    """The obligation with its ReLUs as multiples of earlier ones, wherever they are."""
    program = obligation.program
    same: dict[int, _Same] = {}
    twins: list[tuple[int, int, Fraction]] = []
    for step, kind in enumerate(program.steps):
        if type(kind) is not Relu or (found := _earlier(program, step, same)) is None:
            continue
        same[step] = found
        twins += [
            (program.unit(step, v), program.unit(found.base, int(u)), _dyadic(float(c)))
            for v, (u, c) in enumerate(zip(found.places, found.scales, strict=True))
            if not math.isnan(c)
        ]
    return replace(obligation, twins=tuple(twins))


def _earlier(program: Program, step: int, same: dict[int, _Same]) -> _Same | None:
    """The earlier ReLU step that most ReLUs of `step` are multiples of."""
    layer = _layer(program, step)
    if layer is None:
        return None
    source, matrix, const = layer
    found = [
        candidate
        for other in range(step)
        if type(program.steps[other]) is Relu and (rows := _layer(program, other)) is not None
        for candidate in [_compared(program, other, rows, source, matrix, const, same)]
        if candidate is not None
    ]
    return max(found, key=lambda each: int((~np.isnan(each.scales)).sum()), default=None)


def _layer(program: Program, step: int) -> tuple[int, Matrix, Matrix] | None:
    """Source, weights and biases of what a ReLU step reads; None where it is not one matrix."""
    relu = program.steps[step]
    assert isinstance(relu, Relu)
    affine = program.steps[relu.source]
    if not isinstance(affine, Affine) or len(affine.terms) != 1:
        return None
    ((source, matrix),) = affine.terms
    if math.prod(matrix.shape) > _LARGEST:
        return None
    return source, dense(matrix).astype(np.float64), affine.const.astype(np.float64)


def _compared(
    program: Program,
    other: int,
    rows: tuple[int, Matrix, Matrix],
    source: int,
    matrix: Matrix,
    const: Matrix,
    same: dict[int, _Same],
) -> _Same | None:
    base, weights, offsets = rows
    if source in same and same[source].base == base:
        matrix = same[source].rows(matrix, program.size(base))
    elif source != base:
        return None
    mine, theirs = np.column_stack([matrix, const]), np.column_stack([weights, offsets])
    lengths, norms = np.linalg.norm(mine, axis=1), np.linalg.norm(theirs, axis=1)
    alike = (mine @ theirs.T) / np.maximum(np.outer(lengths, norms), 1e-300)
    places = alike.argmax(axis=1)
    scales = (mine * theirs[places]).sum(axis=1) / np.maximum(norms[places] ** 2, 1e-300)
    apart = np.linalg.norm(mine - scales[:, None] * theirs[places], axis=1)
    good = (scales > 0) & (apart <= TOLERANCE * lengths)
    return _Same(other, places, np.where(good, scales, np.nan)) if good.any() else None


def _dyadic(value: float) -> Fraction:
    mantissa, exponent = math.frexp(value)
    return Fraction(round(mantissa * 2**_BITS), 2**_BITS) * Fraction(2) ** exponent
