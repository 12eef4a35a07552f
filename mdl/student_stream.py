"""The real message of a prequential student (:mod:`student`).

The receiver has the inputs and the learner, which starts from nothing. First it is told how corrections are
coded. Then, stretch by stretch, it predicts, is told what the prediction lacks, and learns the outputs that
it has now: so it is where the sender was, and predicts the next stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from . import wire as on
from .answers import AnswerTally, AnswerTarget
from .bitstream import CODER_BITS, MOST_CELLS
from .container import MECHANISM, Note, packed, received
from .lengths import elias_delta
from .mechanism_score import MechanismProblem
from .mechanism_stream import MechanismMessage
from .residual import on_grid
from .score import sum_corrections
from .student import Learner, as_outputs, lacking, lessons, residual_way, taught
from .target import CorrectionTally, GridTarget, ResidualTally, Target
from .transmit_correction import Wanted, answers_told, correction, target_bits, target_told
from .transmit_keyed import residual_codes
from .wire import BitstreamError, Sender, Wire

Told = Callable[[Tensor, Wanted | None], Tensor]
"""From predictions [rows, width] and what they lack to the target."""


@dataclass(frozen=True, eq=False)
class _Sent:
    """What the sender knows: the problem, the prediction of each stretch, the tally of all corrections."""

    problem: MechanismProblem
    stretches: dict[int, tuple[Tensor, Wanted]]
    total: CorrectionTally


def encode_student(
    learner: Learner, problem: MechanismProblem, seed: int = 0, note: Note | None = None
) -> tuple[bytes, MechanismMessage]:
    """The bytes of the message whose length ``score_student`` states, and what a receiver reads in them."""
    stretches, tallies = {}, []
    learner.reset()
    for lesson, predicted in taught(learner, problem, seed):
        tallies.append(problem.target.compare(predicted, problem.outputs[lesson.rows].cpu()))
        stretches[lesson.rows.start] = predicted, lacking(problem, lesson, predicted, seed)
    sender = Sender()
    message = _protocol(sender, learner, problem.inputs, _Sent(problem, stretches, sum_corrections(tallies)))
    return packed(MECHANISM, sender, message.restored, note), message


def decode_student(
    data: bytes, learner: Learner, inputs: Tensor, most_cells: int = MOST_CELLS
) -> MechanismMessage:
    """The message in bytes; raises :class:`BitstreamError` for anything that is not one, whole.

    So it does where this machine trains the learner otherwise than the sender's did.
    """
    return received(data, MECHANISM, lambda wire: _protocol(wire, learner, inputs, None, most_cells))


def student_framing_bits(told: MechanismMessage, data: int) -> float:
    """Bits that no line of the ledger holds: rows, target and grid, a flag per stretch, the coder's end."""
    flags = len(lessons(data)) - 1 if told.corrects.name == "outcomes" else 0
    return float(elias_delta(max(told.rows, 1))) + target_bits(told.corrects) + flags + CODER_BITS


def _protocol(
    wire: Wire, learner: Learner, inputs: Tensor, knows: _Sent | None, most_cells: int = MOST_CELLS
) -> MechanismMessage:
    """The same steps at both ends."""
    count = None if knows is None else np.array([math.prod(knows.problem.outputs.shape[:-1])])
    rows = int(on.natural(wire, count, 1)[0])
    if rows % len(inputs) or rows > most_cells:
        raise BitstreamError(f"{rows} rows about {len(inputs)} inputs")
    target = target_told(wire, None if knows is None else knows.problem.target, knows is not None)
    if target is None:
        raise BitstreamError("a student has outputs, not activations")
    told: Told | None = None
    predicted, restored = [], []
    for made, lacks, learn in _stretches(learner, inputs, target, knows):
        flat = made.flatten(0, -2)
        told = told or _codes(wire, target, None if knows is None else knows.total, flat.shape[1])
        restored.append(told(flat, lacks))
        predicted.append(flat)
        learn(restored[-1])
    return MechanismMessage(target, rows, torch.cat(predicted), torch.cat(restored))


def _stretches(
    learner: Learner, inputs: Tensor, target: Target, knows: _Sent | None
) -> Iterator[tuple[Tensor, Wanted | None, Callable[[Tensor], None]]]:
    """Predictions of each stretch, what they lack, and what to do with what was told."""
    learner.reset()
    for lesson in lessons(len(inputs)):
        if knows is not None:
            yield *knows.stretches[lesson.rows.start], _nothing
            continue
        x = inputs[lesson.rows]
        made = learner.predict(x).cpu()
        yield made, None, partial(_learn, learner, x, target, made)


def _learn(learner: Learner, x: Tensor, target: Target, made: Tensor, told: Tensor) -> None:
    learner.learn(x, as_outputs(target, told, made))


def _nothing(told: Tensor) -> None:
    """The sender has learned already."""


def _codes(wire: Wire, target: Target, total: CorrectionTally | None, width: int) -> Told:
    """Tell how all stretches are coded."""
    match target:
        case GridTarget(delta):
            way = residual_way(total) if isinstance(total, ResidualTally) else None
            codes = residual_codes(wire, way, width)

            def residuals(predicted: Tensor, lacks: Wanted | None) -> Tensor:
                expected, cell = on_grid(predicted, delta)
                residual = None if lacks is None else (lacks.integers - expected).numpy()
                return expected + torch.from_numpy(codes.told(wire, cell.numpy(), residual))

            return residuals
        case AnswerTarget():
            given = None
            if isinstance(total, AnswerTally):
                given = np.array([total.wrong + 1, total.rows])
            wrong, rows = on.natural(wire, given, 2) - np.array([1, 0])
            if not 0 <= wrong <= rows:
                raise BitstreamError(f"{wrong} of {rows} answers wrong")
            return lambda predicted, lacks: answers_told(
                wire, predicted, None if lacks is None else lacks.integers.numpy(), wrong / rows
            )
    return lambda predicted, lacks: correction(wire, target, predicted, lacks)
