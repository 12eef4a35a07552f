"""Operations of a network, and linear forms of a claim, as steps of a `Program`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from .convolutions import convolution_matrix
from .lowering import Graph
from .maps import Map, Matrix, entries, placed
from .program import Affine, Function, Jump, Program, Relu
from .tape import Operation


@dataclass(frozen=True)
class Form:
    """An exact linear form: `const` + Σ coefficient · component of a step."""

    terms: tuple[tuple[tuple[int, int], Fraction], ...] = ()
    const: Fraction = Fraction(0)

    @classmethod
    def of(cls, step: int, i: int) -> Form:
        """One component."""
        return cls((((step, i), Fraction(1)),))

    @classmethod
    def total(cls, forms: Sequence[Form]) -> Form:
        """The sum of several forms, in the time that reading them takes."""
        total: dict[tuple[int, int], Fraction] = {}
        for form in forms:
            for key, value in form.terms:
                total[key] = total[key] + value if key in total else value
        kept = tuple(sorted((key, value) for key, value in total.items() if value))
        return cls(kept, sum((form.const for form in forms), Fraction(0)))

    def __add__(self, other: Form) -> Form:
        return Form.total((self, other))

    def __mul__(self, factor: Fraction) -> Form:
        if not factor:
            return Form()
        return Form(tuple((key, value * factor) for key, value in self.terms), self.const * factor)

    def __neg__(self) -> Form:
        return Form(tuple((key, -value) for key, value in self.terms), -self.const)

    def __sub__(self, other: Form) -> Form:
        return self + -other

    def at(self, values: Sequence[Matrix]) -> Fraction:
        """Value where the steps have `values`."""
        return self.const + sum((c * values[step][i] for (step, i), c in self.terms), Fraction(0))


def affine_of(program: Program, forms: Sequence[Form], depth: int = 0) -> int:
    """A step whose rows are `forms`."""
    sources = sorted({step for form in forms for (step, _), _ in form.terms})
    matrices = {s: np.zeros((len(forms), program.size(s))) for s in sources}
    exact = set[int]()
    for row, form in enumerate(forms):
        for (step, i), value in form.terms:
            matrices[step][row, i] = number = float(value)
            exact.update(() if number == value else (step,))
    for step in exact:
        matrices[step] = _fractions(forms, step, matrices[step].shape)
    terms = tuple((s, matrices[s]) for s in sources)
    consts = [form.const for form in forms]
    floats = np.array(consts, dtype=np.float64)
    kept = floats if floats.tolist() == consts else np.array(consts, dtype=object)
    return program.add(Affine(terms, kept, depth))


def _fractions(forms: Sequence[Form], step: int, shape: tuple[int, ...]) -> Matrix:
    """The coefficients of a step in forms that float64 does not hold."""
    matrix = np.full(shape, Fraction(0), dtype=object)
    for row, form in enumerate(forms):
        for (source, i), value in form.terms:
            if source == step:
                matrix[row, i] = value
    return matrix


def add_network(program: Program, graph: Graph, source: int, rounding: bool) -> int:
    """Append the steps of a network that reads step `source`; gives the step of its output.

    With `rounding`, every affine step carries the number of float32 roundings on its way.
    """
    builder = _Network(program, graph, rounding)
    values = [source]
    for number, operation in enumerate(graph.operations):
        values.append(builder.step(number, operation, values))
    return values[-1]


class _Network:
    def __init__(self, program: Program, graph: Graph, rounding: bool) -> None:
        self.program = program
        self.graph = graph
        self.rounding = rounding

    def step(self, number: int, operation: Operation, values: list[int]) -> int:
        kind, first, *rest = operation
        if kind == "relu":
            return self.program.add(Relu(values[first], self.program.size(values[first])))
        if kind == "step":
            return self.jump(values[first], values[rest[0]])
        if kind == "affine":
            return self.affine(number, [(values[s], how) for s, *how in first], rest[0])
        if kind == "table":
            table = self.graph.tensors[rest[0]]
            table = table.reshape(len(table), -1)
            size = self.program.size(values[first]) * table.shape[1]
            return self.program.add(Function(kind, (values[first],), size, table))
        sources = tuple(values[s] for s in (first, *rest))
        return self.program.add(Function(kind, sources, self.program.size(sources[0])))

    def jump(self, one: int, other: int) -> int:
        """Where one step is above the other: of their difference, which is not rounded."""
        size = self.program.size(one)
        terms = {one: np.eye(size)}
        terms[other] = terms.get(other, np.zeros((size, size))) - np.eye(size)
        return self.program.add(
            Jump(self.program.add(Affine(tuple(sorted(terms.items())), np.zeros(size))), size)
        )

    def affine(self, number: int, parts: list[tuple[int, list[Any]]], const: str) -> int:
        """Σ map(step) + const, of operation `number`."""
        maps = [
            (source, self.map(number, k, how, self.program.size(source)))
            for k, (source, how) in enumerate(parts)
        ]
        terms, sizes = dict[int, Map](), dict[int, Map]()
        for source, matrix in maps:
            if source in terms:  # what cancels is rounded before
                sizes[source] = sizes.get(source, abs(terms[source])) + abs(matrix)
            terms[source] = terms[source] + matrix if source in terms else matrix
        size = maps[0][1].shape[0]
        offset = self.graph.tensors[const[1:]] if const[0] == "@" else np.array([float(Fraction(const))])
        offset = np.repeat(offset.ravel(), size // offset.size)
        depth = roundings([matrix for _, matrix in maps], offset) if self.rounding else 0
        read = tuple(sorted(sizes.items())) if depth else ()
        return self.program.add(Affine(tuple(sorted(terms.items())), offset, depth, read))

    def map(self, number: int, k: int, how: list[Any], size: int) -> Map:
        make = partial(linear_map, how, self.graph.tensors, size)
        return self.graph.once((number, k, size), make)


def roundings(matrices: list[Map], offset: Matrix) -> int:
    """float32 roundings on the way of any term of a row: n - 1 sums, a product unless by 1, a constant unless
    it stands alone."""
    read = [entries(m) for m in matrices]
    terms = np.zeros(len(offset), dtype=np.int64)
    for rows, _, _ in read:
        terms += np.bincount(rows, minlength=len(offset))
    longest = int(terms.max(initial=0))
    plain = all(bool((abs(values) == 1).all()) for _, _, values in read)
    added = (offset != 0) & ((terms > 0) | (offset.astype(np.float32) != offset))
    return max(longest - plain, 0) + bool(added.any())


def linear_map(how: list[Any], tensors: dict[str, Matrix], size: int) -> Map:
    """Map [out, in] of a "times", "pick", "scale", "matrix" or "convolution" of `size` numbers."""
    kind, *rest = how
    if kind == "pick":
        return _picking(size, rest[0], np.full(len(rest[0]), float(Fraction(rest[1]))))
    if kind == "times":
        return _picking(size, np.arange(size), np.full(size, float(Fraction(rest[0]))))
    if kind == "scale":
        name, copies, places = rest
        return _picking(size, places, np.tile(tensors[name].ravel(), copies))
    if kind == "matrix":
        name, transposed, places = rest
        weights = tensors[name].reshape(-1, tensors[name].shape[-1])
        weights = weights.T if transposed else weights
        return _reading(
            weights, size, np.arange(size) if places is None else np.array(places, dtype=np.int64)
        )
    name, *geometry, places = rest
    return convolution_matrix(tensors[name], size, places, *geometry)


def _picking(size: int, places: Sequence[int] | Matrix, factors: Matrix) -> Map:
    """One component for each row, times a factor; -1 for none."""
    columns = np.asarray(places, dtype=np.int64)
    rows = np.flatnonzero((columns >= 0) & (factors != 0))
    return placed((len(columns), size), rows, columns[rows], factors[rows])


def _reading(weights: Matrix, size: int, places: Matrix) -> Map:
    """A matrix whose column k is at `places[k]`, -1 for nowhere, no two at one place."""
    inside = np.flatnonzero(places >= 0)
    rows, columns = np.nonzero(weights[:, inside])
    return placed((len(weights), size), rows, places[inside][columns], weights[rows, inside[columns]])
