"""The strategies that count sequences with a negative sum of numerators: one for each choice of the parts."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from assay.proofs.faults import InputError
from numpy.typing import NDArray

from .costs import Meter
from .counting import below, tables
from .max_of_k import Shape
from .numerators import Bracket, Grid, Positions, grid_of, numerator_cost, outputs_of
from .paths import Paths, logit_cost, score_cost
from .rounding import Slack
from .strategy import Semantics, Subject

__all__ = ["Counting", "Numerators"]

Counting = Literal["exact", "threshold"]
MOST_BITS = 16
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Numerators:
    """A bound by numerator forms (`.numerators`).

    Attributes:
        bracket: "joint" (S2) or "split" (S1).
        positions: "apart", or "together" (cheaper by about K - 1).
        counting: "exact" counts all sequences with a negative sum; "threshold" those in which, for each
        number
            of copies of m, every other token is below one threshold.
        outputs: where not all sequences of a (q, m) are certified, also bound the bad ones output by output
            (S4, union bound), and take the better of both.
        grid: bits of m's own numerator.
    """

    bracket: Bracket = "joint"
    positions: Positions = "apart"
    counting: Counting = "exact"
    outputs: bool = False
    grid: int = 8

    def __post_init__(self) -> None:
        if not 2 <= self.grid <= MOST_BITS:
            raise InputError(f"a grid of {self.grid} bits, expected 2 to {MOST_BITS}")

    @property
    def name(self) -> str:
        """What to ask for on a command line."""
        more = ("-outputs" if self.outputs else "") + ("" if self.grid == 8 else f"-{self.grid}-bits")
        return f"{self.bracket}-{self.positions}-{self.counting}{more}"

    @property
    def argument(self) -> str:
        """Why the bound holds, by the names of the rules that `.rules` proves."""
        rules = ["numerators", "sum of maxima"]
        rules += ["split maxima"] * (self.bracket == "split")
        rules += ["positions together"] * (self.positions == "together")
        rules += ["common threshold"] * (self.counting == "threshold")
        rules += ["union over outputs"] * self.outputs
        return ", ".join([*rules, "rounding up"])

    def cost(self, shape: Shape) -> int:
        """Operations before counting; what counting takes depends on the weights."""
        meter = Meter()
        self._spend(meter, shape)
        return meter.total

    def unexplained(self, shape: Shape) -> int:
        """How many numbers the verification keeps apart: one for each (q, m, t) and position."""
        places = shape.K - 1 if self.positions == "apart" else 1
        return places * shape.v**3 + shape.v**2

    @property
    def semantics(self) -> tuple[Semantics, ...]:
        """Both."""
        return ("real", "float32")

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many of the v^K sequences are certified."""
        paths, slack = subject.paths, subject.slack
        self._spend(meter, paths.shape)
        found = 0
        for q in range(paths.shape.v):
            grid = grid_of(paths, q, self.bracket, self.positions, self.grid, slack)
            found += sum(self._of(paths, grid, q, m, meter, slack) for m in range(q, paths.shape.v))
        return found

    def _spend(self, meter: Meter, shape: Shape) -> None:
        logit_cost(meter, shape)
        score_cost(meter, shape)
        numerator_cost(meter, shape, self.bracket, self.positions)

    def _of(self, paths: Paths, grid: Grid, q: int, m: int, meter: Meter, slack: Slack) -> int:
        """Certified sequences with query q and maximum m."""
        K = paths.shape.K
        everything: int = (m + 1) ** (K - 1) - (m ** (K - 1) if q < m else 0)
        free, last = grid.free[m, :, : m + 1], int(grid.last[m])
        if _always(free, last, q < m, K, meter):
            return everything
        free = np.broadcast_to(free, (K - 1, m + 1))
        count = _exact if self.counting == "exact" else _threshold
        found = count(free, last, q < m, meter)
        if self.outputs and found < everything:
            bad = self._bad(paths, q, m, meter, slack, everything)
            found = max(found, everything - bad)
        return found

    def _bad(self, paths: Paths, q: int, m: int, meter: Meter, slack: Slack, everything: int) -> int:
        """At most how many sequences some output spoils."""
        K = paths.shape.K
        grid = outputs_of(paths, q, m, self.grid, slack)
        meter.each("outputs", grid.free.size + grid.last.size, times=6)
        bad = 0
        for j in np.flatnonzero(np.arange(paths.shape.v) != m):
            free, last = grid.free[j], int(grid.last[j])
            if not _always(free, last, q < m, K, meter):
                bad += everything - _exact(free, last, q < m, meter)
        return bad


def _always(free: Rows, last: int, needs_m: bool, K: int, meter: Meter) -> bool:
    """Whether even the largest sum is negative; free [p, t] with m as the last t, one p standing for all."""
    meter.reduce("largest sums", len(free), free.shape[1])
    meter.each("largest sums", K + 1)
    repeats = (K - 1) // len(free)
    if not needs_m:
        return int(free.max(1).sum()) * repeats + last < 0
    most = free.max(1)
    return int(most.sum()) * repeats + int((free[:, -1] - most).max()) + last < 0


def _exact(free: Rows, last: int, needs_m: bool, meter: Meter) -> int:
    """How many choices of a token for each position give a negative sum, one of them m if that is needed."""
    rows = free.tolist()
    found = below(tables(rows), -last, meter)
    return found - below(tables([row[:-1] for row in rows]), -last, meter) if needs_m else found


def _threshold(free: Rows, last: int, needs_m: bool, meter: Meter) -> int:
    """The same, of those with c copies of m and all other tokens below a threshold that depends on c."""
    n, m = free.shape[0], free.shape[1] - 1
    own, most, others = int(free[:, -1].max()), int(free.max()), free[:, :-1]
    together = free.strides[0] == 0
    found = int(n * own + last < 0)
    for c in range(1 if needs_m else 0, n):
        level = (-c * own - last - 1) // (n - c)
        meter.each("counting", 8)
        if level >= most:  # known from the largest sums: no token has to be looked at
            found += comb(n, c) * m ** (n - c)
            continue
        low = (others <= level).sum(1).tolist()
        meter.each("counting", (1 if together else n) * m, times=2)
        meter.each("counting", 0 if together else 2 * n * n)
        found += comb(n, c) * low[0] ** (n - c) if together else _chosen(low, n - c)
    return found


def _chosen(sizes: list[int], k: int) -> int:
    """The sum over all k positions out of these of the products of their sizes."""
    totals = [1] + [0] * k
    for size in sizes:
        for i in range(k, 0, -1):
            totals[i] += totals[i - 1] * size
    return totals[k]
