"""Codes of the support: which parts are active, row by row.

- ``enumerative``: per row log2 C(C, k), and k under the shortest stream code;
- ``per-part``: one KT Bernoulli per part over all rows;
- ``frequencies``: each part's count is sent first, then every row at those frequencies;
- ``constant``: the same set on every row, sent once;
- ``dependent`` and ``dependent frequencies``: the same two codes of each part given its parent's state, which
  is another part on the row, or itself on the row before (:mod:`dependence`);
- ``free``: per row log2 C(C, k) and Elias delta of k + 1: knows no frequency, so it is fair at N = 1.

The set is coded, never an ordered list of indices (k log2 C bits).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .dependence import Dependence, dependence
from .lengths import elias_delta, kt_bernoulli, log2_binomial
from .streams import CHOICE_BITS, shortest
from .tally import Histogram, Usage


@dataclass(frozen=True)
class SupportCost:
    """What the support costs: a header once, a mean per row; ``linear`` if fair for any number of rows.

    ``dependence`` holds the parents where the code has them.
    """

    name: str
    header: float
    per_row: float
    linear: bool
    dependence: Dependence | None = field(default=None, compare=False, repr=False)

    def bits(self, rows: int) -> float:
        """Bits of so many rows."""
        return self.header + self.per_row * rows


def support_costs(usage: Usage) -> Iterator[SupportCost]:
    """Every code of the support, on this tally."""
    n, C, k = max(usage.n, 1), usage.parts, usage.sizes
    subsets = float((log2_binomial(C, k.symbols) * k.counts).sum())
    if bool(np.isin(usage.counts, (0, usage.n)).all()):
        size = int((usage.counts > 0).sum())
        once = float(log2_binomial(C, size) + elias_delta(size + 1))
        yield SupportCost("constant", CHOICE_BITS + once, 0.0, True)
    universal = float((elias_delta(k.symbols + 1) * k.counts).sum())
    yield SupportCost("free", CHOICE_BITS, (subsets + universal) / n, True)
    sizes = shortest(k)
    yield SupportCost("enumerative", CHOICE_BITS + sizes.header, (subsets + sizes.bits(k)) / n, False)
    often = Histogram.of(usage.counts)  # many parts are active equally often
    alone = float((kt_bernoulli(often.symbols, usage.n) * often.counts).sum())
    yield SupportCost("per-part", CHOICE_BITS, alone / n, False)
    told = float((elias_delta(often.symbols + 1) * often.counts).sum()) + float(elias_delta(n))
    yield SupportCost("frequencies", CHOICE_BITS + told, _entropy(often, n), True)
    if (tree := dependence(usage)) is not None:
        header = CHOICE_BITS + tree.header
        yield SupportCost("dependent", header, tree.adaptive / n, False, tree)
        yield SupportCost("dependent frequencies", header + tree.told, tree.entropy / n, True, tree)


def shortest_support(usage: Usage) -> SupportCost:
    """The code that is shortest on the rows that were tallied."""
    return min(support_costs(usage), key=lambda cost: (cost.bits(usage.n), cost.name))


def _entropy(often: Histogram, n: int) -> float:
    """Bits per row at the empirical frequency of each part."""
    p = often.symbols / n
    with np.errstate(divide="ignore", invalid="ignore"):
        h = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    return float((np.nan_to_num(h) * often.counts).sum())
