"""Linear maps as matrices: dense, or compressed where they are large and nearly empty, as those of
convolutions and residual connections of images are."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[Any]]
"""float64, every entry meant exactly; or objects, each a Fraction."""
Map = Any
"""A `Matrix` [rows, columns], or the same as a `scipy.sparse.csr_array` of float64."""
Ids = np.ndarray[Any, np.dtype[np.int64]]

LARGE = 1 << 16
"""Entries above which a map may be compressed."""
FULL = 1 / 16
"""The share of entries that are not 0 above which it is not."""


def compressed(shape: tuple[int, int], entries: int) -> bool:
    """Whether a map of this shape with so many entries that are not 0 is compressed."""
    return prod(shape) > LARGE and entries <= FULL * prod(shape)


def placed(shape: tuple[int, int], rows: Ids, columns: Ids, values: Matrix) -> Map:
    """The map with these entries, no two at one place, and 0 elsewhere."""
    if compressed(shape, len(values)):
        from scipy.sparse import csr_array

        return csr_array((values, (rows, columns)), shape=shape)
    matrix = np.zeros(shape)
    matrix[rows, columns] = values
    return matrix


def entries(matrix: Map) -> tuple[Ids, Ids, Matrix]:
    """Rows, columns and values of what is not 0."""
    if isinstance(matrix, np.ndarray):
        rows, columns = np.nonzero(matrix)
        return rows, columns, matrix[rows, columns]
    found = matrix.tocoo()
    kept = found.data != 0
    return found.row[kept].astype(np.int64), found.col[kept].astype(np.int64), found.data[kept]


def read_by(matrix: Map) -> Matrix:
    """Which columns [bool] some row reads."""
    read = np.zeros(matrix.shape[1], dtype=bool)
    read[entries(matrix)[1]] = True
    return read


def dense(matrix: Map) -> Matrix:
    """The map with all its zeros."""
    written: Matrix = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    return written
