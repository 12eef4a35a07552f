"""The free steps of a site message (coefficients, dictionary), chosen on a first shard by the smallest total.

The shard is encoded once. Only the parts that fire on it are put on grids there; what the dictionary costs is
scaled to the number of parts that all data will use (A. Chao, Scand. J. Statist. 11, 1984: a lower bound from
the parts seen once and twice).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .joint import Together
from .keyed import rough_bits
from .message import Code, Dictionary, SiteExplanation
from .site import Channel, Knobs, steps_told, tally_rows, usage_of
from .support import shortest_support
from .tally import Ints, Usage

if TYPE_CHECKING:
    from .score import Precision
    from .site_score import SiteProblem

COARSE_SCAN = (-4, -2, 0, 2, 4, 6, 8, 11, 14, 20)
START = 8  # bits of a dictionary entry
LEAST, MOST = 3, 16  # bits of a dictionary entry that are tried
CELLS = 2**22  # of a dense code of the shard: a wide dictionary is calibrated on fewer rows
FEWEST_ROWS = 128
ROUNDS = 6
TAIL = 1 / 32


class _Excerpt:
    """The parts of an explanation that fire on a shard, and the code of that shard."""

    kind, open_ended = "excerpt", False

    def __init__(self, explanation: SiteExplanation, x: Tensor) -> None:
        self.name = explanation.name
        whole = explanation.dictionary()
        code = explanation.code(x)
        self.kept = torch.unique(code.part if len(code.part) else code.row.new_zeros(1))
        rows = None if whole.rows is None else whole.rows[self.kept.to(whole.rows.device)]
        if rows is None:
            self.kept = torch.arange(whole.parts, device=code.part.device)
        self._dictionary = Dictionary(rows, whole.bias)
        part = torch.searchsorted(self.kept, code.part)
        self._code = Code(code.row, part, code.value, code.rows, len(self.kept))
        self.parts = whole.parts

    def dictionary(self) -> Dictionary:
        """The rows that fire."""
        return self._dictionary

    def code(self, x: Tensor) -> Code:
        """The shard's."""
        return self._code

    def recipe(self) -> dict[str, object]:
        """It has none of its own."""
        return {}


@dataclass
class _Trial:
    """Totals at given knobs, judged by a shard."""

    excerpt: _Excerpt
    problem: SiteProblem
    rows: slice
    channels: dict[int, Channel] = field(default_factory=dict)
    cost: dict[Knobs, float] = field(default_factory=dict)

    def bits(self, knobs: Knobs) -> float:
        """The estimated total."""
        if knobs not in self.cost:
            self.cost[knobs] = self._bits(knobs)
        return self.cost[knobs]

    @cached_property
    def together(self) -> Together:
        """Whether to count pairs of parts, judged by the code of the shard at step delta."""
        usage = replace(usage_of(self._fine), counts=np.zeros(self.excerpt.parts, dtype=np.int64))
        return Together.worth_counting(self.problem.positions, usage)

    @cached_property
    def _fine(self) -> Code:
        return self.channel(Knobs(START, 0)).integers(self.problem.x[self.rows])

    @cached_property
    def dependence(self) -> float:
        """What share of the support is left where codes know which parts go together, judged at delta."""
        usage = usage_of(self._fine, self.together)
        alone = shortest_support(replace(usage, joint=None)).bits(usage.n)
        return shortest_support(usage).bits(usage.n) / alone if alone else 1.0

    def best(self, tried: Iterable[Knobs]) -> Knobs:
        """The best of these, and of all that were tried before."""
        for knobs in tried:
            self.bits(knobs)
        return min(self.cost, key=lambda knobs: (self.cost[knobs], knobs.precision, knobs.half_octaves))

    def descend(self, found: Knobs, step: int) -> Knobs:
        """Move the precision while that shortens the message."""
        while LEAST <= found.precision + step <= MOST:
            before, found = found, self.best([replace(found, precision=found.precision + step)])
            if found == before:
                break
        return found

    def channel(self, knobs: Knobs) -> Channel:
        """The parts that fire, at given knobs."""
        kept = self.excerpt.kept.tolist()
        inside = replace(knobs, octaves=tuple(knobs.octaves[i] for i in kept) if knobs.octaves else ())
        channel = self.channels.get(knobs.precision)
        if channel is None:
            channel = Channel(self.excerpt, self.problem.delta, inside, False).to(self.problem.x.device)
            self.channels[knobs.precision] = channel
        return channel.stepped(inside.half_octaves, inside.octaves)

    def _bits(self, knobs: Knobs) -> float:
        problem, channel = self.problem, self.channel(knobs)
        kept = self.excerpt.kept.cpu().numpy()
        tally = tally_rows(channel, problem.x[self.rows], self.rows, problem.target, problem.downstream)
        counts = np.zeros(self.excerpt.parts, dtype=np.int64)
        counts[kept] = tally.usage.counts
        told = rough_bits(tally.values, channel.parts) + tally.correction.rough
        told += self.dependence * shortest_support(replace(tally.usage, counts=counts)).bits(tally.usage.n)
        once = channel.sent.total(tally.usage.counts) * _yet_to_come(tally.usage) + steps_told(knobs)
        return float(once + told * len(problem.x) / tally.usage.n)


def _yet_to_come(usage: Usage) -> float:
    """How many times as many parts all data use as these rows do: 1 + f1² / (2 f2 · parts seen), at most."""
    seen, once, twice = ((usage.counts > 0).sum(), (usage.counts == 1).sum(), (usage.counts == 2).sum())
    return float(1 + once**2 / (2 * max(twice, 1) * seen)) if seen else 1.0


@dataclass(frozen=True)
class Calibration:
    """The steps that were chosen, and what is worth counting together."""

    knobs: Knobs
    together: Together


def calibrate(
    explanation: SiteExplanation, problem: SiteProblem, precision: Precision, rows: int, even: bool = False
) -> Calibration:
    """Scan the steps, coarsely and then around the best; then finer or coarser ones for classes of parts.

    ``even`` keeps one step for all parts.
    """
    parts = explanation.dictionary().parts
    data = max(1, min(min(rows, max(FEWEST_ROWS, CELLS // parts)) // problem.positions, problem.data))
    shard = slice(0, data * problem.positions)
    trial = _Trial(_Excerpt(explanation, problem.x[shard]), problem, shard)
    start = Knobs(START if precision == "auto" else precision, 0)
    found = trial.best(replace(start, half_octaves=h) for h in COARSE_SCAN)
    if precision == "auto" and explanation.dictionary().rows is not None:
        for step in (-2, 2, -1, 1):
            found = trial.descend(found, step)
    found = trial.best(replace(found, half_octaves=found.half_octaves + h) for h in (-1, 1))
    if even:
        return Calibration(found, trial.together)
    classes = magnitudes(trial.excerpt, problem.delta), vaguenesses(trial, found)
    fitted = (_allocate(found, each, trial.bits) for each in classes)
    return Calibration(min(fitted, key=trial.bits), trial.together)


def magnitudes(excerpt: _Excerpt, delta: float) -> Ints:
    """The class of every part: octaves of its mean coefficient over delta on the shard; −1 if silent."""
    code, parts = excerpt.code(excerpt.kept), len(excerpt.kept)
    size = torch.zeros(parts, dtype=torch.float64).index_add_(
        0, code.part.cpu(), code.value.detach().abs().double().cpu()
    )
    rows = excerpt.dictionary().rows
    norm = torch.ones(parts) if rows is None else rows.detach().double().norm(dim=1).cpu()
    count = torch.bincount(code.part.cpu(), minlength=parts)
    return _octaves(excerpt, size * norm / count.clamp_min(1) / delta, count)


def vaguenesses(trial: _Trial, even: Knobs) -> Ints:
    """The class of every part: octaves of what is left along it where it fires (RMS); −1 if silent.

    A coefficient that is off by many steps anyway can be told coarsely, however large it is.
    """
    channel, x = trial.channel(even), trial.problem.x[trial.rows]
    code = channel.rounded(trial.excerpt.code(x))
    residual = channel.residual(x, code).double()
    if channel.rows is None:
        along = residual[code.row, code.part]
    else:
        rows = torch.nn.functional.normalize(channel.rows.double(), dim=1)
        along = torch.einsum("ij,ij->i", residual[code.row], rows[code.part])
    parts = len(trial.excerpt.kept)
    energy = torch.zeros(parts, dtype=torch.float64).index_add_(0, code.part.cpu(), along.square().cpu())
    count = torch.bincount(code.part.cpu(), minlength=parts)
    return _octaves(trial.excerpt, (energy / count.clamp_min(1)).sqrt(), count)


def _octaves(excerpt: _Excerpt, size: Tensor, count: Tensor) -> Ints:
    """Classes of parts that fire, by the octave of their size; those that do not are −1.

    The few coefficients beyond either ``TAIL`` join the class next to them: a class is worth its trials.
    """
    octave, fires = np.floor(np.log2(np.maximum(size.numpy(), 2.0**-8))), (count > 0).numpy()
    order = np.argsort(octave[fires], kind="stable")
    share = np.cumsum(count.numpy()[fires][order]) / max(int(count.sum()), 1)
    if len(order):
        ends = (min(int(np.searchsorted(share, p)), len(order) - 1) for p in (TAIL, 1 - TAIL))
        octave = np.clip(octave, *(octave[fires][order[end]] for end in ends))
    classes = np.full(excerpt.parts, -1, dtype=np.int64)
    classes[excerpt.kept.cpu().numpy()[fires]] = np.unique(octave[fires], return_inverse=True)[1]
    return classes


def _allocate(uniform: Knobs, classes: Ints, bits: Callable[[Knobs], float]) -> Knobs:
    """Greedy bit allocation: halve or double the step of a class while the total falls.

    Every trial pays for telling the steps, and the uniform step stays where none of them is shorter.
    """
    octaves = [0] * (int(classes.max(initial=-1)) + 1)
    best, least = uniform, bits(uniform)
    for _ in range(ROUNDS if len(octaves) > 1 else 0):
        before = least
        for index in range(len(octaves)):
            for way in (1, -1):
                tried = [*octaves[:index], octaves[index] + way, *octaves[index + 1 :]]
                knobs = _with_octaves(uniform, classes, tried)
                if (cost := bits(knobs)) < least:
                    best, least, octaves = knobs, cost, tried
        if least == before:
            break
    return best


def _with_octaves(uniform: Knobs, classes: Ints, octaves: Sequence[int]) -> Knobs:
    """Knobs with the step of class g at 2^octaves[g] times the uniform one; silent parts keep that one."""
    each = np.where(classes < 0, 0, np.array(octaves)[np.maximum(classes, 0)])
    finest = int(each.min())
    each -= finest
    told = tuple(each.tolist()) if each.any() else ()
    return replace(uniform, half_octaves=uniform.half_octaves + 2 * finest, octaves=told)
