"""The cubic proof of Gross et al. 2024 (section 4.2): sequences of three different tokens stand for all.

The published proof takes the worst output of each table; this one looks at every output, and is longer and
tighter.

Given q and m, a sequence holds c copies of m, and other tokens below m. With numerators additive over
positions (`.numerators`) and exp(s(q, p, t)) = exp(A[q, t]) exp(B[q, p]), the sum for output j is linear in
the share X of the copies in T = sum_p exp(B[q, p]), so it is enough to look at the least and the largest X.
It is no larger than that of the *pure* sequence with the other token k whose term is largest. So if for c
copies the pure sequences of all k in a set are right, so are all sequences that mix tokens of the set: there
are C(K - 1, c) n^(K - 1 - c).
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from .costs import Meter
from .max_of_k import Shape
from .paths import logit_cost, score_cost
from .reals import Reals, reals
from .strategy import Semantics, Subject

__all__ = ["Cubic"]

Real = NDArray[np.float64]


class Cubic:
    """Pure sequences, for each query, maximum, other token and number of copies."""

    name = "cubic"
    argument = "numerators, linear between extremes, pure sequences"
    semantics: tuple[Semantics, ...] = ("real",)

    def cost(self, shape: Shape) -> int:
        """All of it; only k < m and q <= m are needed."""
        meter, v, K = Meter(), shape.v, shape.K
        logit_cost(meter, shape)
        score_cost(meter, shape)
        pairs, triples = v * (v + 1) // 2, sum(m * (m + 1) for m in range(v))
        meter.each("PV", (K - 1) * v * v, times=2)
        meter.each("terms", (triples + 2 * pairs) * v, times=4)
        meter.each("copies", 2 * (K - 1) * pairs * v, times=3)
        meter.each("pure sequences", 2 * (K - 1) * triples * v, times=2)
        meter.reduce("pure sequences", 2 * (K - 1) * triples, v)
        meter.each("counting", triples * K + pairs * K, times=2)
        return meter.total

    def unexplained(self, shape: Shape) -> int:
        """Three tables of pairs, and two of positions: 3 v^2 + 2 v K."""
        return 3 * shape.v**2 + 2 * shape.v * shape.K

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many sequences are certified."""
        table, shape = reals(subject.paths), subject.paths.shape
        meter.each("cubic", self.cost(shape))
        return sum(_certified(table, q, m, shape.K) for q in range(shape.v) for m in range(q, shape.v))


def _certified(table: Reals, q: int, m: int, K: int) -> int:
    EU, EV, PV = (rows - rows[..., m : m + 1] for rows in (table.EU[q], table.EV[: m + 1], table.PV))
    others = np.arange(len(EU)) != m
    EU, EV, PV = EU[others], EV[:, others], PV[:, others]
    shift = table.A[q, : m + 1].max()
    factor, places = np.exp(table.A[q, : m + 1] - shift), np.exp(table.B[q] - table.B[q].max())
    terms = factor[:, None] * (EV + EU + PV[:-1].max(0) + table.slack)  # [k, j]
    last = factor[q] * places[-1] * (EV[q] + EU + PV[-1] + table.slack)
    ordered = np.sort(places[:-1])
    found = 0
    for c in range(1 if q < m else 0, K):
        good = np.ones(m, dtype=bool)
        for X in (ordered[:c].sum(), ordered[len(ordered) - c :].sum()):
            good &= ((ordered.sum() - X) * terms[:m] + (X * terms[m] + last) < 0).all(1)
        if c == K - 1:
            return found + int((X * terms[m] + last < 0).all())
        found += comb(K - 1, c) * int(good.sum()) ** (K - 1 - c)
    return found
