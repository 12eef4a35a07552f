"""A pass over the data in canonical chunks: whole, in shards that add up, or cut short and gone on with.

Chunks are the same for everybody, each is tallied on its own, and tallies add. So it does not matter who
tallies which chunk, in what order, or in how many sittings: the sum is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .score import Progress

Plan = Sequence[tuple[int, slice]]
"""(block of the interval, rows or data) of every chunk."""

Choices = Mapping[str, int | bool | str | list[int] | None]
"""What was chosen on the first data: a tally depends on it, so tallies of other choices do not add."""

T = TypeVar("T")


class TallyError(ValueError):
    """Tallies that do not belong together, that do not cover the data, or that cannot be read."""


@dataclass(frozen=True)
class Shard:
    """Part ``index`` (from 0) of ``of`` nearly equal, contiguous parts of the chunks."""

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            raise TallyError(f"shard {self.index}/{self.of}: expected I/N with 0 <= I < N")

    def chunks(self, total: int) -> range:
        """Which chunks are this shard's.

        >>> [list(Shard(i, 3).chunks(7)) for i in range(3)]
        [[0, 1], [2, 3], [4, 5, 6]]
        """
        return range(self.index * total // self.of, (self.index + 1) * total // self.of)


@dataclass(frozen=True, eq=False)
class Tallied(Generic[T]):
    """Tallies of the chunks that are ``done`` [chunks], summed by block."""

    choices: Choices
    done: NDArray[np.bool_]
    blocks: Mapping[int, T] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every chunk was tallied."""
        return bool(self.done.all())

    def with_chunk(self, index: int, block: int, tally: T) -> Tallied[T]:
        """One more chunk."""
        done = self.done.copy()
        done[index] = True
        return Tallied(self.choices, done, _added(self.blocks, block, tally))

    def __add__(self, other: Tallied[T]) -> Tallied[T]:
        if self.done.size != other.done.size:
            raise TallyError(
                f"tallies of {self.done.size} and of {other.done.size} chunks are not of the same data"
            )
        check_choices(self.choices, other.choices)
        if twice := np.flatnonzero(self.done & other.done).tolist():
            raise TallyError(f"chunk {twice[0]} of {self.done.size} was tallied twice: the shards overlap")
        blocks: Mapping[int, T] = self.blocks
        for block, tally in other.blocks.items():
            blocks = _added(blocks, block, tally)
        return Tallied(self.choices, self.done | other.done, blocks)

    def per_block(self) -> list[T]:
        """The tallies of the blocks in order; raises :class:`TallyError` while chunks are missing."""
        if not self.complete:
            missing = np.flatnonzero(~self.done)
            raise TallyError(
                f"{missing.size} of {self.done.size} chunks are not tallied yet, the first is {missing[0]}"
            )
        return [self.blocks[block] for block in sorted(self.blocks)]


def _added(blocks: Mapping[int, T], block: int, tally: T) -> dict[int, T]:
    there: Any = blocks.get(block)
    return {**blocks, block: tally if there is None else there + tally}


def check_choices(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise :class:`TallyError` that names the first choice in which two tallies differ."""
    for key in sorted({*found, *expected}):
        if found.get(key) != expected.get(key):
            raise TallyError(
                f"tallies that differ in {key} do not add: got {_short(found.get(key))}, "
                f"expected {_short(expected.get(key))}"
            )


def whole(choices: Choices, key: str) -> int:
    """A choice that is a whole number."""
    value = choices.get(key)
    if not isinstance(value, int):
        raise TallyError(f"the choice of {key} is {_short(value)}, expected a whole number")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@dataclass(frozen=True, eq=False)
class Course(Generic[T]):
    """How a pass is made: which ``shard``, from what ``start``, and who is told after each chunk."""

    shard: Shard = field(default_factory=Shard)
    start: Tallied[T] | None = None
    keep: Callable[[Tallied[T]], None] | None = None
    progress: Progress | None = None

    def begin(self, chunks: int, choose: Callable[[], Choices]) -> Tallied[T]:
        """Where the pass starts; what has to be chosen is chosen only where nothing was begun."""
        if self.start is None:
            return Tallied(choose(), np.zeros(chunks, dtype=bool))
        if self.start.done.size != chunks:
            raise TallyError(f"the tallies are of {self.start.done.size} chunks, the data have {chunks}")
        return self.start

    def run(self, start: Tallied[T], plan: Plan, tally: Callable[[slice], T]) -> Tallied[T]:
        """Tally the chunks of the shard that are not done yet."""
        found = start
        for index in self.shard.chunks(len(plan)):
            block, rows = plan[index]
            if not found.done[index]:
                found = found.with_chunk(index, block, tally(rows))
                if self.keep is not None:
                    self.keep(found)
            if self.progress is not None:
                self.progress(rows.stop, plan[-1][1].stop)
        return found
