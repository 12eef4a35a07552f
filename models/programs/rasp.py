"""A small RASP: programs on sequences that a transformer can run (Weiss et al. 2021, arXiv 2106.06981).

An *s-op* is a sequence of values, one at each position: categorical (``values`` lists what it may be) or
numerical (``values`` is None).  A *selector* says for every pair of positions whether the one looks at the
other.  `evaluate` runs a program in plain Python; `compiler` turns it into the weights of a transformer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.models.errors import InputError

__all__ = [
    "Aggregate",
    "Exceeds",
    "Indices",
    "Map",
    "Numerical",
    "Rectified",
    "SOp",
    "Select",
    "SelectorWidth",
    "SelectsNothing",
    "SequenceMap",
    "Tokens",
    "evaluate",
]

Value = Any


class SelectsNothing(InputError):
    """A mean over no position: attention cannot say that it looks at nothing."""


@dataclass(frozen=True, eq=False)
class SOp:
    """A sequence of values, one at each position."""

    @property
    def values(self) -> tuple[Value, ...] | None:
        """What a categorical value may be; None for a number."""
        return None


@dataclass(frozen=True, eq=False)
class Tokens(SOp):
    """The input."""

    vocabulary: tuple[Value, ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """The vocabulary."""
        return self.vocabulary


@dataclass(frozen=True, eq=False)
class Indices(SOp):
    """0, 1, 2 … up to ``longest`` - 1."""

    longest: int

    @property
    def values(self) -> tuple[Value, ...]:
        """Every index that a sequence may reach."""
        return tuple(range(self.longest))


@dataclass(frozen=True, eq=False)
class Map(SOp):
    """``function`` of a categorical value."""

    source: SOp
    function: Callable[[Value], Value]

    @property
    def values(self) -> tuple[Value, ...]:
        """What the function gives."""
        return _distinct(self.function(v) for v in self.source.values or ())


@dataclass(frozen=True, eq=False)
class SequenceMap(SOp):
    """``function`` of two categorical values; None where a pair never matters."""

    first: SOp
    second: SOp
    function: Callable[[Value, Value], Value]

    @property
    def values(self) -> tuple[Value, ...]:
        """What the function gives."""
        pairs = ((u, v) for u in self.first.values or () for v in self.second.values or ())
        return _distinct(self.function(u, v) for u, v in pairs)


@dataclass(frozen=True, eq=False)
class Numerical(SOp):
    """A number for each categorical value."""

    source: SOp
    numbers: Mapping[Value, float]


@dataclass(frozen=True, eq=False)
class Rectified(SOp):
    """The positive part of ``sign`` times a number."""

    source: SOp
    sign: int


@dataclass(frozen=True, eq=False)
class Exceeds(SOp):
    """Whether a sum of numbers that are never negative is at least ``least``; it is 0 where it is not."""

    sources: tuple[SOp, ...]
    least: float

    @property
    def values(self) -> tuple[Value, ...]:
        """No or yes."""
        return (False, True)


@dataclass(frozen=True, eq=False)
class Select:
    """The query position looks at the key positions for which ``predicate(key, query)`` holds."""

    keys: SOp
    queries: SOp
    predicate: Callable[[Value, Value], bool]


@dataclass(frozen=True, eq=False)
class SelectorWidth(SOp):
    """How many positions are looked at: a number that lies in ``least`` … ``most``, as categories."""

    select: Select
    least: int
    most: int

    @property
    def values(self) -> tuple[Value, ...]:
        """The counts that may occur."""
        return tuple(range(self.least, self.most + 1))


@dataclass(frozen=True, eq=False)
class Aggregate(SOp):
    """The value at the one position that is looked at, or the mean of numbers over all of them."""

    select: Select
    source: SOp

    @property
    def values(self) -> tuple[Value, ...] | None:
        """Those of what is read."""
        return self.source.values


def evaluate(program: SOp, sequence: Sequence[Value]) -> list[Value]:
    """Run a program on one sequence.

    Raises `SelectsNothing` for a mean over nothing, and `InputError` for several different categories under
    one selector.
    """
    match program:
        case Tokens():
            return list(sequence)
        case Indices():
            return list(range(len(sequence)))
        case Map(source=source, function=f):
            return [f(v) for v in evaluate(source, sequence)]
        case SequenceMap(first=a, second=b, function=g):
            return [g(u, v) for u, v in zip(evaluate(a, sequence), evaluate(b, sequence), strict=True)]
        case Numerical(source=source, numbers=numbers):
            return [numbers.get(v, 0.0) for v in evaluate(source, sequence)]
        case Rectified(source=source, sign=sign):
            return [max(0.0, sign * v) for v in evaluate(source, sequence)]
        case Exceeds(sources=sources, least=least):
            columns = zip(*(evaluate(source, sequence) for source in sources), strict=True)
            return [sum(column) >= least - 1e-9 for column in columns]
        case SelectorWidth(select=select):
            return [sum(row) for row in _pattern(select, sequence)]
        case Aggregate(select=select, source=source):
            values = evaluate(source, sequence)
            return [_mean(row, values, source) for row in _pattern(select, sequence)]
    raise InputError(f"a {type(program).__name__} is not an s-op of this language")


def _pattern(select: Select, sequence: Sequence[Value]) -> list[list[bool]]:
    """[query, key]."""
    keys, queries = evaluate(select.keys, sequence), evaluate(select.queries, sequence)
    return [[bool(select.predicate(k, q)) for k in keys] for q in queries]


def _mean(row: list[bool], values: list[Value], source: SOp) -> Value:
    seen = [value for value, chosen in zip(values, row, strict=True) if chosen]
    if not seen:
        raise SelectsNothing("an aggregate looks at no position, so its mean is of nothing")
    if source.values is None:
        return sum(seen) / len(seen)
    if len(set(seen)) > 1:
        raise InputError(f"an aggregate of categories looks at different ones: {sorted(set(seen))}")
    return seen[0]


def _distinct(values: Any) -> tuple[Value, ...]:
    return tuple(sorted({value for value in values if value is not None}))
