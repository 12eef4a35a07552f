"""``score_mechanism``: one explanation of how inputs become outputs, in bits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .delivery import check_cells, check_delivery, check_numbers, check_outputs, check_sets, check_skeleton
from .grid import quantise, restore
from .joint import FEW_PARTS, Together
from .keyed import keyed, linear_sharings, shortest_sharing
from .law import Law, Rate
from .ledger import Ledger, Line
from .lengths import Floats, signed_delta
from .message import DoesNotDecode, MechanismExplanation, TellsCoefficients
from .parts import SentParts, send_parts
from .rows import Rows
from .score import BLOCKS, Precision, Progress, Score, faithfulness, support_rates, support_shares
from .support import shortest_support
from .tally import Histogram, Usage
from .tallying import Choices, Course, Plan, Tallied, whole
from .target import CorrectionTally, Target

CHUNK = 64  # data in one canonical pass


@dataclass(frozen=True, eq=False)
class MechanismProblem:
    """What every explanation of a mechanism is scored on: inputs, the model's outputs, the target.

    ``outputs`` [data, (positions,) width] are the model's own. The receiver knows the inputs and nothing
    of the network.
    """

    inputs: Tensor
    outputs: Rows
    target: Target

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.outputs) > 0:
            raise DoesNotDecode(
                f"{len(self.inputs)} inputs and {len(self.outputs)} outputs: expected one output for each of "
                "at least one datum"
            )

    @property
    def data(self) -> int:
        """n."""
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class MechanismTally:
    """``data``: which data use a part; ``rows``: which positions; coefficients by part; the correction."""

    data: Usage
    rows: Usage
    values: Histogram
    correction: CorrectionTally

    def __add__(self, other: MechanismTally) -> MechanismTally:
        return MechanismTally(
            self.data + other.data,
            self.rows + other.rows,
            self.values + other.values,
            self.correction + other.correction,
        )


@dataclass(frozen=True, eq=False)
class _Sending:
    """One explanation at fixed knobs; the step of the coefficients is 2^(half_octaves/2)."""

    explanation: MechanismExplanation
    problem: MechanismProblem
    sent: SentParts
    half_octaves: int | None
    chunk: int

    receiver: MechanismExplanation | None = None

    def whole(self) -> MechanismTally:
        """The tally of all data, for choosing steps."""
        return _sum([self._tally(rows, False) for _, rows in data_chunks(self.problem.data, self.chunk)])

    def predicted(self, rows: slice) -> Tensor:
        """What arrives of some data."""
        x = self.problem.inputs[rows]
        return self._receive(self.sent.restored, x, self._told(x))

    def tally(self, rows: slice) -> MechanismTally:
        """Send some data, and prove the delivery of the first, second, third, fifth, ninth … chunk."""
        place = rows.start // max(rows.stop - rows.start, 1)
        return self._tally(rows, not place & (place - 1))

    def _tally(self, rows: slice, prove: bool) -> MechanismTally:
        x, truth = self.problem.inputs[rows], self.problem.outputs[rows]
        told, name = self._told(x), self.explanation.name
        predicted = check_outputs(name, self._receive(self.sent.restored, x, told), truth)
        if prove:
            self._prove(x, told, predicted)
        active = told != 0
        together = Together(active.shape[1], 1 < active.shape[2] <= FEW_PARTS)
        usage = together.usage(active.flatten(0, 1))
        correction = self.problem.target.compare(predicted, truth)
        return MechanismTally(Usage.of(active.any(1)), usage, self._values(told), correction)

    def _prove(self, x: Tensor, told: Tensor, predicted: Tensor) -> None:
        """The message, and nothing but the message, makes the prediction."""
        name, sent = self.explanation.name, self.sent
        check_delivery(name, self._receive, sent, x, told, predicted)
        if self.receiver is None:
            check_numbers(name, self._receive, sent, x, told)
        elif not torch.equal(predicted, self._received_by(self.explanation, sent.restored, x, told)):
            raise DoesNotDecode(
                f"{name}: a receiver who has the message and the kind, but none of its numbers, predicts "
                "something else; what predictions need is sent as parts"
            )

    def _told(self, x: Tensor) -> Tensor:
        """Active parts, or integer coefficients: [data, positions, parts]."""
        name, parts = self.explanation.name, len(self.sent.numbers) - 1
        if self.half_octaves is None:
            return check_sets(name, self.explanation.active(self.sent.restored, x), len(x), parts)
        assert isinstance(self.explanation, TellsCoefficients)
        integers = quantise(self.explanation.coefficients(x), self._step(self.half_octaves))
        return check_cells(name, integers, len(x), parts)

    def _receive(self, restored: Mapping[str, Tensor], x: Tensor, told: Tensor) -> Tensor:
        return self._received_by(self.receiver or self.explanation, restored, x, told)

    def _received_by(
        self, receiver: MechanismExplanation, restored: Mapping[str, Tensor], x: Tensor, told: Tensor
    ) -> Tensor:
        if self.half_octaves is None:
            return receiver.predict(restored, x, told)
        assert isinstance(receiver, TellsCoefficients)
        return receiver.predict_from(restored, x, restore(told, self._step(self.half_octaves)))

    def _values(self, told: Tensor) -> Histogram:
        if self.half_octaves is None:
            return Histogram()
        *_, part = told.nonzero(as_tuple=True)
        return keyed(part, told[told != 0])

    @staticmethod
    def _step(half_octaves: int) -> float:
        return float(2.0 ** (half_octaves / 2))

    def lines(self, tally: MechanismTally) -> list[Line]:
        """The ledger of a tally."""
        support, usage = shortest_support(tally.rows), tally.data.counts
        lines = [
            Line("mechanism", "parts", "dyadic grid", self.sent.total(usage), self.sent.headers(usage)),
            Line("active sets", "support", support.name, support.bits(tally.rows.n), support.header),
        ]
        if self.half_octaves is not None:
            way = shortest_sharing(tally.values, tally.rows.parts)
            header = way.header + float(signed_delta(self.half_octaves))
            lines.append(Line("coefficients", "values", way.label, header + way.bits(tally.values), header))
        return [*lines, *tally.correction.lines()]

    def rates(self, tally: MechanismTally) -> dict[str, tuple[Rate, ...]]:
        """The linear codes of every line but the parts."""
        n = tally.data.n
        rates = {"support": support_rates(tally.rows, n), **tally.correction.rates(n)}
        if self.half_octaves is not None:
            told = float(signed_delta(self.half_octaves))
            ways = linear_sharings(tally.values, tally.rows.parts)
            rates["values"] = tuple(
                Rate(way.label, told + way.header, way.bits(tally.values) / n) for way in ways
            )
        return rates

    def shares(self, tally: MechanismTally, blocks: list[MechanismTally]) -> Floats:
        """How support, values and correction fall on the blocks."""
        bits = support_shares(tally.rows, [b.rows for b in blocks])
        bits = bits + tally.correction.shares([b.correction for b in blocks])
        if self.half_octaves is not None:
            way = shortest_sharing(tally.values, tally.rows.parts, frozen=True)
            bits = bits + np.array([way.bits(b.values) for b in blocks])
        return bits


def score_mechanism(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    precision: Precision = "auto",
    calibrate_data: int = 64,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> Score:
    """Weigh an explanation of how inputs become outputs.

    Parts are paid when first used; the score's ``law`` gives L(N). ``precision`` is bits per number of a
    part; it and the step of coefficients are chosen on the first data where they are free.
    """
    course: Course[MechanismTally] = Course(progress=progress)
    start, plan = _begun(explanation, problem, precision, calibrate_data, chunk, course)
    sending = _sending(explanation, problem, start.choices, chunk)
    return _score(sending, course.run(start, plan, sending.tally).per_block())


def tally_mechanism(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    precision: Precision = "auto",
    calibrate_data: int = 64,
    chunk: int = CHUNK,
    course: Course[MechanismTally] | None = None,
    receiver: MechanismExplanation | None = None,
) -> Tallied[MechanismTally]:
    """The tallies behind :func:`score_mechanism`, of one shard or from where an earlier run stopped.

    Every shard chooses precision and step on the same first data, so all choose alike. ``receiver`` is a copy
    of the explanation without its numbers: what it predicts from the message is what counts.
    """
    course = course or Course()
    if receiver is not None:
        check_skeleton(explanation.name, explanation.parts(), receiver.parts())
    start, plan = _begun(explanation, problem, precision, calibrate_data, chunk, course)
    return course.run(start, plan, _sending(explanation, problem, start.choices, chunk, receiver).tally)


def mechanism_score(
    explanation: MechanismExplanation, problem: MechanismProblem, tallied: Tallied[MechanismTally]
) -> Score:
    """The score of tallies that cover the data; raises ``TallyError`` where chunks are missing."""
    return _score(_sending(explanation, problem, tallied.choices, CHUNK), tallied.per_block())


def _begun(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    precision: Precision,
    calibrate_data: int,
    chunk: int,
    course: Course[MechanismTally],
) -> tuple[Tallied[MechanismTally], Plan]:
    """What is tallied already, with the choices, and the chunks there are."""
    plan = list(data_chunks(problem.data, chunk))
    choices = functools.partial(_choose, explanation, problem, precision, calibrate_data, chunk)
    return course.begin(len(plan), choices), plan


def _sending(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    choices: Choices,
    chunk: int,
    receiver: MechanismExplanation | None = None,
) -> _Sending:
    told = None if choices["half_octaves"] is None else whole(choices, "half_octaves")
    sent = send_parts(explanation.parts(), whole(choices, "precision"))
    return _Sending(explanation, problem, sent, told, chunk, receiver)


def _choose(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    precision: Precision,
    calibrate_data: int,
    chunk: int,
) -> Choices:
    """Precision and step of coefficients with the smallest total, judged by the first data."""
    data = max(1, min(calibrate_data, problem.data))
    shard = MechanismProblem(problem.inputs[:data], problem.outputs[:data], problem.target)

    parts = explanation.parts()

    def bits(precision: int, half_octaves: int | None) -> float:
        sending = _Sending(
            explanation, shard, send_parts(parts, precision, thorough=False), half_octaves, chunk
        )
        first, *rest = sending.lines(sending.whole())
        return first.bits + sum(line.bits for line in rest) * problem.data / data

    start = 8 if precision == "auto" else precision
    half_octaves = None
    if isinstance(explanation, TellsCoefficients):
        half_octaves = _half_octaves(explanation.coefficients(shard.inputs), lambda h: bits(start, h))
    chosen = _precision(lambda p: bits(p, half_octaves)) if precision == "auto" else precision
    return {"precision": chosen, "half_octaves": half_octaves}


def received(
    explanation: MechanismExplanation, problem: MechanismProblem, score: Score
) -> Iterator[tuple[slice, Tensor]]:
    """What a receiver predicts under the steps of a score: (data, outputs [data, …]) chunk by chunk."""
    told = None
    if "value_step" in score.knobs:
        told = round(2 * math.log2(float(score.knobs["value_step"])))
    choices: Choices = {"precision": int(score.knobs["precision"]), "half_octaves": told}
    sending = _sending(explanation, problem, choices, CHUNK)
    for _, rows in data_chunks(problem.data):
        yield rows, sending.predicted(rows)


def data_chunks(data: int, chunk: int = CHUNK) -> Iterator[tuple[int, slice]]:
    """(block, data) in canonical chunks: blocks are contiguous and nearly equal."""
    blocks = max(1, min(BLOCKS, data))
    for block in range(blocks):
        start, stop = block * data // blocks, (block + 1) * data // blocks
        for first in range(start, stop, chunk):
            yield block, slice(first, min(first + chunk, stop))


def _precision(bits: Callable[[int], float]) -> int:
    """The two-part optimum: the precision with the smallest total, judged on the first data.

    A walk ends where the total was above the least one twice running: a lucky rounding can hide a descent.
    """
    cost = {8: bits(8)}
    for way in (range(9, 17), range(7, 1, -1)):
        worse = 0
        for precision in way:
            cost[precision] = bits(precision)
            worse = worse + 1 if cost[precision] > min(cost.values()) else 0
            if worse == 2:
                break
    return min(cost, key=lambda p: (cost[p], p))


def _half_octaves(coefficients: Tensor, bits: Callable[[int], float]) -> int:
    """The step with the smallest total: scanned below the size of the coefficients, then refined."""
    size = (
        float(coefficients[coefficients != 0].double().square().mean().sqrt()) if coefficients.any() else 1.0
    )
    top = round(2 * math.log2(size))
    cost = {h: bits(h) for h in range(top - 12, top + 3, 3)}
    best = min(cost, key=lambda h: (cost[h], h))
    cost |= {h: bits(h) for h in (best - 1, best + 1)}
    return min(cost, key=lambda h: (cost[h], h))


def _sum(per_block: list[MechanismTally]) -> MechanismTally:
    total = per_block[0]
    for tally in per_block[1:]:
        total = total + tally
    return total


def _score(sending: _Sending, per_block: list[MechanismTally]) -> Score:
    tally, sent = _sum(per_block), sending.sent
    knobs: dict[str, float | int | str] = {"precision": sent.precision}
    if sending.half_octaves is not None:
        knobs["value_step"] = 2.0 ** (sending.half_octaves / 2)
    open_ended = sending.explanation.open_ended
    return Score(
        Ledger(tuple(sending.lines(tally)), tally.rows.n),
        Law(tally.data.n, tally.data.counts, sent.ways, sent.header, sending.rates(tally), open_ended),
        sending.shares(tally, per_block),
        np.array([b.data.n for b in per_block], dtype=np.float64),
        knobs,
        faithfulness(tally.rows, tally.correction),
        tally.rows,
    )
