"""Products by maps [out, in], of which those of convolutions are nearly empty."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .maps import Map

_FULL = 1 / 32
"""Share of entries that are not 0, above which a dense product is the faster one (benchmarked on CPU)."""
_SMALL = 1 << 14
"""Entries of a matrix that is dense whatever it holds."""
Packed = tuple[Tensor, Tensor]
"""A matrix turned round, and itself, both compressed."""


class Thin:
    """A map and what its products need; compressed, it takes a tenth of the time at a hundredth of entries.

    Attributes:
        dense: the matrix; None where it comes compressed.
        packed: the same compressed, where that is the faster one.
    """

    def __init__(self, matrix: Map, device: torch.device | str = "cpu") -> None:
        self.device, self.sparse = torch.device(device), None
        self.dense: Tensor | None = None
        self.packed: Packed | None = None
        if isinstance(matrix, np.ndarray):
            self.dense = torch.as_tensor(matrix.astype("float64"), device=device)
            few = int((self.dense != 0).sum()) <= _FULL * matrix.size
            if matrix.size > _SMALL and few:
                self.packed = _compressed(self.dense.T), _compressed(self.dense)
        else:
            self.sparse = matrix
            self.packed = self._pack(matrix)

    def _pack(self, matrix: Any) -> Packed:
        return _converted(matrix.T.tocsr(), self.device), _converted(matrix, self.device)

    def rows(self, left: Tensor) -> Tensor:
        """left [..., out] times the map."""
        if self.packed is None:
            return left @ self._dense
        there, back = self.packed
        return _Product.apply(left, there, back)  # type: ignore[no-any-return, no-untyped-call]

    def values(self, points: Tensor) -> Tensor:
        """The map times each of points [points, in]."""
        if self.packed is None:
            return points @ self._dense.T
        there, back = self.packed
        return _Product.apply(points, back, there)  # type: ignore[no-any-return, no-untyped-call]

    def some(self, rows: Tensor) -> Tensor:
        """Some rows [..., in], by their numbers."""
        if self.dense is not None:
            return self.dense[rows]
        assert self.sparse is not None
        found = torch.as_tensor(self.sparse[rows.cpu().numpy().ravel()].toarray(), device=self.device)
        return found.reshape(*rows.shape, self.sparse.shape[1])

    def most(self, low: Tensor, high: Tensor) -> Tensor:
        """The most [boxes, out] that the map may give of what lies between `low` and `high` [boxes, in]."""
        if self.dense is not None:
            ends = self.dense.clamp(min=0) @ high[..., None] + self.dense.clamp(max=0) @ low[..., None]
            return ends[..., 0]
        above, below = self._signed
        return _times(above, high) + _times(below, low)

    @cached_property
    def _signed(self) -> Packed:
        assert self.sparse is not None
        above, below = self.sparse.maximum(0), self.sparse.minimum(0)
        return _converted(above, self.device), _converted(below, self.device)

    @property
    def _dense(self) -> Tensor:
        assert self.dense is not None
        return self.dense

    def sizes(self) -> Thin:
        """The map's magnitudes."""
        return Thin(abs(self.matrix), self.device)

    @property
    def matrix(self) -> Map:
        """Outside torch."""
        return self.sparse if self.dense is None else self.dense.cpu().numpy()


def _compressed(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # "in beta state"
        return matrix.contiguous().to_sparse_csr()


def _converted(matrix: Any, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)
        starts, columns, values = map(torch.as_tensor, (matrix.indptr, matrix.indices, matrix.data))
        return torch.sparse_csr_tensor(starts, columns, values, matrix.shape, device=device)


class _Product(torch.autograd.Function):
    """left @ M, with Mᵀ compressed as `there`, and M as `back`."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.packed = there, back
        return _times(there, left)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        _, back = ctx.packed
        return _times(back, gradient), None, None


def _times(matrix: Tensor, left: Tensor) -> Tensor:
    flat = left.reshape(-1, left.shape[-1])
    return (matrix @ flat.T).T.reshape(*left.shape[:-1], matrix.shape[0])
