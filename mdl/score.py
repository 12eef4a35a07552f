"""What a score is, and what both settings share in making one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .law import Law, Rate
from .ledger import Ledger
from .lengths import Floats
from .support import support_costs
from .tally import Usage
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
    return seen


def support_rates(usage: Usage, data: int) -> tuple[Rate, ...]:
    """The linear codes of the support, per datum; a datum may have several rows."""
    scale = usage.n / data
    return tuple(Rate(c.name, c.header, c.per_row * scale) for c in support_costs(usage) if c.linear)


def support_shares(usage: Usage, blocks: list[Usage]) -> Floats:
    """Bits of each block's support at the frequencies of all."""
    p = np.clip(usage.counts / max(usage.n, 1), 1e-12, 1 - 1e-12)
    on, off = -np.log2(p), -np.log2(1 - p)
    return np.array([float((b.counts * on + (b.n - b.counts) * off).sum()) for b in blocks])
