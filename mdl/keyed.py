"""Streams of integers that each belong to a key: a part (values) or a coordinate (residuals).

One tally counts the pairs (key, symbol). Its length is the shortest of three ways to share codes: one
for all (``pooled``), one per class of keys with like spread (``classes``; the class of each key is sent),
one per key (``separate``). The choice is paid. Where the receiver knows a context of every symbol, keys are
key · contexts + context, and each class has a code for each context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .lengths import kt
from .streams import CHOICE_BITS, Adaptive, Frozen, Range, StreamCode, candidates, shortest
from .tally import Histogram, Ints

WIDTH = 2**33  # a symbol lies within ±WIDTH/2, a key below 2^30
MOST_SEPARATE = 256
DENSE_CELLS = 2**16  # so many counters are cheaper than sorting, however few the symbols


class SymbolError(ValueError):
    """An integer too large for the tally: the step is far too fine for the data."""


def pair(keys: object, symbols: object) -> object:
    """One integer for each pair; numpy or torch, on the device where they are."""
    low, high = symbols.min(), symbols.max()  # type: ignore[attr-defined]
    if max(abs(int(low)), abs(int(high))) >= WIDTH // 2:
        raise SymbolError(f"an integer of {int(high)} steps needs a coarser step (at most {WIDTH // 2})")
    return keys * WIDTH + (symbols + WIDTH // 2)  # type: ignore[operator]


def keyed(keys: Any, symbols: Any, counts: Ints | None = None) -> Histogram:
    """The tally of pairs (numpy or torch), each as often as ``counts`` says, once without it.

    Counts where there are few cells, and sorts where there are many.
    """
    if not len(symbols):
        return Histogram()
    low, high = int(symbols.min()), int(symbols.max())
    span = high - low + 1
    if (int(keys.max()) + 1) * span > max(DENSE_CELLS, 2 * len(symbols)):
        pairs: Any = pair(keys, symbols)
        return Histogram.of(pairs) if counts is None else Histogram.merged(pairs, counts)
    cells = keys * span
    cells += symbols
    cells -= low
    every = _bincount(cells, counts)
    seen = every.nonzero()[0]
    return Histogram(np.asarray(pair(seen // span, seen % span + low), dtype=np.int64), every[seen])


def _bincount(cells: Any, counts: Ints | None) -> Ints:
    """How often each cell occurs, counted on the device where the cells are."""
    if isinstance(cells, np.ndarray):
        return np.bincount(cells, counts).astype(np.int64)
    return np.asarray(cells.bincount().cpu().numpy())


def split(tally: Histogram) -> tuple[Ints, Ints]:
    """Keys and symbols of a tally of pairs."""
    return tally.symbols // WIDTH, tally.symbols % WIDTH - WIDTH // 2


def pooled(tally: Histogram) -> Histogram:
    """The tally of the symbols alone."""
    return Histogram.merged(split(tally)[1], tally.counts)


@dataclass(frozen=True, eq=False)
class Sharing:
    """A way to code a keyed stream: which code each key uses, and what telling that costs.

    ``code_of`` [keys] is the class of each key; class g in context c uses ``codes[g · contexts + c]``.
    ``view`` turns a tally that knows more into the one that these codes are about.
    """

    name: str
    header: float
    code_of: Ints
    codes: tuple[StreamCode, ...]
    contexts: int = 1
    view: Callable[[Histogram], Histogram] | None = None

    @property
    def label(self) -> str:
        """How codes are shared, and which."""
        return f"{self.name}: {'+'.join(sorted({code.name for code in self.codes}))}"

    def bits(self, tally: Histogram) -> float:
        """Payload bits of a keyed tally."""
        tally = self.view(tally) if self.view else tally
        keys, symbols = split(tally)
        owner = group_of(keys, self.code_of, self.contexts)
        groups = (
            Histogram.merged(symbols[owner == g], tally.counts[owner == g]) for g in range(len(self.codes))
        )
        return sum(code.bits(group) for code, group in zip(self.codes, groups, strict=True))


def group_of(keys: Ints, code_of: Ints, contexts: int) -> Ints:
    """Which code every entry with these keys uses."""
    return code_of[keys // contexts] * contexts + keys % contexts if keys.size else keys


def rough_bits(tally: Histogram, keys: int, contexts: int = 1) -> float:
    """A quick length for choosing steps: KT within classes of like spread, headers left out."""
    if not tally.symbols.size:
        return 0.0
    owner, symbols = split(tally)
    classes = _classes(owner // contexts, symbols, tally.counts, keys)
    group = group_of(owner, classes, contexts)
    total = 0.0
    for g in np.unique(group):
        mine = Histogram.merged(symbols[group == g], tally.counts[group == g])
        alphabet = int(mine.symbols[-1] - mine.symbols[0]) + 1
        total += min(kt(mine.counts, alphabet), Adaptive(Range(0, 0)).bits(mine))
    return total


def linear_sharings(tally: Histogram, keys: int) -> Iterator[Sharing]:
    """Ways whose cost is linear in the data: for many data, and with small headers for few."""
    yield from sharings(tally, keys, frozen=True)
    for code in candidates(pooled(tally)):
        if isinstance(code, Frozen):
            header = CHOICE_BITS + code.header
            yield Sharing("pooled", header, np.zeros(keys, dtype=np.int64), (code,))


def sharings(tally: Histogram, keys: int, frozen: bool = False, contexts: int = 1) -> Iterator[Sharing]:
    """The ways to share codes among so many keys, each in so many contexts."""
    owner, symbols = split(tally)
    yield _sharing("pooled", tally, np.zeros(keys, dtype=np.int64), 0.0, frozen, contexts)
    classes = _classes(owner // contexts, symbols, tally.counts, keys)
    if len(np.unique(classes)) > 1:
        told = Histogram.of(classes)
        code = shortest(told)
        yield _sharing("classes", tally, classes, code.header + code.bits(told), frozen, contexts)
    if contexts == 1 and 1 < keys <= MOST_SEPARATE:
        yield _sharing("separate", tally, np.arange(keys), 0.0, frozen)


def _classes(owner: Ints, symbols: Ints, counts: Ints, keys: int) -> Ints:
    """Keys by the order of magnitude of their symbols, numbered from 0 without gaps."""
    size = np.bincount(owner, np.abs(symbols) * counts, minlength=keys)
    seen = np.bincount(owner, counts, minlength=keys)
    level = np.floor(np.log2(np.maximum(size / np.maximum(seen, 1), 2.0**-4))).astype(np.int64)
    return np.unique(level, return_inverse=True)[1].astype(np.int64)


def _sharing(
    name: str, tally: Histogram, code_of: Ints, told: float, frozen: bool, contexts: int = 1
) -> Sharing:
    owner, symbols = split(tally)
    group = group_of(owner, code_of, contexts)
    codes = tuple(
        shortest(Histogram.merged(symbols[group == g], tally.counts[group == g]), frozen=frozen)
        for g in range((int(code_of.max(initial=0)) + 1) * contexts)
    )
    header = CHOICE_BITS + told + sum(code.header for code in codes)
    return Sharing(name, header, code_of, codes, contexts)


def shortest_sharing(tally: Histogram, keys: int, frozen: bool = False) -> Sharing:
    """The shortest way to code this keyed tally, all headers included."""
    ways = sharings(tally, keys, frozen)
    return min(ways, key=lambda way: (way.header + way.bits(tally), way.name))
