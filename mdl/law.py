"""The law of an explanation: L(N), the expected bits of a message about N of the n data.

    L(N) = Σ_c b_c [1 − C(n−k_c, N) / C(n, N)] + S(N)

A part's b_c bits are paid when it is first used; k_c is the number of the n data that use it. S(N) is
support, values and correction, each under the cheapest of its *linear* codes at that N (a header once and
a mean price per datum), so the expectation is exact: linear in N however the data are drawn. Beyond n the
data go on as they were: every part in use is paid, S stays linear. N = 1 is what must be read to
understand one datum; L(N)/N for N → ∞ is the rate.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .lengths import Floats, log2_gamma
from .parts import PartWay
from .tally import Ints

MILESTONES = (1, 1_000, 1_000_000)
FAR = 10**12
FEW = 32  # up to so many data the draws are multiplied out: differences of log-gammas lose digits there


@dataclass(frozen=True)
class Rate:
    """One way to send a line: ``header`` bits once, then ``per_datum`` bits on average."""

    name: str
    header: float
    per_datum: float

    def at(self, N: float) -> float:
        """Expected bits for N data."""
        return self.header + self.per_datum * N


@dataclass(frozen=True)
class Point:
    """L(N), split by what is paid; ``codes`` says which code each line uses at this N."""

    N: int
    parts: float
    lines: dict[str, float]
    codes: dict[str, str]

    @property
    def total(self) -> float:
        """Bits."""
        return self.parts + math.fsum(self.lines.values())


@dataclass(frozen=True, eq=False)
class Law:
    """L(N) from integer usage counts k_c over n data, the ways to code the parts, the rates of each line.

    ``parts`` holds, for each tensor, its ways; their ``bits`` are b_c of the parts and of the remainder,
    which every message pays. ``preamble`` is paid in any case. ``open_ended`` parts are found in the data
    (a lookup table's entries): beyond n, new data bring new ones at the same rate.
    """

    n: int
    usage: Ints
    parts: tuple[tuple[PartWay, ...], ...]
    preamble: float = 0.0
    rates: dict[str, tuple[Rate, ...]] = field(default_factory=dict)
    open_ended: bool = False

    def __post_init__(self) -> None:
        for way in itertools.chain.from_iterable(self.parts):
            if way.bits.size != self.usage.size + 1:
                raise ValueError(f"{way.bits.size} part lengths, {self.usage.size} parts and a remainder")
        if self.usage.size and (self.usage.min() < 0 or self.usage.max() > self.n):
            raise ValueError(f"usage counts must lie in 0..{self.n}")

    @cached_property
    def _stacked(self) -> tuple[Floats, Floats, Ints]:
        """Headers [ways], bits [ways, parts + 1], and where each tensor's ways start."""
        every = [way for ways in self.parts for way in ways]
        headers = np.array([way.header for way in every])
        starts = np.cumsum([0, *(len(ways) for ways in self.parts)])[:-1]
        bits = np.stack([way.bits for way in every]) if every else np.zeros((0, self.usage.size + 1))
        return headers, bits, starts.astype(np.int64)

    def part_bits(self, N: int) -> float:
        """Expected bits of the parts that N random data use: for each tensor its shortest way at this N."""
        headers, bits, starts = self._stacked
        costs = headers + bits @ self._sent(N)
        return self.preamble + float(np.minimum.reduceat(costs, starts).sum() if costs.size else 0.0)

    def _sent(self, N: int) -> Floats:
        """How often each part is sent, on average, and the remainder (once)."""
        again = max(1.0, N / self.n) if self.open_ended else 1.0
        return np.append(used(self.n, self.usage, N) * again, 1.0)

    def at(self, N: int) -> Point:
        """L(N) with its lines."""
        if N < 1:
            raise ValueError(f"the law starts at one datum, got N = {N}")
        chosen = {line: min(ways, key=lambda way: way.at(N)) for line, ways in self.rates.items()}
        lines = {line: way.at(N) for line, way in chosen.items()}
        return Point(N, self.part_bits(N), lines, {line: way.name for line, way in chosen.items()})

    def __call__(self, N: int) -> float:
        """L(N) in bits."""
        return self.at(N).total

    @cached_property
    def _along_grid(self) -> list[float]:
        return [self(N) for N in _grid()]

    @property
    def rate(self) -> float:
        """Bits per datum for N → ∞."""
        lines = math.fsum(min(way.per_datum for way in ways) for ways in self.rates.values())
        if not self.open_ended:
            return lines
        known = self.usage > 0
        return lines + math.fsum(
            min(float(w.bits[:-1] @ known) for w in ways) / self.n for ways in self.parts
        )

    def grouped(self) -> Law:
        """The same function with parts of equal usage joined, and without ways that are never shortest."""
        values, group = np.unique(self.usage, return_inverse=True)
        owner = np.append(group, values.size)
        parts = []
        for ways in self.parts:
            joined = [replace(w, bits=_joined(owner, w.bits)) for w in ways]
            parts.append(tuple(_ever_shortest(joined, replace(self, usage=values, parts=()))))
        return replace(self, usage=values, parts=tuple(parts))

    def crossings(self, other: Law) -> list[int]:
        """Every N at which the shorter of the two becomes the longer: the first N on the new side."""
        grid = _grid()
        ahead = [mine <= theirs for mine, theirs in zip(self._along_grid, other._along_grid, strict=True)]
        turns = [i for i in range(1, len(grid)) if ahead[i] != ahead[i - 1]]
        return [_bisect(self, other, grid[i - 1], grid[i]) for i in turns]


def _joined(owner: Ints, bits: Floats) -> Floats:
    return np.bincount(owner, bits, minlength=int(owner[-1]) + 1).astype(np.float64)


def _ever_shortest(ways: list[PartWay], law: Law) -> list[PartWay]:
    """The ways that win at some N; once all parts are sent only open-ended laws go on changing."""
    sent = np.stack([law._sent(N) for N in _grid() if law.open_ended or 2 * law.n >= N])
    costs = np.stack([way.header + sent @ way.bits for way in ways])
    return [ways[i] for i in sorted(set(costs.argmin(0).tolist()))]


def used(n: int, usage: Ints, N: int) -> Floats:
    """P(a part is used by at least one of N data), drawn without replacement from n; 0 or 1 beyond n."""
    k = usage.astype(np.float64)
    if n <= N:
        return (k > 0).astype(np.float64)
    if N <= FEW:
        return np.asarray(1.0 - np.prod([(n - i - k).clip(0) / (n - i) for i in range(N)], axis=0))
    room = n - k - N
    ways = log2_gamma(n - k + 1) - log2_gamma(np.maximum(room, 0) + 1)
    missed = np.exp2(ways - (log2_gamma(n + 1) - log2_gamma(n - N + 1)))
    missed = np.where(k == 0, 1.0, np.where(room < 0, 0.0, missed))
    return np.asarray(1.0 - np.minimum(missed, 1.0))


def _grid() -> list[int]:
    """Sixteen points an octave up to 10¹²: no crossing of these smooth curves falls between unseen twice."""
    steps = np.unique(np.round(2.0 ** np.arange(0, math.log2(FAR), 1 / 16)).astype(np.int64))
    return [int(N) for N in steps]


def _bisect(a: Law, b: Law, low: int, high: int) -> int:
    side = a(low) <= b(low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (a(middle) <= b(middle)) == side else (low, middle)
    return high


def curve(law: Law, upto: int = 10**9, points: int = 60) -> Sequence[tuple[int, float]]:
    """(N, L(N)) on a logarithmic grid, for plots."""
    grid = np.unique(np.round(np.geomspace(1, upto, points)).astype(np.int64))
    return [(int(N), law(int(N))) for N in grid]
