"""The real message of the mechanism setting.

The receiver has the inputs and the *kind* of the explanation: the names, shapes and owners of its tensors,
and how restored parts become predictions. Everything else is in the bytes: which parts are active, how
strongly where that is told, the parts that any datum uses, and what corrects the prediction. An explanation
that may be told in several ways says first in which.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import wire as on
from .active import Active
from .bitstream import CODER_BITS, MOST_CELLS
from .container import MECHANISM, Note, packed, received
from .grid import quantise, restore
from .lengths import elias_delta
from .mechanism_score import MechanismProblem, data_chunks
from .message import MechanismExplanation, TellsCoefficients
from .parts import SentParts, send_parts
from .score import Score
from .support import SupportCost, shortest_support
from .tally import Ints
from .target import Target
from .transmit_correction import correction, target_bits, target_told, values, wanted
from .transmit_keyed import shared
from .transmit_parts import parts_told, precision_told, restored
from .transmit_support import support
from .wire import BitstreamError, Sender, Wire

MOST_HALF_OCTAVES = 2000


@dataclass(frozen=True, eq=False)
class MechanismMessage:
    """What a message about a mechanism says: what is corrected, the prediction, and the target as restored.

    ``predicted`` [rows, width]; ``restored``: integers [rows, width], or outcomes or answers [rows].
    """

    corrects: Target
    rows: int
    predicted: Tensor
    restored: Tensor

    def values(self) -> Tensor:
        """The target on its grid; outcomes and answers as they are."""
        return values(self.corrects, self.restored)


@dataclass(frozen=True, eq=False)
class _Told:
    """What the sender knows: the way it is told, parts on their grids, what is told of parts, the truth.

    ``told`` [rows, parts]: 1 for each active part, or its integer coefficient.
    """

    way: int
    sent: SentParts
    told: Ints
    half_octaves: int | None
    support: SupportCost
    problem: MechanismProblem
    seed: int


def encode_mechanism(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    score: Score,
    ways: Sequence[MechanismExplanation] = (),
    seed: int = 0,
    note: Note | None = None,
) -> tuple[bytes, MechanismMessage]:
    """The bytes of the message that a score states the length of, and the message as a receiver reads it.

    ``ways`` are the alternatives, where ``explanation`` is one of several. A model's distributions are told
    by outcomes that are drawn with ``seed``.
    """
    sent = send_parts(explanation.parts(), int(score.knobs["precision"]))
    half_octaves = None
    if isinstance(explanation, TellsCoefficients):
        half_octaves = round(2 * math.log2(float(score.knobs["value_step"])))
    told = _told(explanation, sent.restored, problem, half_octaves)
    every = tuple(ways) or (explanation,)
    way = next(i for i, one in enumerate(every) if one is explanation)
    knows = _Told(way, sent, told, half_octaves, shortest_support(score.usage), problem, seed)
    sender = Sender()
    message = _protocol(sender, every, problem.inputs, knows)
    return packed(MECHANISM, sender, message.restored, note), message


def decode_mechanism(
    data: bytes, ways: Sequence[MechanismExplanation], inputs: Tensor, most_cells: int = MOST_CELLS
) -> MechanismMessage:
    """The message in bytes; raises :class:`BitstreamError` for anything that is not one, whole.

    Of the explanation (``ways``: the alternatives, or it alone) only shapes and the way to predict are used.
    """
    return received(data, MECHANISM, lambda wire: _protocol(wire, ways, inputs, None, most_cells))


def mechanism_framing_bits(told: MechanismMessage) -> float:
    """Bits that no line of the ledger holds: the rows, the target and its grid, the end of the coder."""
    return float(elias_delta(max(told.rows, 1))) + target_bits(told.corrects) + CODER_BITS


def _told(
    explanation: MechanismExplanation,
    parts: Mapping[str, Tensor],
    problem: MechanismProblem,
    half_octaves: int | None,
) -> Ints:
    """What is told of the parts, chunk by chunk as the score was made: [rows, parts]."""
    told = []
    for _, rows in data_chunks(problem.data):
        x = problem.inputs[rows]
        if half_octaves is None:
            told.append(explanation.active(parts, x).flatten(0, 1).cpu())
        else:
            assert isinstance(explanation, TellsCoefficients)
            told.append(quantise(explanation.coefficients(x), _step(half_octaves)).flatten(0, 1).cpu())
    return torch.cat(told).numpy().astype(np.int64)


def _step(half_octaves: int) -> float:
    return float(2.0 ** (half_octaves / 2))


def _protocol(
    wire: Wire,
    ways: Sequence[MechanismExplanation],
    inputs: Tensor,
    knows: _Told | None,
    most_cells: int = MOST_CELLS,
) -> MechanismMessage:
    """One message, in the order in which it travels; the same for both ends."""
    way = wire.uniform(None if knows is None else np.array([knows.way]), len(ways), 1)
    explanation = ways[int(way[0])]
    skeleton, sent = explanation.parts(), None if knows is None else knows.sent
    precision = precision_told(wire, sent)
    rows = int(on.natural(wire, None if knows is None else np.array([len(knows.told)]), 1)[0])
    if rows % len(inputs) or rows * max(skeleton.count, 1) > most_cells:
        raise BitstreamError(f"{rows} rows × {skeleton.count} parts about {len(inputs)} inputs")
    active, half_octaves, told = _told_of_parts(wire, explanation, rows, skeleton.count, knows)
    grids = parts_told(wire, skeleton, precision, active.sum(0), sent)
    predicted = _predict(explanation, restored(skeleton, grids), inputs, told, half_octaves)
    target = target_told(wire, None if knows is None else knows.problem.target, knows is not None)
    if target is None:
        raise BitstreamError("a mechanism has outputs, not activations")
    lacking = None
    if knows is not None:
        lacking = wanted(target, predicted, knows.problem.outputs[:].flatten(0, -2), knows.seed)
    return MechanismMessage(target, rows, predicted, correction(wire, target, predicted, lacking))


def _told_of_parts(
    wire: Wire, explanation: MechanismExplanation, rows: int, parts: int, knows: _Told | None
) -> tuple[Ints, int | None, Ints]:
    """Which parts are active [rows, parts]; the step of coefficients, and they, where the kind tells them."""
    given = None if knows is None else Active.of(knows.told)
    sets = support(wire, given, None if knows is None else knows.support, rows, parts)
    active, row, part = sets.dense(), sets.row, sets.part
    if not isinstance(explanation, TellsCoefficients):
        return active, None, active
    step = None if knows is None else np.array([knows.half_octaves])
    half_octaves = int(on.integer(wire, step, 1)[0])
    if abs(half_octaves) > MOST_HALF_OCTAVES:
        raise BitstreamError(f"a step of 2^{half_octaves / 2}")
    told = np.zeros_like(active)
    told[row, part] = shared(wire, part, None if knows is None else knows.told[row, part], parts)
    return active, half_octaves, told


def _predict(
    explanation: MechanismExplanation,
    parts: Mapping[str, Tensor],
    inputs: Tensor,
    told: Ints,
    half_octaves: int | None,
) -> Tensor:
    """Outputs [rows, width], chunk by chunk as the score was made, so that no kernel rounds otherwise."""
    shape = (len(inputs), len(told) // len(inputs), told.shape[1])
    sets = torch.from_numpy(told).reshape(shape).to(inputs.device)
    chunks = [rows for _, rows in data_chunks(len(inputs))]
    if half_octaves is None:
        made = [explanation.predict(parts, inputs[rows], sets[rows] != 0) for rows in chunks]
    else:
        assert isinstance(explanation, TellsCoefficients)
        step = _step(half_octaves)
        made = [explanation.predict_from(parts, inputs[r], restore(sets[r], step)) for r in chunks]
    return torch.cat(made).flatten(0, -2)
