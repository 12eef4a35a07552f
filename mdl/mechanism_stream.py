"""The real message of the mechanism setting, for outputs on a grid.

The receiver has the inputs and the *kind* of the explanation: the names, shapes and owners of its tensors,
and how restored parts become predictions. Everything else is in the bytes: which parts are active, the parts
that any datum uses, the residual. Layout and checksum are those of :mod:`bitstream`, under its own name.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import wire as on
from .grid import quantise
from .mechanism_score import MechanismProblem, data_chunks
from .message import MechanismExplanation
from .parts import Grid, Parts, PartTensor, SentParts, known_range, send_parts
from .residual import cells
from .score import Score
from .streams import Frozen
from .support import SupportCost, shortest_support
from .tally import Ints
from .target import GridTarget
from .transmit import stream, stream_code
from .transmit_keyed import placed
from .transmit_support import support
from .wire import BitstreamError, Receiver, Sender, Wire

MAGIC = b"ASSAM\x01\x00\x00"


@dataclass(frozen=True, eq=False)
class _Told:
    """What the sender knows: parts on their grids, active sets [rows, parts] and their code, the integers."""

    sent: SentParts
    active: Ints
    support: SupportCost
    wanted: Tensor


def encode_mechanism(explanation: MechanismExplanation, problem: MechanismProblem, score: Score) -> bytes:
    """The bytes of the message that a score states the length of.

    Raises :class:`TypeError` for a target that is not a grid.
    """
    if not isinstance(problem.target, GridTarget):
        raise TypeError("only outputs on a grid have a bitstream; KL is an expectation")
    sent = send_parts(explanation.parts(), int(score.knobs["precision"]))
    wanted = quantise(problem.outputs, problem.target.delta).flatten(0, -2).cpu()
    active = _active(explanation, sent.restored, problem)
    sender = Sender()
    _protocol(
        sender,
        explanation,
        problem.inputs,
        problem.target.delta,
        _Told(sent, active, shortest_support(score.usage), wanted),
    )
    body = sender.words().astype("<u4").tobytes()
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def decode_mechanism(data: bytes, explanation: MechanismExplanation, inputs: Tensor, delta: float) -> Tensor:
    """The outputs' integers [rows, width]; of ``explanation`` only shapes and the way to predict are used."""
    if data[:8] != MAGIC or len(data) < 16 or len(data) % 4:
        raise BitstreamError("not an assay stream of a mechanism, or cut short")
    body = data[12:]
    if struct.unpack("<I", data[8:12])[0] != zlib.crc32(body):
        raise BitstreamError("its checksum does not fit: the stream is damaged or cut short")
    receiver = Receiver(np.frombuffer(body, dtype="<u4").astype(np.uint32))
    wanted = _protocol(receiver, explanation, inputs, delta, None)
    receiver.finish()
    return wanted


def _active(
    explanation: MechanismExplanation, restored: Mapping[str, Tensor], problem: MechanismProblem
) -> Ints:
    flags = [
        explanation.active(restored, problem.inputs[rows]).flatten(0, 1)
        for _, rows in data_chunks(problem.data)
    ]
    return torch.cat(flags).cpu().numpy().astype(np.int64)


def _protocol(
    wire: Wire, explanation: MechanismExplanation, inputs: Tensor, delta: float, told: _Told | None
) -> Tensor:
    """One message, in the order in which it travels; the same for both ends."""
    skeleton = explanation.parts()
    precision = int(on.natural(wire, None if told is None else np.array([told.sent.precision]), 1)[0])
    rows = int(on.natural(wire, None if told is None else np.array([len(told.active)]), 1)[0])
    if rows % len(inputs):
        raise BitstreamError(f"{rows} rows about {len(inputs)} inputs")
    given, cost = (None, None) if told is None else (told.active, told.support)
    active = support(wire, given, cost, rows, skeleton.count)
    used = np.append(active.any(0), True)
    restored = _parts(wire, skeleton, precision, used, None if told is None else told.sent)
    predicted = _predict(explanation, restored, inputs, active)
    place = cells(predicted, delta).flatten(0, -2).cpu().numpy()
    expected = quantise(predicted, delta).flatten(0, -2).cpu()
    residual = None if told is None else (told.wanted - expected).numpy()
    return expected + torch.from_numpy(placed(wire, place, residual))


def _predict(
    explanation: MechanismExplanation, restored: Mapping[str, Tensor], inputs: Tensor, active: Ints
) -> Tensor:
    """Chunk by chunk as the score was made, so that no kernel rounds otherwise."""
    flags = torch.from_numpy(active.astype(bool)).to(inputs.device)
    flags = flags.reshape(len(inputs), len(active) // len(inputs), active.shape[1])
    chunks = [rows for _, rows in data_chunks(len(inputs))]
    return torch.cat([explanation.predict(restored, inputs[rows], flags[rows]) for rows in chunks])


def _parts(
    wire: Wire, skeleton: Parts, precision: int, used: Ints, sent: SentParts | None
) -> dict[str, Tensor]:
    """Every tensor's slices of the parts in use; others arrive as zeros."""
    restored = {}
    for i, tensor in enumerate(skeleton.tensors):
        owner = tensor.owner.cpu().numpy()
        shape = (len(owner), math.prod(tensor.values.shape[1:]))
        sending = np.nonzero(used[owner])[0]
        integers = np.zeros(shape, dtype=np.int64)
        grid = None if sent is None else sent.grids[i]
        given = None if grid is None else grid.integers[sending]
        if tensor.values.dtype == torch.bool:
            integers[sending] = _mask(wire, given, sending.size, shape[1])
            restored[tensor.name] = torch.from_numpy(integers.astype(bool)).reshape(tensor.values.shape)
            continue
        exponent, told = _numbers(wire, given, (sending.size, shape[1]), precision, used, sent, i)
        integers[sending] = told
        restored[tensor.name] = _real(tensor, integers, exponent)
    return restored


def _real(tensor: PartTensor, integers: Ints, exponent: int) -> Tensor:
    values = torch.from_numpy(integers).double() * 2.0**exponent
    return values.reshape(tensor.values.shape).to(tensor.values.device)


def _mask(wire: Wire, given: Ints | None, slices: int, entries: int) -> Ints:
    sizes = on.natural(wire, None if given is None else given.sum(1) + 1, slices) - 1
    return on.subsets(wire, given, np.minimum(sizes, entries), entries)


def _numbers(
    wire: Wire,
    given: Ints | None,
    shape: tuple[int, int],
    precision: int,
    used: Ints,
    sent: SentParts | None,
    i: int,
) -> tuple[int, Ints]:
    """A tensor's exponent and its integers [slices, entries], dense or behind a mask of what is not zero."""
    way = None if sent is None else min(sent.ways[i], key=lambda w: w.total(used.astype(np.float64)))
    sparse = bool(on.bits(wire, None if way is None else np.array([way.sparse]), 1)[0])
    grid: Grid | None = None if sent is None else sent.grids[i]
    exponent = int(on.integer(wire, None if grid is None else np.array([grid.exponent]), 1)[0])
    code = stream_code(wire, None if way is None else way.code, known_range(precision))
    if not isinstance(code, Frozen) or abs(exponent) > 1100:
        raise BitstreamError("parts under a code that parts do not use")
    keep = np.ones(shape, dtype=np.int64)
    if sparse:
        keep = _mask(wire, None if given is None else (given != 0).astype(np.int64), *shape)
    where = keep.nonzero()
    integers = np.zeros(shape, dtype=np.int64)
    integers[where] = stream(wire, None if given is None else given[where], len(where[0]), code)
    return exponent, integers
