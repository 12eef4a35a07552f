"""The strategies that count sequences with a negative sum of numerators: one for each choice of the parts."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from assay.proofs.faults import InputError
from numpy.typing import NDArray

from .bounding import Semantics
from .costs import Meter
from .counting import below, tables
from .listing import LIMIT, listed
from .max_of_k import Shape
from .numerators import Bracket, Grid, Positions, Tokens, grid_of, items, numerator_cost, outputs_of
from .paths import Paths, Rank, logit_cost, score_cost
from .strategy import Subject

__all__ = ["Counting", "Numerators"]

Counting = Literal["exact", "threshold", "listed", "pure"]
MOST_BITS, USUAL_BITS, FINE_BITS, USUAL_OUTPUTS = 16, 8, 24, 20
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Numerators:
    """A bound by numerator forms (`.numerators`).

    Attributes:
        bracket: "joint" (S2), "paired" or "split" (S1).
        positions: "apart", or "together" (cheaper by about K - 1).
        counting: "exact" counts all sequences with a negative sum; "threshold" those in which, for each
            number of copies of m, every other token is below one threshold; "pure" those in which the others,
            were they all the same, were right for all outputs (cubic); "listed" looks at sequences one by
            one, and at every output, where the largest sum does not tell.
        tokens: "single", far ones in "blocks", or "prefixes": a gap proof, and sub-cubic (Gross et al. 2024,
        4.3). QK, EU: "full", or "low-rank" (`.paths`); EU only where it is bounded apart, in "split".
        outputs: where more than v^K / 2^outputs sequences of a (q, m) are left over, also bound the bad ones
            output by output (S4, union bound), and take the better of both; 0 is never.
        grid: bits of m's own numerator.
    """

    bracket: Bracket = "joint"
    positions: Positions = "apart"
    counting: Counting = "exact"
    tokens: Tokens = "single"
    QK: Rank = "full"
    EU: Rank = "full"
    outputs: int = 0
    grid: int = USUAL_BITS

    def __post_init__(self) -> None:
        if not 2 <= self.grid <= MOST_BITS:
            raise InputError(f"a grid of {self.grid} bits, expected 2 to {MOST_BITS}")
        if self.EU == "low-rank" and (self.bracket != "split" or self.outputs):
            raise InputError("low-rank EU is for bracket 'split' without single outputs")
        cheap = self.bracket, self.positions, self.counting, self.outputs
        places = {"listed": "apart", "pure": "together"}.get(self.counting, self.positions)
        if self.counting in ("listed", "pure") and (self.bracket, self.positions) != ("joint", places):
            raise InputError(f"counting {self.counting!r} is for bracket 'joint' and positions {places!r}")
        if self.counting == "threshold" and self.positions == "apart":
            raise InputError("counting 'threshold' is for positions 'together'")
        if self.outputs and (self.counting, self.positions) != ("exact", "apart"):
            raise InputError("single outputs are counted with positions 'apart' and counting 'exact'")
        if self.tokens == "prefixes" and cheap != ("split", "together", "threshold", 0):
            raise InputError("prefixes are for bracket 'split', positions 'together', counting 'threshold'")

    @property
    def name(self) -> str:
        """What to ask for on a command line."""
        form = f"{self.bracket}-{self.positions}-{self.counting}" + "-blocks" * (self.tokens == "blocks")
        form = {"listed": "by-paths", "pure": "cubic"}.get(self.counting, form)
        form = "sub-cubic" if self.tokens == "prefixes" else form
        ranks = "".join(f"-low-rank-{c}" for c in ("QK", "EU") if getattr(self, c) == "low-rank")
        outputs = "-outputs" * (self.outputs > 0) + f"-{self.outputs}" * (
            self.outputs not in (0, USUAL_OUTPUTS)
        )
        return form + ranks + outputs + f"-{self.grid}-bits" * (self.grid != USUAL_BITS)

    @property
    def argument(self) -> str:
        """Why the bound holds, by the names of the rules that `.rules` proves."""
        rules = ["numerators", "tables moved", "sum of maxima"]
        rules += ["split maxima"] * (self.bracket != "joint")
        rules += ["projection"] * (self.QK == "low-rank") + ["Cauchy-Schwarz"] * (self.EU == "low-rank")
        rules += ["taken together"]
        rules += ["pure sequences"] * (self.counting == "pure")
        rules += ["common threshold"] * (self.counting == "threshold")
        rules += ["union over outputs"] * (self.outputs > 0)
        return ", ".join([*rules, "enclosure", "rounding up"])

    def cost(self, shape: Shape) -> int:
        """Operations before counting; what counting takes depends on the weights."""
        meter = Meter()
        self._spend(meter, shape)
        return meter.total

    def unexplained(self, shape: Shape) -> int:
        """How many numbers the verification keeps apart: one psi for each (q, m), position and group of
        tokens."""
        places, v = shape.K - 1 if self.positions == "apart" else 1, shape.v
        if self.counting == "listed":
            return v * shape.sequences
        if self.tokens == "prefixes":
            return v * v * (shape.K + 2)
        return places * sum((m + 1) * items(m, self.tokens) for m in range(v)) + v * v

    @property
    def semantics(self) -> tuple[Semantics, ...]:
        """Both."""
        return ("real", "float32")

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many of the v^K sequences are certified.  Raises `InputError` where there are too many to
        list."""
        if self.counting == "listed" and subject.shape.sequences > LIMIT:
            size = f"{subject.shape.v}^{subject.shape.K}"
            raise InputError(
                f"strategy {self.name}: {size} sequences are too many to list, expected at most {LIMIT}"
            )
        paths = subject.tables(self.QK, self.EU)
        self._spend(meter, paths.shape)
        found = 0
        for q in range(paths.shape.v):
            grid = grid_of(paths, q, self.bracket, self.positions, self.tokens, self.grid)
            found += sum(self._of(paths, grid, q, m, meter) for m in range(q, paths.shape.v))
        return found

    def gaps(self, subject: Subject) -> list[NDArray[np.int64]]:
        """What the search for a gap proof hands to the verifier: for each number of copies of m out of how
        many tokens the others may be, [(q, m)]."""
        paths, n = subject.tables(self.QK, self.EU), subject.shape.K - 1
        found: list[list[int]] = [[] for _ in range(n)]
        for q in range(paths.shape.v):
            grid = grid_of(paths, q, self.bracket, self.positions, self.tokens, self.grid)
            for m in range(q, paths.shape.v):
                psi, last = grid.free[m, 0, : m + 1], int(grid.last[m])
                for c in range(1 if q < m else 0, n):
                    found[c].append(int((psi[:-1] * (n - c) + psi[-1] * c + last < 0).sum()))
        return [np.array(sizes, dtype=np.int64) for sizes in found]

    def _spend(self, meter: Meter, shape: Shape) -> None:
        logit_cost(meter, shape, self.EU)
        score_cost(meter, shape, self.QK)
        numerator_cost(meter, shape, self.bracket, self.positions, self.tokens, self.EU)

    def _of(self, paths: Paths, grid: Grid, q: int, m: int, meter: Meter) -> int:
        """Certified sequences with query q and maximum m."""
        K, different = paths.shape.K, items(m, self.tokens)
        everything: int = (m + 1) ** (K - 1) - (m ** (K - 1) if q < m else 0)
        free, last = grid.free[m, :, : m + 1], int(grid.last[m])
        if self.tokens != "prefixes":  # of which the last is the largest
            meter.reduce("largest sums", len(free), different)
        meter.each("largest sums", K + 1)
        if _always(free, last, q < m, K):
            return everything
        if self.counting in ("listed", "pure"):
            self._spend_on_outputs(meter, paths.shape, m)
            outputs = outputs_of(paths, q, m, self.positions, FINE_BITS, clipped=False)
            if self.counting == "listed":
                return listed(outputs, m, q < m, meter)
            return _pure(outputs, m, q < m, K - 1, meter)
        if self.counting == "exact":
            found = _exact(np.broadcast_to(free, (K - 1, m + 1)), last, q < m, meter)
        else:
            found = _threshold(free, last, q < m, K - 1, 0 if self.tokens == "prefixes" else different, meter)
        if (everything - found) << self.outputs > paths.shape.sequences:
            found = max(found, everything - self._bad(paths, q, m, meter, everything))
        return found

    def _bad(self, paths: Paths, q: int, m: int, meter: Meter, everything: int) -> int:
        """At most how many sequences some output spoils."""
        grid = outputs_of(paths, q, m, "apart", self.grid)
        self._spend_on_outputs(meter, paths.shape, m)
        most = grid.free.max(2)
        own = (grid.free[:, :, m] - most).max(1) if q < m else 0
        spoilt = np.flatnonzero((most.sum(1) + own + grid.last >= 0) & (np.arange(len(most)) != m))
        return sum(everything - _exact(grid.free[j], int(grid.last[j]), q < m, meter) for j in spoilt)

    def _spend_on_outputs(self, meter: Meter, shape: Shape, m: int) -> None:
        others, places = shape.v - 1, shape.K - 1 if self.positions == "apart" else 1
        meter.each("outputs", others * (m + 1) * (places + 1), times=2)  # EU + EV + PV
        meter.each("outputs", others * ((m + 1) * places + 1), times=3)  # the factor, times it, rounded
        meter.each("largest sums", others * (places * m + shape.K + 1))


def _always(free: Rows, last: int, needs_m: bool, K: int) -> bool:
    """Whether even the largest sum is negative; free [p, t] with m as the last t, one p standing for all."""
    repeats = (K - 1) // len(free)
    most = free.max(1)
    own = int((free[:, -1] - most).max()) if needs_m else 0
    return int(most.sum()) * repeats + own + last < 0


def _exact(free: Rows, last: int, needs_m: bool, meter: Meter) -> int:
    """How many choices of a token for each position give a negative sum, one of them m if that is needed."""
    rows = free.tolist()
    found = below(tables(rows), -last, meter)
    return found - below(tables([row[:-1] for row in rows]), -last, meter) if needs_m else found


def _pure(outputs: Grid, m: int, needs_m: bool, n: int, meter: Meter) -> int:
    """Those with c copies of m, and others that are right if they are all the same; outputs' free [j, 1, t].

    This is the cubic proof of Gross et al. 2024, section 4.2, with one psi for all positions in place of
    extremes.
    """
    others = np.arange(len(outputs.last)) != m
    psi, last = outputs.free[others, 0], outputs.last[others, None]
    found = int((n * psi[:, -1:] + last < 0).all())
    for c in range(1 if needs_m else 0, n):
        good = ((n - c) * psi[:, :m] + (c * psi[:, -1:] + last) < 0).all(0)
        meter.each("counting", len(psi) * (m + 1), times=3)
        found += comb(n, c) * int(good.sum()) ** (n - c)
    return found


def _threshold(free: Rows, last: int, needs_m: bool, n: int, items: int, meter: Meter) -> int:
    """The same, of those with c copies of m and all other tokens below a threshold that depends on c; free
    [1, t].

    `items` are looked at, but where the search found a gap.
    """
    own, most = int(free[0, -1]), int(free.max())
    found = int(n * own + last < 0)
    for c in range(1 if needs_m else 0, n):
        level = (-c * own - last - 1) // (n - c)
        meter.each("counting", 8)
        if level < most:  # else it is known from the largest sums: no token has to be looked at
            meter.each("counting", max(items - 1, 0), times=2)
        found += comb(n, c) * int((free[0, :-1] <= level).sum()) ** (n - c)
    return found
