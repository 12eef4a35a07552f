"""``score_mechanism``: one explanation of how inputs become outputs, in bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .law import Law
from .ledger import Ledger, Line
from .message import DoesNotDecode, MechanismExplanation
from .parts import SentParts, send_parts
from .score import BLOCKS, Precision, Progress, Score, faithfulness, support_rates, support_shares
from .support import shortest_support
from .tally import Usage
from .target import CorrectionTally, Target


@dataclass(frozen=True, eq=False)
class MechanismProblem:
    """What every explanation of a mechanism is scored on: inputs, the model's outputs, the target.

    ``outputs`` [data, (positions,) width] are the model's own. The receiver knows the inputs and nothing
    of the network.
    """

    inputs: Tensor
    outputs: Tensor
    target: Target

    @property
    def data(self) -> int:
        """n."""
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class MechanismTally:
    """``data``: which data use a part; ``rows``: which positions; and the correction."""

    data: Usage
    rows: Usage
    correction: CorrectionTally

    def __add__(self, other: MechanismTally) -> MechanismTally:
        return MechanismTally(
            self.data + other.data, self.rows + other.rows, self.correction + other.correction
        )


def score_mechanism(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    precision: Precision = "auto",
    calibrate_data: int = 64,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Score:
    """Weigh an explanation of how inputs become outputs.

    Parts are paid when first used; the score's ``law`` gives L(N). ``precision`` is bits per number.
    """
    parts = explanation.parts()
    if precision == "auto":
        precision = _precision(explanation, problem, calibrate_data, chunk)
    sent = send_parts(parts, precision)
    per_block = _mechanism_blocks(explanation, sent, problem, chunk, progress)
    return _mechanism_score(explanation, sent, per_block, precision)


def _mechanism_blocks(
    explanation: MechanismExplanation,
    sent: SentParts,
    problem: MechanismProblem,
    chunk: int,
    progress: Progress | None = None,
) -> list[MechanismTally]:
    blocks: dict[int, MechanismTally] = {}
    for block, rows in _data_chunks(problem.data, chunk):
        tally = _mechanism_tally(explanation, sent.restored, problem, rows)
        blocks[block] = blocks[block] + tally if block in blocks else tally
        if progress:
            progress(rows.stop, problem.data)
    return [blocks[b] for b in sorted(blocks)]


def _data_chunks(data: int, chunk: int) -> Iterator[tuple[int, slice]]:
    blocks = max(1, min(BLOCKS, data))
    for block in range(blocks):
        start, stop = block * data // blocks, (block + 1) * data // blocks
        for first in range(start, stop, chunk):
            yield block, slice(first, min(first + chunk, stop))


def _mechanism_tally(
    explanation: MechanismExplanation, restored: Mapping[str, Tensor], problem: MechanismProblem, rows: slice
) -> MechanismTally:
    x = problem.inputs[rows]
    active = explanation.active(restored, x)
    predicted = explanation.predict(restored, x, active)
    first = rows.start == 0
    if first and not torch.equal(predicted, explanation.predict(dict(restored), x.clone(), active.clone())):
        raise DoesNotDecode(f"{explanation.name}: the same message was received in two ways")
    correction = problem.target.compare(predicted, problem.outputs[rows])
    flat = active.flatten(0, 1)
    return MechanismTally(Usage.of(active.any(1)), Usage.of(flat), correction)


def _precision(explanation: MechanismExplanation, problem: MechanismProblem, data: int, chunk: int) -> int:
    """The two-part optimum: the precision with the smallest total, judged on the first data.

    A walk ends where the total was above the least one twice running: a lucky rounding can hide a descent.
    """
    data = min(data, problem.data)
    shard = MechanismProblem(problem.inputs[:data], problem.outputs[:data], problem.target)
    parts = explanation.parts()

    def bits(precision: int) -> float:
        sent = send_parts(parts, precision)
        tally = _mechanism_sum(_mechanism_blocks(explanation, sent, shard, chunk))
        lines = _mechanism_lines(sent, tally)
        return lines[0].bits + sum(line.bits for line in lines[1:]) * problem.data / data

    cost = {8: bits(8)}
    for way in (range(9, 17), range(7, 1, -1)):
        worse = 0
        for precision in way:
            cost[precision] = bits(precision)
            worse = worse + 1 if cost[precision] > min(cost.values()) else 0
            if worse == 2:
                break
    return min(cost, key=lambda p: (cost[p], p))


def _mechanism_sum(per_block: list[MechanismTally]) -> MechanismTally:
    total = per_block[0]
    for tally in per_block[1:]:
        total = total + tally
    return total


def _mechanism_lines(sent: SentParts, tally: MechanismTally) -> list[Line]:
    support = shortest_support(tally.rows)
    return [
        Line(
            "mechanism",
            "parts",
            "dyadic grid",
            sent.total(tally.data.counts),
            sent.headers(tally.data.counts),
        ),
        Line("active sets", "support", support.name, support.bits(tally.rows.n), support.header),
        *tally.correction.lines(),
    ]


def _mechanism_score(
    explanation: MechanismExplanation, sent: SentParts, per_block: list[MechanismTally], precision: int
) -> Score:
    tally = _mechanism_sum(per_block)
    n = tally.data.n
    rates = {"support": support_rates(tally.rows, n), **tally.correction.rates(n)}
    law = Law(n, tally.data.counts, sent.ways, sent.header, rates, explanation.open_ended)
    blocks = support_shares(tally.rows, [b.rows for b in per_block])
    blocks = blocks + tally.correction.shares([b.correction for b in per_block])
    return Score(
        Ledger(tuple(_mechanism_lines(sent, tally)), tally.rows.n),
        law,
        blocks,
        np.array([b.data.n for b in per_block], dtype=np.float64),
        {"precision": precision},
        faithfulness(tally.rows, tally.correction),
        tally.rows,
    )
