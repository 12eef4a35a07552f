"""Rows of numbers that a score looks at stretch by stretch: a tensor, or what computes them on demand."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Rows(Protocol):
    """Rows [n, …]. A slice of them is a tensor; ``[:]`` is all of them."""

    @property
    def shape(self) -> torch.Size:
        """[n, …]."""

    @property
    def device(self) -> torch.device:
        """Where slices lie."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...
