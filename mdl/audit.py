"""Checks that come with the numbers: the real bitstream, received again, and a stranger's upper bound.

A ledger that holds KL states an expectation. Its decodable twin codes outcomes y that are drawn from the
model's distribution p under the explanation's q: −log2 q(y) takes the place of KL in the length that the
stream is measured against, and −log2 q(y) + log2 p(y) averages to KL.
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .bitstream import Outputs, SiteMessage, Telling, decode, encode, framing_bits, telling
from .container import Note, note_bits
from .grid import GridError
from .mechanism_score import MechanismProblem
from .mechanism_stream import MechanismMessage, decode_mechanism, encode_mechanism, mechanism_framing_bits
from .message import DoesNotDecode, MechanismExplanation, SiteExplanation
from .score import BLOCKS, Score
from .site import Channel, Knobs, chunks
from .site_score import SiteProblem
from .student import Learner
from .student_stream import decode_student, encode_student, student_framing_bits
from .support import shortest_support
from .tally import Ints
from .target import CategoricalTarget, GridTarget
from .twin import Twin
from .wire import BitstreamError

Checks = dict[str, float | int | str | bool]


def channel_of(explanation: SiteExplanation, problem: SiteProblem, score: Score) -> Channel:
    """The channel that a score was made with."""
    precision, step = int(score.knobs["precision"]), float(score.knobs["value_step"])
    half_octaves = round(2 * math.log2(step / problem.delta))
    return Channel(explanation, problem.delta, Knobs(precision, half_octaves, score.octaves)).to(
        problem.x.device
    )


@dataclass(frozen=True, eq=False)
class Sent:
    """A stream, the message in it as its sender reads it, and ``framing``: bits that no ledger holds."""

    data: bytes
    message: SiteMessage | MechanismMessage
    framing: float
    twin: Twin | None = None


def sent_site(
    explanation: SiteExplanation, problem: SiteProblem, score: Score, seed: int = 0, note: Note | None = None
) -> Sent:
    """The real message of the site setting whose length a score states."""
    told = _telling(explanation, problem, score, seed)
    data, message = encode(told, note)
    twin = None
    if told.outputs is not None and isinstance(problem.target, CategoricalTarget):
        twin = Twin.of(told.outputs.predict(message.prediction()), told.outputs.truth, message.restored, seed)
    return Sent(data, message, framing_bits(message) + note_bits(data), twin)


def _telling(explanation: SiteExplanation, problem: SiteProblem, score: Score, seed: int) -> Telling:
    rows = [where for _, where in chunks(len(problem.x), problem.positions, BLOCKS)]
    outputs = None
    if problem.downstream is not None:
        truth = [problem.downstream(problem.x[where], where)[1] for where in rows]
        outputs = Outputs(problem.target, predictor(problem), torch.cat(truth), seed)
    channel = channel_of(explanation, problem, score)
    return telling(channel, problem.x[:], rows, shortest_support(score.usage), outputs)


def predictor(problem: SiteProblem) -> Callable[[Tensor], Tensor]:
    """What the network after the site makes of activations [rows, d], in the chunks of the score."""
    downstream = problem.downstream
    assert downstream is not None

    def predict(told: Tensor) -> Tensor:
        every = [where for _, where in chunks(len(told), problem.positions, BLOCKS)]
        return torch.cat([downstream(told[where].to(problem.x.device), where)[0] for where in every])

    return predict


def sent_mechanism(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    score: Score,
    ways: Sequence[MechanismExplanation] = (),
    seed: int = 0,
    note: Note | None = None,
) -> Sent:
    """The real message of the mechanism setting; ``ways`` are the alternatives, where there are several."""
    data, message = encode_mechanism(explanation, problem, score, ways, seed, note)
    twin = None
    if isinstance(problem.target, CategoricalTarget):
        twin = Twin.of(message.predicted, problem.outputs[:].flatten(0, -2), message.restored, seed)
    return Sent(data, message, mechanism_framing_bits(message) + note_bits(data), twin)


def audit_site(explanation: SiteExplanation, problem: SiteProblem, score: Score, seed: int = 0) -> Checks:
    """Write the bitstream, read it back, and compare its length with the ledger's.

    ``bitstream_excess`` is (file − container) / ledger − 1. The stranger's lines are general compressors on
    the same integers. Raises :class:`DoesNotDecode` where the integers that come back are not the target's.
    """
    sent = sent_site(explanation, problem, score, seed)
    predict = None if problem.downstream is None else predictor(problem)
    received(explanation.name, sent, lambda data: decode(data, predict))
    return checks(sent, score)


def audit_mechanism(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    score: Score,
    receiver: Sequence[MechanismExplanation] = (),
    ways: Sequence[MechanismExplanation] = (),
    seed: int = 0,
) -> Checks:
    """The same for a mechanism; ``receiver`` are the receiver's copies of ``ways``, without the network."""
    sent = sent_mechanism(explanation, problem, score, ways, seed)
    known = tuple(receiver) or tuple(ways) or (explanation,)
    received(explanation.name, sent, lambda data: decode_mechanism(data, known, problem.inputs))
    return checks(sent, score)


def sent_student(
    learner: Learner, problem: MechanismProblem, seed: int = 0, note: Note | None = None
) -> Sent:
    """The real message of a prequential student."""
    data, message = encode_student(learner, problem, seed, note)
    twin = None
    if isinstance(problem.target, CategoricalTarget):
        truth = problem.outputs[:].cpu().flatten(0, -2)
        twin = Twin.of(message.predicted, truth, message.restored, seed)
    return Sent(data, message, student_framing_bits(message, problem.data) + note_bits(data), twin)


def audit_student(learner: Learner, problem: MechanismProblem, score: Score, seed: int = 0) -> Checks:
    """The same for a student, which the receiver trains again."""
    sent = sent_student(learner, problem, seed)
    received("student", sent, lambda data: decode_student(data, learner, problem.inputs))
    return checks(sent, score)


def received(name: str, sent: Sent, decode: Callable[[bytes], SiteMessage | MechanismMessage]) -> None:
    """Raise :class:`DoesNotDecode` unless the bytes alone restore what was sent."""
    try:
        same = torch.equal(decode(sent.data).restored, sent.message.restored)
    except (BitstreamError, GridError) as error:
        raise DoesNotDecode(f"{name}: the bitstream does not decode: {error}") from error
    if not same:
        raise DoesNotDecode(f"{name}: the bitstream restores something else")


def checks(sent: Sent, score: Score) -> Checks:
    """What a report says about a stream that was received well."""
    stated, twin = score.ledger.total, sent.twin
    if twin is not None:
        stated += twin.bits - score.ledger.section("correction")
    file = 8 * len(sent.data)
    found: Checks = {
        "decodes": True,
        "bitstream_bits": file,
        "container_bits": sent.framing,
        "bitstream_excess": (file - sent.framing) / stated - 1 if stated else 0.0,
    }
    if twin is not None:
        return found | twin.checks()
    if not isinstance(sent.message.corrects, GridTarget):
        return found
    return found | strangers(sent.message.restored.numpy())


def strangers(integers: Ints) -> Checks:
    """What general-purpose compressors make of the target's integers [rows, d], in the narrowest type."""
    import zstandard

    narrow = integers.astype(np.min_scalar_type(-int(np.abs(integers).max(initial=0)) - 1))
    raw = np.ascontiguousarray(narrow.T).tobytes()
    return {
        "xz_bits": 8 * len(lzma.compress(raw, preset=6)),
        "zstd_bits": 8 * len(zstandard.ZstdCompressor(level=19).compress(raw)),
    }
