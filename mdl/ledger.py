"""The ledger: the lines of a message, in bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Section = Literal["parts", "support", "values", "correction"]
SECTIONS: tuple[Section, ...] = ("parts", "support", "values", "correction")
Status = Literal["exact", "bound", "estimate"]


@dataclass(frozen=True)
class Line:
    """One thing that is sent: ``header`` once, ``bits`` with the header included.

    ``status`` says what kind of number it is: the exact length of a code, a bound, or an estimate.
    """

    name: str
    section: Section
    code: str
    bits: float
    header: float = 0.0
    status: Status = "exact"

    def __post_init__(self) -> None:
        if math.isnan(self.bits) or self.bits < 0:
            raise ValueError(f"line {self.name!r}: a length in bits cannot be {self.bits}")


@dataclass(frozen=True)
class Ledger:
    """All lines of a message about ``samples`` rows."""

    lines: tuple[Line, ...]
    samples: int

    def section(self, name: Section) -> float:
        """Bits of one section."""
        return math.fsum(line.bits for line in self.lines if line.section == name)

    @property
    def total(self) -> float:
        """The sum of the lines, bits."""
        return math.fsum(line.bits for line in self.lines)

    def per_sample(self, bits: float) -> float:
        """Bits shared out over the rows."""
        return bits / self.samples if self.samples else math.nan
