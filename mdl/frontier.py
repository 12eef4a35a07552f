"""Rate against distortion: bits per sample before any correction, and how far the prediction is then off.

A *frontier* is what one explanation can do: a set of operating points (value step, precision, its own knob)
and their lower convex hull. Between two points of the hull lies time sharing: one message for some of the
samples, the other for the rest. Bits and distortion are then the weighted means; a second dictionary, where
the two differ, is not charged, so interpolated figures are estimates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .keyed import keyed, rough_bits, shortest_sharing
from .mechanism_score import MechanismProblem, score_mechanism
from .message import Code, MechanismExplanation, SiteExplanation, check_code
from .score import Score, sum_corrections
from .site import Channel, Knobs, chunks, steps_told, usage_of
from .site_score import SiteProblem
from .support import shortest_support
from .tally import Histogram, Usage, merge
from .target import CategoricalTarget, DivergenceTally
from .waterfilling import reverse_waterfilling

Measure = Literal["fvu", "kl"]
PRECISIONS = (4, 6, 8, 10)
HALF_OCTAVES = range(0, 41, 2)


@dataclass(frozen=True)
class OperatingPoint:
    """Bits per sample without correction; fraction of variance unexplained, KL in bits per sample.

    A distortion that was not measured is NaN. ``step`` is that of the values, NaN where none are sent.
    """

    knob: str
    step: float
    precision: int
    bits: float
    fvu: float = math.nan
    kl: float = math.nan

    def at(self, measure: Measure) -> tuple[float, float]:
        """(distortion, bits)."""
        return (self.fvu if measure == "fvu" else self.kl), self.bits


@dataclass(frozen=True)
class Frontier:
    """All operating points of one explanation."""

    name: str
    points: tuple[OperatingPoint, ...]

    def hull(self, measure: Measure) -> tuple[OperatingPoint, ...]:
        """Lower convex hull, from the least distortion to the fewest bits."""
        known = [p for p in self.points if all(map(math.isfinite, p.at(measure)))]
        return tuple(lower_hull(known, measure))

    def bits_at(self, measure: Measure, level: float) -> float:
        """Bits per sample at a distortion, on the hull; inf below what the explanation can reach."""
        hull = self.hull(measure)
        if not hull or level < hull[0].at(measure)[0]:
            return math.inf
        x, y = zip(*(p.at(measure) for p in hull), strict=True)
        return float(np.interp(level, x, y))

    def reach(self, measure: Measure) -> tuple[float, float]:
        """The least distortion, and the one with the fewest bits; (inf, −inf) where nothing was measured."""
        hull = self.hull(measure)
        if not hull:
            return math.inf, -math.inf
        return hull[0].at(measure)[0], hull[-1].at(measure)[0]


def lower_hull(points: Iterable[OperatingPoint], measure: Measure) -> list[OperatingPoint]:
    """The points on the lower convex hull whose bits fall as distortion grows (Andrew's monotone chain)."""
    hull: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: p.at(measure)):
        if hull and point.bits >= hull[-1].bits:
            continue  # no better, and further off
        while len(hull) > 1 and _above(hull[-2].at(measure), hull[-1].at(measure), point.at(measure)):
            hull.pop()
        hull.append(point)
    return hull


def _above(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


def crossings(a: Frontier, b: Frontier, measure: Measure) -> tuple[float, ...]:
    """The distortions at which the shorter of two becomes the longer one, where both hulls reach."""
    low = max(a.reach(measure)[0], b.reach(measure)[0])
    high = min(a.reach(measure)[1], b.reach(measure)[1])
    bends = {p.at(measure)[0] for f in (a, b) for p in f.hull(measure)}
    grid = sorted(x for x in {low, high, *bends} if low <= x <= high)
    gap = [(x, a.bits_at(measure, x) - b.bits_at(measure, x)) for x in grid]
    apart = [(x, d) for x, d in gap if d != 0]
    level = [x for x, d in gap if d == 0]
    turns = [(p, q) for p, q in itertools.pairwise(apart) if p[1] * q[1] < 0]
    return tuple(_zero(p, q, level) for p, q in turns)


def _zero(a: tuple[float, float], b: tuple[float, float], level: Sequence[float]) -> float:
    """Where the gap between (x, y) and (x', y') meets zero: at a bend where it is zero, else on a line."""
    bends = [x for x in level if a[0] < x < b[0]]
    return bends[0] if bends else a[0] + (b[0] - a[0]) * a[1] / (a[1] - b[1])


def common_levels(frontiers: Sequence[Frontier], measure: Measure, count: int = 5) -> list[float]:
    """Distortions, evenly spread on a logarithmic scale, that all frontiers with a measurement can meet."""
    reached = [f.reach(measure) for f in frontiers if f.hull(measure)]
    if not reached:
        return []
    low, highs = max(r[0] for r in reached), [r[1] for r in reached]
    high = min(highs) if min(highs) > low else max(highs)
    if not 0 < low < high < math.inf:
        return []
    return [float(level) for level in np.geomspace(low, high, count + 2)[1:-1]]


def site_points(
    explanation: SiteExplanation,
    problem: SiteProblem,
    knob: str = "",
    precisions: Sequence[int] = PRECISIONS,
    half_octaves: Iterable[int] = HALF_OCTAVES,
) -> list[OperatingPoint]:
    """Operating points at a site, over value steps and precisions; only those that none other beats.

    Steps are delta · 2^(half_octaves / 2), until no part is active. All settings are screened with a quick
    length; those on the hull get their exact one. With
    ``problem.downstream`` (outputs of a classifier or language model) KL is measured as well.
    """
    sending = _Sending.of(explanation, problem)
    screened: dict[OperatingPoint, Channel] = {}
    for precision in precisions if explanation.dictionary().rows is not None else precisions[:1]:
        first = Channel(explanation, problem.delta, Knobs(precision, 0)).to(problem.x.device)
        for h in half_octaves:
            channel = first.stepped(h)
            point, active = sending.screened(channel, knob)
            screened[point] = channel
            if not active:
                break
    return lower_hull([sending.exact(p, screened[p]) for p in lower_hull(screened, "fvu")], "fvu")


@dataclass(frozen=True, eq=False)
class _Sending:
    """The coefficients of all rows, computed once, and what to measure their messages against."""

    problem: SiteProblem
    where: tuple[slice, ...]
    codes: tuple[Code, ...]
    variance: float

    @classmethod
    def of(cls, explanation: SiteExplanation, problem: SiteProblem) -> _Sending:
        where = tuple(rows for _, rows in chunks(len(problem.x), problem.positions, 1))
        codes = [explanation.code(problem.x[rows]) for rows in where]
        for rows, code in zip(where, codes, strict=True):
            check_code(code, explanation.dictionary().parts, rows.stop - rows.start)
        x = problem.x[:].double()
        return cls(problem, where, tuple(codes), float(((x - x.mean(0)) ** 2).sum()))

    def screened(self, channel: Channel, knob: str) -> tuple[OperatingPoint, bool]:
        """Rough bits and FVU at one setting, and whether any part is active."""
        usage, values = self._told(channel)
        error = math.fsum(
            float(((self.problem.x[rows].double() - told) ** 2).sum())
            for rows, told in self._predicted(channel)
        )
        fvu = error / self.variance if self.variance else math.nan
        bits = channel.sent.total(usage.counts) + shortest_support(usage).bits(usage.n)
        bits += rough_bits(values, channel.parts)
        point = OperatingPoint(knob, channel.step, channel.knobs.precision, bits / usage.n, fvu)
        return point, bool(usage.counts.any())

    def exact(self, point: OperatingPoint, channel: Channel) -> OperatingPoint:
        """The point with its exact length, and KL where it can be measured."""
        usage, values = self._told(channel)
        sharing = shortest_sharing(values, channel.parts)
        bits = channel.sent.total(usage.counts) + shortest_support(usage).bits(usage.n)
        bits += steps_told(channel.knobs) + sharing.header + sharing.bits(values)
        return replace(point, bits=bits / usage.n, kl=self._kl(channel))

    def _told(self, channel: Channel) -> tuple[Usage, Histogram]:
        sent = [channel.rounded(code) for code in self.codes]
        return merge(map(usage_of, sent)), merge(keyed(code.part, code.value) for code in sent)

    def _predicted(self, channel: Channel) -> Iterator[tuple[slice, Tensor]]:
        for rows, code in zip(self.where, self.codes, strict=True):
            yield rows, channel.predict(channel.rounded(code))

    def _kl(self, channel: Channel) -> float:
        """KL(model ‖ what follows from the prediction), bits per sample."""
        downstream, target = self.problem.downstream, CategoricalTarget()
        if downstream is None:
            return math.nan
        told = [target.compare(*downstream(x, rows)) for rows, x in self._predicted(channel)]
        total = sum_corrections(told)
        assert isinstance(total, DivergenceTally)
        return total.kl


def mechanism_points(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    knob: str = "",
    precisions: Sequence[int] = PRECISIONS,
) -> list[OperatingPoint]:
    """Operating points of a mechanism, over the precision of its parts."""
    return [_point(score_mechanism(explanation, problem, p), knob) for p in precisions]


def _point(score: Score, knob: str) -> OperatingPoint:
    ledger = score.ledger
    bits = ledger.per_sample(ledger.total - ledger.section("correction"))
    fvu, kl = (score.faithfulness.get(key, math.nan) for key in ("fvu", "kl_bits"))
    step = float(score.knobs.get("value_step", math.nan))
    return OperatingPoint(knob, step, int(score.knobs["precision"]), bits, fvu, kl)


def gaussian_yardstick(x: Tensor, fvus: Iterable[float]) -> list[tuple[float, float]]:
    """(FVU, R(D)) of a Gaussian with the covariance of x [rows, d], by reverse water-filling.

    No code is charged for the basis: it is what transform coding may hope for when data are many.
    """
    centred = x.double() - x.double().mean(0)
    spectrum = torch.linalg.eigvalsh(centred.T @ centred / len(x)).clamp_min(0).cpu().numpy()
    total = float(spectrum.sum())
    if not total:
        return []
    return [(fvu, reverse_waterfilling(spectrum, fvu * total)) for fvu in fvus]
