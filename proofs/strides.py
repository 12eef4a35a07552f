"""Operations as certificates hold them: every linear map is one rule, which walks over weights in strides.

A term of an affine operation is `[s, places, weight, loops]`. `loops` are `[n, row, weight, component]`, the
first outermost: together they visit places i of n1 x n2 x …, and each visit adds weight[Σ i·weight] times
component Σ i·component of value s to row Σ i·row. `places`, where it is not null, first picks components of
s, -1 for none. So a matrix is two loops, its transpose the same two with other strides, a convolution over
two axes seven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from .convolutions import Shape, convolution_loops
from .lowering import Graph

Loops = list[list[int]]


def strided(graph: Graph) -> list[list[Any]]:
    """The operations of a graph, with its linear maps in strides."""
    shapes = {name: tensor.shape for name, tensor in graph.tensors.items()}
    return in_strides(graph.operations, graph.size, shapes)


def in_strides(operations: Sequence[list[Any]], size: int, shapes: Mapping[str, Shape]) -> list[list[Any]]:
    """Operations on a value of `size` components, with their linear maps in strides."""
    sizes, written = [size], []
    for operation in operations:
        kind, first, *rest = operation
        if kind == "affine":
            terms = [_term(s, how, sizes[s], shapes) for s, *how in first]
            sizes.append(prod(n for n, row, *_ in terms[0][3] if row))
            written.append([kind, terms, *rest])
        else:
            sizes.append(sizes[first] * (prod(shapes[rest[0]][1:]) if kind == "table" else 1))
            written.append(list(operation))
    return written


def _term(s: int, how: list[Any], size: int, shapes: Mapping[str, Shape]) -> list[Any]:
    match how:
        case ["times", factor]:
            return [s, None, factor, [[size, 1, 0, 1]]]
        case ["pick", places, factor]:
            return [s, places, factor, [[len(places), 1, 0, 1]]]
        case ["scale", name, copies, places]:
            entries = prod(shapes[name])
            return [s, places, f"@{name}", [[copies, entries, 0, entries], [entries, 1, 1, 1]]]
        case ["matrix", name, transposed, places]:
            columns = shapes[name][-1]
            rows = prod(shapes[name]) // columns
            straight = [[rows, 1, columns, 0], [columns, 0, 1, 1]]
            turned = [[columns, 1, 1, 0], [rows, 0, columns, 1]]
            return [s, places, f"@{name}", turned if transposed else straight]
    _, name, *geometry, places = how
    return [s, places, f"@{name}", convolution_loops(shapes[name], *geometry)]
