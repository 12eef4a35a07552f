"""What a score is, and what both settings share in making one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .answers import AnswerTally
from .dependence import with_parents
from .law import Law, Rate
from .ledger import Ledger
from .lengths import Floats, elias_delta, log2_binomial
from .streams import shortest
from .support import shortest_support, support_costs
from .tally import Histogram, Ints, Usage
from .target import CorrectionTally, DivergenceTally, ResidualTally

BLOCKS = 32
Precision = int | Literal["auto"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Score:
    """What one explanation costs on one dataset."""

    ledger: Ledger
    law: Law
    blocks: Floats
    block_rows: Floats
    knobs: dict[str, float | int | str]
    faithfulness: dict[str, float]
    usage: Usage
    octaves: tuple[int, ...] = ()  # of each part's step of values, where they are not alike

    @property
    def bits_per_sample(self) -> float:
        """Total bits over rows."""
        return self.ledger.per_sample(self.ledger.total)


def shortest_of(scores: Sequence[Score]) -> int:
    """Which of several scores of one explanation has the smallest total."""
    return min(range(len(scores)), key=lambda i: (scores[i].ledger.total, i))


def with_choice(score: Score, ways: int) -> Score:
    """The score of a message that first says which of ``ways`` it is."""
    bits = math.log2(ways)
    first, *rest = score.ledger.lines
    paid = replace(first, bits=first.bits + bits, header=first.header + bits)
    ledger = Ledger((paid, *rest), score.ledger.samples)
    return replace(score, ledger=ledger, law=replace(score.law, preamble=score.law.preamble + bits))


def sum_corrections(tallies: Iterable[CorrectionTally]) -> CorrectionTally:
    """Tallies of the same correction, added up."""
    iterator = iter(tallies)
    total = next(iterator)
    for tally in iterator:
        total = total + tally
    return total


def faithfulness(usage: Usage, correction: CorrectionTally) -> dict[str, float]:
    """Readings that come with the bits; units in the names."""
    seen: dict[str, float] = {"l0": usage.mean_size, "alive": float((usage.counts > 0).sum())}
    if isinstance(correction, ResidualTally):
        seen["fvu"] = correction.fvu
    if isinstance(correction, DivergenceTally):
        seen["kl_bits"] = correction.kl
        seen["infinite_rows"] = float(correction.infinite)
    if isinstance(correction, AnswerTally):
        seen["agreement"] = correction.agreement
    return seen


def support_rates(usage: Usage, data: int) -> tuple[Rate, ...]:
    """The linear codes of the support, per datum; a datum may have several rows."""
    scale = usage.n / data
    return tuple(Rate(c.name, c.header, c.per_row * scale) for c in support_costs(usage) if c.linear)


def support_shares(usage: Usage, blocks: list[Usage]) -> Floats:
    """Bits of each block's support under the code that the ledger chose for all, at the frequencies of all.

    An adaptive code has no price for a block alone: its frequencies stand for it. Blocks add up to the
    payload where the code is linear, and nearly so where it learns.
    """
    chosen = shortest_support(usage)
    match chosen.name:
        case "constant":
            return np.zeros(len(blocks))
        case "free":
            return np.array([_subsets(b) + _universal(b.sizes) for b in blocks])
        case "enumerative":
            code = shortest(usage.sizes, frozen=True)
            return np.array([_subsets(b) + code.bits(b.sizes) for b in blocks])
    if chosen.dependence is None:
        seen, ones = np.full(usage.parts, usage.n), usage.counts
        return np.array([_at(seen, ones, np.full(b.parts, b.n), b.counts) for b in blocks])
    tree = chosen.dependence
    trees = (with_parents(block, tree.parent) for block in blocks)
    return np.array([_at(tree.seen, tree.ones, part.seen, part.ones) for part in trees])


def _at(seen: Ints, ones: Ints, block_seen: Ints, block_ones: Ints) -> float:
    """Bits of a block's ones and zeros in each context, at the frequencies ones / seen."""
    p = np.clip(ones / np.maximum(seen, 1), 1e-12, 1 - 1e-12)
    return float(-(block_ones * np.log2(p) + (block_seen - block_ones) * np.log2(1 - p)).sum())


def _subsets(block: Usage) -> float:
    """Which parts, where the receiver knows how many."""
    return float((log2_binomial(block.parts, block.sizes.symbols) * block.sizes.counts).sum())


def _universal(sizes: Histogram) -> float:
    return float((elias_delta(sizes.symbols + 1) * sizes.counts).sum())
