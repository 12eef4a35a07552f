"""Products by matrices [out, in], of which those of convolutions are nearly empty."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

_FULL = 1 / 32
"""Share of entries that are not 0, above which a dense product is the faster one (benchmarked on CPU)."""
_SMALL = 1 << 14
"""Entries of a matrix that is dense whatever it holds."""


class Thin:
    """A matrix and what its products need; compressed, it takes a tenth of the time at a hundredth of
    entries."""

    def __init__(self, dense: Tensor) -> None:
        self.dense = dense
        self.packed: tuple[Tensor, Tensor] | None = None
        if dense.numel() > _SMALL and int((dense != 0).sum()) <= _FULL * dense.numel():
            self.packed = _compressed(dense.T), _compressed(dense)

    def rows(self, left: Tensor) -> Tensor:
        """left [..., out] times the matrix."""
        if self.packed is None:
            return left @ self.dense
        there, back = self.packed
        return _Product.apply(left, there, back)  # type: ignore[no-any-return, no-untyped-call]

    def values(self, points: Tensor) -> Tensor:
        """The matrix times each of points [points, in]."""
        if self.packed is None:
            return points @ self.dense.T
        there, back = self.packed
        return _Product.apply(points, back, there)  # type: ignore[no-any-return, no-untyped-call]


def _compressed(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # "in beta state"
        return matrix.contiguous().to_sparse_csr()


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
