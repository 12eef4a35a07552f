"""Data with a fingerprint of their bytes, and the scope they were drawn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from .errors import InputError
from .network import tensor_bytes

__all__ = ["Dataset", "Scope"]


@dataclass(frozen=True)
class Scope:
    """What the data are a sample of: the condition on the inputs, and the distribution on them, in words."""

    condition: str
    distribution: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs [n, …], with labels [n, …] where there are any.

    ``unit`` says what one datum is: a sample, or a sequence of tokens.
    """

    name: str
    inputs: Tensor
    labels: Tensor | None
    unit: Literal["sample", "sequence"]
    scope: Scope

    def __post_init__(self) -> None:
        if self.inputs.ndim == 0:
            raise InputError(f"dataset {self.name!r}: inputs need an axis of data, got a single number")
        if self.labels is not None and len(self.labels) != len(self.inputs):
            raise InputError(
                f"dataset {self.name!r} has {len(self.inputs)} inputs but {len(self.labels)} labels"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over dtype, shape and bytes of the inputs, then of the labels."""
        sha = hashlib.sha256()
        for tensor in (self.inputs, self.labels):
            if tensor is not None:
                sha.update(f"{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
                sha.update(tensor_bytes(tensor))
        return sha.hexdigest()

    def take(self, n: int) -> Dataset:
        """The first n data."""
        return self._rows(torch.arange(min(n, len(self))))

    def split(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Split at random into two; the first gets ``round(fraction · n)`` data."""
        if not 0 <= fraction <= 1:
            raise InputError(f"cannot split dataset {self.name!r} at {fraction}, expected 0 to 1")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        cut = round(fraction * len(self))
        return self._rows(order[:cut]), self._rows(order[cut:])

    def _rows(self, index: Tensor) -> Dataset:
        labels = None if self.labels is None else self.labels[index]
        return replace(self, inputs=self.inputs[index], labels=labels)
