"""What an explanation offers the accountant: two small Protocols, one per setting.

An explanation says *what* it sends; this package prices it. From the message alone the receiver must
restore the target on its grid, or :class:`DoesNotDecode` is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from .part_tensors import Combination, Parts


class DoesNotDecode(ValueError):
    """The receiver, with the message alone, does not get the target."""


@dataclass(frozen=True, eq=False)
class Code:
    """Active parts and their coefficients, the non-zeros of a [rows, parts] matrix in row order."""

    row: Tensor
    part: Tensor
    value: Tensor
    rows: int
    parts: int

    @classmethod
    def dense(cls, coefficients: Tensor) -> Code:
        """From a matrix [rows, parts]; zeros are inactive."""
        row, part = coefficients.nonzero(as_tuple=True)
        return cls(row, part, coefficients[row, part], *coefficients.shape)

    def keep(self, which: Tensor) -> Code:
        """The entries selected by a Boolean mask."""
        return Code(self.row[which], self.part[which], self.value[which], self.rows, self.parts)


@dataclass(frozen=True, eq=False)
class Dictionary:
    """x̂ = bias + Σ_c a_c rows[c]. ``rows`` [parts, d], or None for the identity (the neuron basis).

    They may be told ``through`` a second dictionary, where that is shorter.
    """

    rows: Tensor | None
    bias: Tensor
    through: Combination | None = None

    @property
    def width(self) -> int:
        """d, the number of coordinates at the site."""
        return int(self.bias.shape[0])

    @property
    def parts(self) -> int:
        """How many rows there are."""
        return self.width if self.rows is None else int(self.rows.shape[0])


class SiteExplanation(Protocol):
    """An explanation of activations at a site by a dictionary."""

    @property
    def kind(self) -> str:
        """neurons, pca, sae …"""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def open_ended(self) -> bool:
        """Whether data beyond those at hand would bring new rows, as they do to a lookup table."""

    def dictionary(self) -> Dictionary:
        """The rows that the receiver needs."""

    def code(self, x: Tensor) -> Code:
        """The coefficients of activations [rows, d]."""

    def recipe(self) -> dict[str, object]:
        """How it was made, so that a report can be made again."""


class MechanismExplanation(Protocol):
    """An explanation of how inputs become outputs, by parts that are active or not on each datum."""

    @property
    def kind(self) -> str:
        """network, neurons, sae, circuit, components, lookup …"""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def donor(self) -> str:
        """What replaces inactive parts: zero, mean, resample."""

    @property
    def open_ended(self) -> bool:
        """Whether data beyond those at hand would bring new parts, as they do to a lookup table."""

    def parts(self) -> Parts:
        """All parts, at full precision."""

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Which parts each position of each datum needs: Boolean [data, positions, parts]."""

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """The outputs [data, …] that the receiver computes from inputs, restored parts and support."""

    def recipe(self) -> dict[str, object]:
        """How it was made, so that a report can be made again."""


@runtime_checkable
class TellsCoefficients(Protocol):
    """A mechanism that sends how strongly each active part acts, instead of how to find out."""

    def coefficients(self, x: Tensor) -> Tensor:
        """Coefficients [data, positions, parts] of inputs; zeros are inactive."""

    def predict_from(self, restored: Mapping[str, Tensor], x: Tensor, coefficients: Tensor) -> Tensor:
        """The outputs that the receiver computes from restored parts and coefficients as they arrive."""


def check_code(code: Code, parts: int, rows: int) -> None:
    """A code must be about these parts and rows, ascend by row, and name a part at most once on a row."""
    if (code.rows, code.parts) != (rows, parts):
        raise DoesNotDecode(
            f"a code of {code.rows} rows × {code.parts} parts came, {rows} × {parts} was expected"
        )
    if not code.row.shape == code.part.shape == code.value.shape == (len(code.row),):
        shapes = ", ".join(str(tuple(t.shape)) for t in (code.row, code.part, code.value))
        raise DoesNotDecode(f"rows, parts and values of a code must be as many as its entries, got {shapes}")
    _check_inside("row", code.row, rows)
    _check_inside("part", code.part, parts)
    if bool((torch.diff(code.row) < 0).any()):
        raise DoesNotDecode("the entries of a code must ascend by row")
    place = code.row * parts + code.part
    if bool((torch.diff(place.sort().values) == 0).any()):
        raise DoesNotDecode("a code names the same part twice on one row; the support is a set")


def _check_inside(what: str, index: Tensor, count: int) -> None:
    if not len(index):
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= count:
        raise DoesNotDecode(f"a code names {what}s {low} to {high}, there are {what}s 0 to {count - 1}")
