"""Sub-cubic proofs (Gross et al. 2024, section 4.3), repaired.

Sequences with query q and maximum m, c copies of m, and all others at least a gap g below m. The attention w
on m is at least what it is with the copies at the worst positions and the others at the token that attracts
most; the rest, 1 - w, goes at worst to the token that hurts most:

    logit_j - logit_m <= (EU_qj - EU_qm) + w (EV_mj - EV_mm) + (1 - w) R + max_p (PV_pj - PV_pm).

This is linear in w, so its ends are enough. So that no step is about (q, m, j) at once, EU is split into its
mean over queries and what q differs from it by (max-row-diff), and w into its mean over queries, w0, and w -
w0:

    max_j (b_j + w x_j) <= max_j (b_j + w0 x_j) + (w - w0) · (max_j x_j if w >= w0 else min_j x_j).

The code released with the paper takes max_j for both signs. That is false (`.rules` has the counterexample),
and what would follow from it is refused. The gap for each (q, m, c) is searched for free and verified once;
tokens 0 … m - g are m - g + 1.

Low rank: "low-rank" EU bounds what q differs by with Cauchy-Schwarz; "low-rank" QK takes scores along one
direction of the embedding, and bounds what is left likewise. Then not all products of v x d by d x v are
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .costs import Meter
from .max_of_k import Exact, MaxOfK, Shape
from .paths import logit_cost, score_cost
from .reals import reals
from .rules import UnsoundRule, refuted
from .strategy import Semantics, Subject

__all__ = ["Rank", "SubCubic"]

Real = NDArray[np.float64]
Rank = Literal["full", "low-rank"]


@dataclass(frozen=True)
class SubCubic:
    """The gap proof; `released` is the published form, which is refused."""

    QK: Rank = "full"
    EU: Rank = "full"
    released: bool = False

    @property
    def name(self) -> str:
        """What to ask for."""
        parts = [part for part, rank in (("QK", self.QK), ("EU", self.EU)) if rank == "low-rank"]
        return "sub-cubic" + ("-released" if self.released else "") + "".join(f"-low-rank-{p}" for p in parts)

    @property
    def argument(self) -> str:
        """The rules it uses."""
        rules = ["linear between extremes", "mean and difference", "split maxima", "gap"]
        low = "low-rank" in (self.QK, self.EU)
        return ", ".join([*rules, *["Cauchy-Schwarz"] * low])

    @property
    def semantics(self) -> tuple[Semantics, ...]:
        """Exact arithmetic."""
        return ("real",)

    def cost(self, shape: Shape) -> int:
        """All of it."""
        meter, v, K = Meter(), shape.v, shape.K
        pairs = v * (v + 1) // 2
        logit_cost(meter, shape)
        score_cost(meter, shape)
        if self.EU == "low-rank":
            meter.parts["EU"] = 0
            meter.each("EU", v * shape.d, times=8)
            meter.product("EU", 1, shape.d, v)
        if self.QK == "low-rank":
            meter.parts["A"] = 0
            meter.each("A", v * shape.d, times=12)
            meter.each("A", v * v)
        meter.each("row differences", v * v, times=8)
        meter.reduce("row differences", 6 * v + 2 * K, v)
        meter.each("means", v * v, times=2)
        meter.each("mean outputs", v * v * (K - 1), times=3)
        meter.each("attention", pairs * (K - 1), times=10)
        meter.each("differences", pairs * (K - 1), times=2 * 9)
        meter.each("counting", pairs * (K - 1), times=4)
        return meter.total

    def unexplained(self, shape: Shape) -> int:
        """Tables of pairs, and gaps."""
        return 3 * shape.v**2 + shape.v**2 * (shape.K - 1)

    def certified(self, subject: Subject, meter: Meter) -> int:
        """How many sequences are certified.  Raises `UnsoundRule` for the released form."""
        if self.released:
            raise UnsoundRule("mean and difference, as released", refuted("mean and difference, as released"))
        meter.each("sub-cubic", self.cost(subject.paths.shape))
        n, tables = subject.paths.shape.K - 1, _Tables.of(subject, self.QK, self.EU)
        sizes = tables.sizes()
        return sum(comb(n, c) * size ** max(n - c, 1) for _, c, fitting in sizes for size in fitting)

    def gaps(self, subject: Subject) -> list[NDArray[np.int64]]:
        """What a search hands to the verifier, for each number of copies: how many tokens the others are out
        of, [(m, q)]."""
        found: list[list[int]] = [[] for _ in range(subject.shape.K)]
        for _, c, fitting in _Tables.of(subject, self.QK, self.EU).sizes():
            found[c] += fitting
        return [np.array(sizes, dtype=np.int64) for sizes in found]


@dataclass(frozen=True)
class _Tables:
    """What the proof rests on, in nats, the arithmetic's slack included.

    A [q, t] scores without position, off by at most blur [q]; places [q, p] = exp(B); own [m, j] = EV_mj -
    EV_mm; worst [t, m]: the largest EV_tj - EV_tm, and highest[t] over all tokens up to t; mean [m, j] of
    EU_qj - EU_qm; row [q, m]: the most that q differs from that by; PV [m].
    """

    A: Real
    blur: Real
    places: Real
    own: Real
    worst: Real
    mean: Real
    row: Real
    PV: Real
    slack: float

    @classmethod
    def of(cls, subject: Subject, QK: Rank, EU: Rank) -> _Tables:
        table = reals(subject.paths)
        mean = table.EU.mean(0)
        row = _largest_difference(table.EU - mean)
        if EU == "low-rank":
            row = _row_by_norms(subject.model)
        A, blur = table.A, np.zeros(len(mean))
        if QK == "low-rank":
            A, blur = _scores_along_one_direction(subject.model)
        return cls(
            A,
            blur,
            np.exp(table.B - table.B.max(1, keepdims=True)),
            table.EV - np.diag(table.EV)[:, None],
            _largest_difference(table.EV),
            mean - mean[:, None],
            row,
            _largest_difference(table.PV).max(0),
            8 * table.slack,
        )

    def sizes(self) -> Iterator[tuple[int, int, list[int]]]:
        """For each maximum m and number c of copies: from how many tokens the others may be, by query."""
        v, K = self.places.shape
        for m in range(v):
            for c in range(K):
                good = self._good(m, c)
                # Others are tokens 0 … k; where there are none, it is one way or no way.
                reach = [int(np.flatnonzero(row).max(initial=-1)) + 1 for row in good]
                yield m, c, [min(size, 1 if c == K - 1 else m) for size in reach]

    def _good(self, m: int, c: int) -> NDArray[np.bool_]:
        """Whether the bound is negative: [q, k], with c copies of m and others up to k < m."""
        queries = np.arange(0 if c else m, m + 1)
        least, most = self._attention(queries, m, c)
        center, own = float(least.mean()), np.delete(self.own[m], m)
        start = float(np.delete(self.mean[m] + center * self.own[m], m).max())
        hurt = self.worst[queries, m][:, None]
        if c < self.places.shape[1] - 1:
            hurt = np.maximum(np.maximum.accumulate(self.worst[: max(m, 1), m]), hurt)
        good = np.ones(most.shape, dtype=bool)
        for w in (least, most):
            away = (w - center) * np.where(w >= center, own.max(), own.min())
            whole = start + away + (self.row[queries, m] + self.PV[m])[:, None] + (1 - w) * hurt
            good &= whole < -self.slack
        return good

    def _attention(self, queries: NDArray[np.int64], m: int, c: int) -> tuple[Real, Real]:
        """The least and the largest attention of each query to c copies of m: [q, k], others up to k."""
        places = np.sort(self.places[queries, :-1], axis=1)
        X, last = places[:, :c].sum(1)[:, None], self.places[queries, -1][:, None]
        rivals = np.maximum.accumulate(self.A[queries, : max(m, 1)], axis=1)
        blur, own = 2 * self.blur[queries][:, None], self.A[queries, m][:, None]
        # exp(600) in place of more changes attention by less than 1e-250: the slack has room for it.
        drawn = np.exp(np.minimum(rivals - own + blur, 600))
        rest = (places.sum(1)[:, None] - X) * drawn
        itself = last * np.exp(np.minimum(self.A[queries, queries][:, None] - own + blur, 600))
        if c == places.shape[1]:
            rest = np.zeros_like(rest)
        least = X / (X + rest + itself)
        return least * (1 - 1e-12), np.ones_like(least)


def _largest_difference(table: Real) -> Real:
    """max over j != m of table[i, j] - table[i, m]: [i, m]."""
    ordered = np.sort(table, axis=1)[:, -2:]
    return np.where(table == ordered[:, 1:], ordered[:, :1], ordered[:, 1:]) - table


def _row_by_norms(model: MaxOfK) -> Real:
    """An upper bound on max_j of (EU_qj - mean_j) - (EU_qm - mean_m), by Cauchy-Schwarz: [q, m]."""
    Eq, U = _real(model.E + model.P[-1], model), _real(model.U, model)
    apart = np.linalg.norm(Eq - Eq.mean(0), axis=1)
    size = np.linalg.norm(U - U.mean(1, keepdims=True), axis=0)
    bound: Real = apart[:, None] * (size + size.max()) * (1 + 1e-9)
    return bound


def _scores_along_one_direction(model: MaxOfK) -> tuple[Real, Real]:
    """Scores [q, t] along the direction that keeps most of them, up to a number for each q, and how far off
    they can be [q]."""
    E = _real(model.E, model)
    Y = _real((model.E + model.P[-1]), model) @ _real(model.Q, model) @ _real(model.K, model).T
    Y /= model.shape.e**0.5
    centred = E - E.mean(0)
    h = np.linalg.svd(Y @ centred.T)[0][:, 0] @ Y
    h /= max(float(np.linalg.norm(h)), 1e-300)  # where all scores are zero any direction will do
    along = centred @ h
    rest = (
        np.linalg.norm(Y - np.outer(Y @ h, h), axis=1)
        * np.linalg.norm(centred - np.outer(along, h), axis=1).max()
    )
    return np.outer(Y @ h, along), rest * (1 + 1e-9) + 1e-9


def _real(table: Exact, model: MaxOfK) -> Real:
    return table.astype(np.float64) * 2.0**-model.shift
