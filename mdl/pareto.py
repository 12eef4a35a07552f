"""Who is beaten in bits and in faithfulness at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .compare import Comparison, Row

MEASURES = ("kl_bits", "fvu")
"""Distortions before the correction, the one that is preferred first; less is better."""


@dataclass(frozen=True)
class Place:
    """One explanation: bits per sample of parts, support and values; its distortion before the correction.

    ``beaten_by`` names those that need no more bits, are no further off, and are better in one of the two.
    ``measure`` is a key of the faithfulness, or empty where none was measured for all.
    """

    name: str
    measure: str
    bits: float
    distortion: float
    beaten_by: tuple[str, ...]

    @property
    def efficient(self) -> bool:
        """Whether nobody beats it."""
        return not self.beaten_by


def pareto(comparison: Comparison) -> list[Place]:
    """The place of every explanation, in the order of the comparison."""
    rows = comparison.rows
    measure = next((m for m in MEASURES if all(m in row.faithfulness for row in rows)), "")
    points = [(_told(row), row.faithfulness.get(measure, math.nan)) for row in rows]
    return [
        Place(row.name, measure, *point, _beaten_by(point, points, rows) if measure else ())
        for row, point in zip(rows, points, strict=True)
    ]


def _told(row: Row) -> float:
    return row.parts + row.support + row.values


def _beaten_by(
    point: tuple[float, float], others: Sequence[tuple[float, float]], rows: Sequence[Row]
) -> tuple[str, ...]:
    return tuple(
        row.name
        for row, other in zip(rows, others, strict=True)
        if other != point and other[0] <= point[0] and other[1] <= point[1]
    )
