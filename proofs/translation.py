"""Operations of a network, and linear forms of a claim, as steps of a `Program`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .lowering import Graph, Operation, window_places
from .program import Affine, Matrix, Program, Relu


@dataclass(frozen=True)
class Form:
    """An exact linear form: `const` + Σ coefficient · component of a step."""

    terms: tuple[tuple[tuple[int, int], Fraction], ...] = ()
    const: Fraction = Fraction(0)

    @classmethod
    def of(cls, step: int, i: int) -> Form:
        """One component."""
        return cls((((step, i), Fraction(1)),))

    def __add__(self, other: Form) -> Form:
        total = dict(self.terms)
        for key, value in other.terms:
            total[key] = total.get(key, Fraction(0)) + value
        kept = tuple(sorted((key, value) for key, value in total.items() if value))
        return Form(kept, self.const + other.const)

    def __mul__(self, factor: Fraction) -> Form:
        if not factor:
            return Form()
        return Form(tuple((key, value * factor) for key, value in self.terms), self.const * factor)

    def __neg__(self) -> Form:
        return self * Fraction(-1)

    def __sub__(self, other: Form) -> Form:
        return self + -other

    def at(self, values: Sequence[Matrix]) -> Fraction:
        """Value where the steps have `values`."""
        return self.const + sum((c * values[step][i] for (step, i), c in self.terms), Fraction(0))


def affine_of(
    program: Program, forms: Sequence[Form], depth: int = 0, chosen: tuple[int, ...] | None = None
) -> int:
    """A step whose rows are `forms`; `chosen` as for `Affine`."""
    sources = sorted({step for form in forms for (step, _), _ in form.terms})
    matrices = {s: np.zeros((len(forms), program.size(s)), dtype=object) for s in sources}
    for row, form in enumerate(forms):
        for (step, i), value in form.terms:
            matrices[step][row, i] = value
    terms = tuple((s, _compact(matrices[s])) for s in sources)
    const = _compact(np.array([form.const for form in forms], dtype=object))
    return program.add(Affine(terms, const, depth, chosen))


def _compact(array: Matrix) -> Matrix:
    """As float64 where that is exact, else as fractions."""
    floats = array.astype(np.float64)
    if all(Fraction(float(f)) == e for f, e in zip(floats.ravel(), array.ravel(), strict=True)):
        return floats
    exact: Matrix = np.vectorize(Fraction, otypes=[object])(array)
    return exact


def add_network(program: Program, graph: Graph, source: int, rounding: bool) -> int:
    """Append the steps of a network that reads step `source`; gives the step of its output.

    With `rounding`, every affine step carries the number of float32 roundings on its way.
    """
    builder = _Network(program, graph, rounding)
    values = [source]
    for operation in graph.operations:
        values.append(builder.step(operation, values))
    return values[-1]


class _Network:
    def __init__(self, program: Program, graph: Graph, rounding: bool) -> None:
        self.program = program
        self.graph = graph
        self.rounding = rounding

    def step(self, operation: Operation, values: list[int]) -> int:
        kind, first, *rest = operation
        if kind == "relu":
            source = values[first]
            return self.program.add(Relu(source, self.program.size(source)))
        if kind == "sum":
            return self.sum([values[s] for s in first], [Fraction(text) for text in rest[0]], rest[1])
        return self.dense(values[first], *weights(operation, self.graph.tensors))

    def sum(self, sources: list[int], factors: list[Fraction], const: str) -> int:
        """Σ factor · step + const, elementwise."""
        size = self.program.size(sources[0])
        if const.startswith("@"):
            offset = self.graph.tensors[const[1:]].ravel()
        else:
            offset = np.full(size, float(Fraction(const)))
        terms: dict[int, Matrix] = {}
        for source, factor in zip(sources, factors, strict=True):
            terms[source] = terms.get(source, np.zeros((size, size))) + np.eye(size) * float(factor)
        depth = sum(abs(f) != 1 for f in factors) + len(sources) - 1 + bool(offset.any())
        return self.program.add(Affine(tuple(sorted(terms.items())), offset, depth if self.rounding else 0))

    def dense(self, source: int, matrix: Matrix, bias: Matrix) -> int:
        depth = int((matrix != 0).sum(axis=1).max(initial=0)) + bool(bias.any())
        return self.program.add(Affine(((source, matrix),), bias, depth if self.rounding else 0))


def weights(operation: Operation, tensors: dict[str, Matrix]) -> tuple[Matrix, Matrix]:
    """Matrix [out, in] and bias [out] of a "linear" or "conv2d" operation."""
    if operation[0] == "conv2d":
        return _convolution(operation, tensors)
    _, _, name, bias, transposed = operation
    matrix = tensors[name].T if transposed else tensors[name]
    return matrix, tensors[bias] if bias is not None else np.zeros(len(matrix))


def _convolution(operation: Operation, tensors: dict[str, Matrix]) -> tuple[Matrix, Matrix]:
    _, _, name, bias_name, (channels, height, width), stride, padding, dilation, groups = operation
    kernel = tensors[name]
    out, per_group, *window = kernel.shape
    rows, cols = window_places(window, [channels, height, width], stride, padding, dilation)
    matrix = np.zeros((out, rows, cols, channels, height, width))
    for o, c, i, j in np.ndindex(out, per_group, *window):
        channel = (o // (out // groups)) * per_group + c
        for r, s in np.ndindex(rows, cols):
            y = r * stride[0] - padding[0] + i * dilation[0]
            x = s * stride[1] - padding[1] + j * dilation[1]
            if 0 <= y < height and 0 <= x < width:
                matrix[o, r, s, channel, y, x] = kernel[o, c, i, j]
    bias = tensors[bias_name] if bias_name is not None else np.zeros(out)
    return matrix.reshape(out * rows * cols, -1), np.repeat(bias, rows * cols)
