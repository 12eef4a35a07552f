"""Prequential students: a learner is told the outputs block by block, and pays for each before it sees it.

The receiver runs the same learner: nothing of the network is sent, only what the learner did not foresee. It
is the practical stand-in for "any short program". Sources: A. Dawid, JRSS A 147 (1984); L. Blier and
Y. Ollivier, "The description length of deep learning models", arXiv 1802.07044, section 3.

The law is a bound. A learner's costs fall as it learns, so S(N) is concave: it lies below the line through
its end with the slope of its later half (header: what learning cost; then that slope for each further
datum), and below what a learner costs that never learns. Training is floating-point arithmetic: both ends
must run the same software on like machines, and totals are estimates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .answers import AnswerTarget, answers
from .grid import quantise, restore
from .law import Law, Rate
from .ledger import Ledger, Line
from .lengths import Floats
from .mechanism_score import MechanismProblem
from .score import BLOCKS, Progress, Score, faithfulness, sum_corrections
from .tally import Histogram, Usage
from .target import CorrectionTally

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
    untaught = _compared(learner, problem, slice(0, problem.data))
    told = _told(problem, seed)
    tallies, plan = [], lessons(problem.data)
    for lesson in plan:
        tallies.append(_compared(learner, problem, lesson.rows))
        learner.learn(problem.inputs[lesson.rows], told[lesson.rows])
        if progress:
            progress(lesson.rows.stop, problem.data)
    return _score(problem, plan, tallies, untaught)


def _compared(learner: Learner, problem: MechanismProblem, rows: slice) -> CorrectionTally:
    predicted = learner.predict(problem.inputs[rows])
    return problem.target.compare(predicted, problem.outputs[rows])


def _told(problem: MechanismProblem, seed: int) -> Tensor:
    """What the receiver has of the outputs: values on the grid, answers, or outcomes drawn from them."""
    delta, outputs = problem.target.delta, problem.outputs[:]
    if delta is not None:
        return restore(quantise(outputs, delta), delta)
    if isinstance(problem.target, AnswerTarget):
        return answers(outputs)
    p = outputs.cpu().double().softmax(-1)
    drawn = torch.multinomial(p.flatten(0, -2), 1, generator=torch.Generator().manual_seed(seed))
    return drawn.reshape(p.shape[:-1]).to(outputs.device)


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
    lines = [replace(line, status="estimate") for line in total.lines()]
    return Score(
        Ledger((Line("architecture", "parts", "fixed by the kind", 0.0), *lines), rows),
        Law(n, usage.counts, (), 0.0, _rates(plan, shares, total, untaught, n)),
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
    plan: Sequence[Lesson], shares: Floats, total: CorrectionTally, untaught: CorrectionTally, n: int
) -> dict[str, tuple[Rate, ...]]:
    """Never learning; or what learning cost, and then the price of the later half."""
    late = np.array([lesson.rows.start >= n // 2 for lesson in plan])
    data = sum(lesson.rows.stop - lesson.rows.start for lesson in plan if lesson.rows.start >= n // 2)
    slope = float(shares[late].sum()) / max(data, 1)
    bits = sum(line.bits for line in total.lines())
    learning = Rate("learning", max(bits - slope * n, 0.0), slope)
    return {line: (*ways, learning) for line, ways in untaught.rates(n).items()}
