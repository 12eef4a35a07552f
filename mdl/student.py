"""Prequential students: a learner is told the outputs block by block, and pays for each before it sees it.

The receiver runs the same learner: nothing of the network is sent, only what the learner did not foresee. It
is the practical stand-in for "any short program". Sources: A. Dawid, JRSS A 147 (1984); L. Blier and
Y. Ollivier, "The description length of deep learning models", arXiv 1802.07044, section 3.

It is a real code (:mod:`student_stream`): how corrections are coded is told once, with codes of a fixed
price for each symbol, and then stretch by stretch what the learner lacks. Training is floating-point
arithmetic, so a receiver needs the same software on a like machine; a checksum of the target refuses any
other. KL stays an estimate, as everywhere: it is the expected length of outcomes that are drawn.

The law is a bound. A learner's costs fall as it learns, so S(N) is concave: it lies below the line through
its end with the slope of its later half (header: what learning cost; then that slope for each further
datum), and below what a learner costs that never learns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from .answers import AnswerTally
from .keyed import Sharing
from .law import Law, Rate
from .ledger import Ledger, Line
from .lengths import Floats
from .mechanism_score import MechanismProblem
from .residual import linear_residuals
from .score import BLOCKS, Progress, Score, faithfulness, sum_corrections
from .tally import Histogram, Usage
from .target import CorrectionTally, ResidualTally, Target
from .transmit_correction import Wanted, values, wanted

GROWTH = 0.25
"""The next stretch that is told at once, relative to what was told before."""


class Learner(Protocol):
    """Predicts outputs [data, …, width] of inputs (logits of a classifier), and learns from what came."""

    def reset(self) -> None:
        """Forget everything."""

    def predict(self, x: Tensor) -> Tensor:
        """Before the outputs are seen."""

    def learn(self, x: Tensor, y: Tensor) -> None:
        """``y``: outcomes [data, …] as integers, or values [data, …, width] on their grid."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """A stretch of the data, and the block of the interval that it belongs to."""

    rows: slice
    block: int


def lessons(data: int) -> list[Lesson]:
    """Stretches that grow by a fixed share, cut at the edges of the blocks of the interval.

    >>> [(s.rows.start, s.rows.stop) for s in lessons(3)]
    [(0, 1), (1, 2), (2, 3)]
    """
    blocks = max(1, min(BLOCKS, data))
    edges = [b * data // blocks for b in range(blocks + 1)]
    cuts, at = set(edges), 0
    while at < data:
        at += max(1, int(GROWTH * at))
        cuts.add(min(at, data))
    return [
        Lesson(slice(start, stop), int(np.searchsorted(edges, start, side="right")) - 1)
        for start, stop in zip(sorted(cuts)[:-1], sorted(cuts)[1:], strict=True)
    ]


def score_student(
    learner: Learner, problem: MechanismProblem, seed: int = 0, progress: Progress | None = None
) -> Score:
    """Bits of the outputs under a learner that starts from nothing.

    A classifier's outcomes (unless its answers are the target) are drawn from the model's distribution with
    ``seed``: these the receiver has, and the learner learns from them; what is paid is KL, the expected extra
    cost of telling them.
    """
    learner.reset()
    untaught = problem.target.compare(learner.predict(problem.inputs).cpu(), problem.outputs[:].cpu())
    tallies, plan = [], lessons(problem.data)
    for lesson, predicted in taught(learner, problem, seed):
        tallies.append(problem.target.compare(predicted, problem.outputs[lesson.rows].cpu()))
        if progress:
            progress(lesson.rows.stop, problem.data)
    return _score(problem, plan, tallies, untaught)


def taught(learner: Learner, problem: MechanismProblem, seed: int) -> Iterator[tuple[Lesson, Tensor]]:
    """Each stretch and what a fresh learner predicts of it, on the CPU; then the learner is told it."""
    for lesson in lessons(problem.data):
        x, truth = problem.inputs[lesson.rows], problem.outputs[lesson.rows].cpu()
        predicted = learner.predict(x).cpu()
        yield lesson, predicted
        learner.learn(
            x, as_outputs(problem.target, lacking(problem, lesson, predicted, seed).integers, truth)
        )


def lacking(problem: MechanismProblem, lesson: Lesson, predicted: Tensor, seed: int) -> Wanted:
    """What the receiver has to be told of a stretch."""
    truth = problem.outputs[lesson.rows].cpu()
    first = lesson.rows.start * math.prod(truth.shape[1:-1])
    return wanted(problem.target, predicted.flatten(0, -2), truth.flatten(0, -2), seed, first)


def as_outputs(target: Target, told: Tensor, like: Tensor) -> Tensor:
    """What was told of rows, as the learner wants it: values of the shape of outputs, or outcomes."""
    shape = like.shape if target.delta is not None else like.shape[:-1]
    return values(target, told).reshape(shape)


def residual_way(total: ResidualTally) -> Sharing:
    """The codes of all stretches, told in advance: the shortest of those with a fixed price per symbol."""
    ways = linear_residuals(total.placed, total.width)
    return min(ways, key=lambda way: (way.header + way.bits(total.placed), way.name))


def _line(total: CorrectionTally) -> Line:
    """The correction of all stretches, under codes that are told before the first."""
    if isinstance(total, ResidualTally):
        way = residual_way(total)
        bits = way.header + way.bits(total.placed)
        return Line("residual", "correction", f"told in advance, {way.label}", bits, way.header)
    if isinstance(total, AnswerTally):
        (_, rate) = total.rates(1)["answers"]
        code = f"told in advance, flags, {total.wrong} of {total.rows} answers wrong"
        return Line("answers", "correction", code, rate.at(1), rate.header)
    (line,) = total.lines()
    return line


def _score(
    problem: MechanismProblem,
    plan: Sequence[Lesson],
    tallies: list[CorrectionTally],
    untaught: CorrectionTally,
) -> Score:
    total, n = sum_corrections(tallies), problem.data
    rows = math.prod(problem.outputs.shape[:-1])
    shares = total.shares(tallies)
    usage = Usage(np.zeros(0, dtype=np.int64), rows, Histogram(np.array([0]), np.array([rows])))
    line = _line(total)
    return Score(
        Ledger((Line("architecture", "parts", "fixed by the kind", 0.0), line), rows),
        Law(n, usage.counts, (), 0.0, _rates(plan, shares, line, untaught, n)),
        _by_block(plan, shares),
        _by_block(
            plan, np.array([lesson.rows.stop - lesson.rows.start for lesson in plan], dtype=np.float64)
        ),
        {"precision": 0},
        faithfulness(usage, total),
        usage,
    )


def _by_block(plan: Sequence[Lesson], values: Floats) -> Floats:
    return np.bincount([lesson.block for lesson in plan], values).astype(np.float64)


def _rates(
    plan: Sequence[Lesson], shares: Floats, line: Line, untaught: CorrectionTally, n: int
) -> dict[str, tuple[Rate, ...]]:
    """Never learning; or what learning cost, and then the price of the later half."""
    late = np.array([lesson.rows.start >= n // 2 for lesson in plan])
    data = sum(lesson.rows.stop - lesson.rows.start for lesson in plan if lesson.rows.start >= n // 2)
    slope = float(shares[late].sum()) / max(data, 1)
    learning = Rate("learning", max(line.bits - slope * n, 0.0), slope)
    return {name: (*ways, learning) for name, ways in untaught.rates(n).items()}
