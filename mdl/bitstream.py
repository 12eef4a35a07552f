"""The real message of the site setting: bytes out of activations, and the target's integers back.

In the :mod:`container` lies one stream of ANS words: sizes and steps, support, coefficients, parts in use,
and what corrects the prediction. Where the target is the activations the receiver needs nothing else; where
it is the outputs, the network after the site turns activations as they arrive into the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import wire as on
from .active import Active
from .container import SITE, Note, packed, received
from .lengths import elias_delta
from .message import Code
from .part_tensors import Combination, Parts, PartTensor, one_part
from .parts import Grid
from .site import Channel, on_finest_step, predict, usage_of
from .streams import shortest
from .support import SupportCost, shortest_support
from .tally import Histogram, Ints
from .target import GridTarget, Target
from .transmit import stream, stream_code
from .transmit_correction import correction, target_bits, target_told, values, wanted
from .transmit_keyed import shared
from .transmit_parts import parts_told, precision_told
from .transmit_support import support
from .wire import BitstreamError, Sender, Wire

MOST_CELLS, MOST_COLUMNS = 2**31, 2**22
MOST_OCTAVES = 40
CODER_BITS = 24.0
"""What the coder's state leaves behind at the end of a stream, on average, the last byte filled up."""

Predict = Callable[[Tensor], Tensor]
"""From activations [rows, d] as they arrive to the outputs [rows, width] that the network makes of them."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """Where the target is the outputs: what restores them, and the model's own [rows, width], for the sender.

    A model's distributions are told by outcomes that are drawn with ``seed``.
    """

    target: Target
    predict: Predict
    truth: Tensor
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SiteMessage:
    """All integers of a message about a site: what :func:`encode` writes and :func:`decode` reads.

    ``delta`` and ``step`` are the grids of the activations and of the coefficients. ``second`` rows has the
    dictionary through which the rows may be told, 0 where there is none. ``octaves`` [parts]: how often the
    step of each part is doubled, if any is. ``outputs`` is the target, None for the activations themselves;
    ``restored`` holds it.
    """

    delta: float
    step: float
    precision: int
    identity: bool
    second: int
    code: Code
    grids: tuple[Grid, ...]
    octaves: Ints | None
    outputs: Target | None
    restored: Tensor

    @property
    def corrects(self) -> Target:
        """The target that ``restored`` holds."""
        return self.outputs or GridTarget(self.delta)

    @property
    def width(self) -> int:
        """d, the number of coordinates at the site."""
        return int(self.grids[0].integers.shape[1])

    def prediction(self) -> Tensor:
        """x̂ [rows, d], float64, the same on every machine."""
        return _prediction(self.code, self.grids, self.step, self.identity, self.octaves)

    def values(self) -> Tensor:
        """The target on its grid; outcomes and answers as they are."""
        return values(self.corrects, self.restored)


@dataclass(frozen=True, eq=False)
class Telling:
    """What the sender of a site message knows; ``outputs`` is None where activations are the target."""

    channel: Channel
    x: Tensor
    code: Code
    support: SupportCost
    outputs: Outputs | None = None


def telling(
    channel: Channel,
    x: Tensor,
    chunks: Sequence[slice],
    support: SupportCost | None = None,
    outputs: Outputs | None = None,
) -> Telling:
    """What a channel sends about activations [rows, d], chunk by chunk; ``support`` codes the active sets."""
    codes = [channel.integers(x[rows]) for rows in chunks]
    row = torch.cat([code.row + rows.start for rows, code in zip(chunks, codes, strict=True)]).cpu()
    part, value = (torch.cat([getattr(code, of) for code in codes]).cpu() for of in ("part", "value"))
    order = (row * channel.parts + part).argsort()  # on the wire parts ascend on a row
    joined = Code(row[order], part[order], value[order], len(x), channel.parts)
    return Telling(channel, x, joined, support or shortest_support(usage_of(joined)), outputs)


def encode(told: Telling, note: Note | None = None) -> tuple[bytes, SiteMessage]:
    """The bytes of a message, and the message as any receiver reads it."""
    sender = Sender()
    predict = None if told.outputs is None else told.outputs.predict
    message = _protocol(sender, told, predict)
    return packed(SITE, sender, message.restored, note), message


def decode(data: bytes, predict: Predict | None = None, most_cells: int = MOST_CELLS) -> SiteMessage:
    """The message in bytes; raises :class:`BitstreamError` for anything that is not one, whole.

    A message about outputs needs the network after the site (``predict``). A stream that speaks of more than
    ``most_cells`` rows × parts, or rows × coordinates, is refused.
    """
    return received(data, SITE, lambda wire: _protocol(wire, None, predict, most_cells))


def framing_bits(told: SiteMessage) -> float:
    """Bits that no line of the ledger holds: sizes, the two grids, flags, and the end of the coder."""
    sizes = np.array([told.code.rows, told.width, told.code.parts, told.second]) + 1
    return float(elias_delta(sizes).sum()) + 2 * 64 + 2 + target_bits(told.outputs) + CODER_BITS


def _protocol(
    wire: Wire, told: Telling | None, predict: Predict | None, most_cells: int = MOST_CELLS
) -> SiteMessage:
    """One message, in the order in which it travels; the same for both ends."""
    channel = None if told is None else told.channel
    rows, width, parts, second = _sizes(wire, told, most_cells)
    delta = on.double(wire, None if channel is None else channel.delta)
    step = on.double(wire, None if channel is None else channel.step)
    identity = bool(on.bits(wire, None if channel is None else np.array([int(channel.rows is None)]), 1)[0])
    sent = None if channel is None else channel.sent
    precision = precision_told(wire, sent)
    octaves = _octaves(wire, channel, parts)
    active = _support(wire, told, rows, parts)
    value = shared(wire, active.part, None if told is None else told.code.value.numpy(), parts)
    grids = parts_told(wire, _skeleton(parts, width, identity, second), precision, active.counts, sent)
    row, part = torch.from_numpy(active.row), torch.from_numpy(active.part)
    code = Code(row, part, torch.from_numpy(value), rows, parts)
    predicted = _prediction(code, grids, step, identity, octaves)
    target, restored = _corrected(wire, told, predicted, predict, delta)
    return SiteMessage(delta, step, precision, identity, second, code, grids, octaves, target, restored)


def _corrected(
    wire: Wire, told: Telling | None, predicted: Tensor, predict: Predict | None, delta: float
) -> tuple[Target | None, Tensor]:
    """The target where it is outputs (None for activations), and it as it is restored."""
    outputs = None if told is None else told.outputs
    target = target_told(wire, None if outputs is None else outputs.target, told is not None)
    if target is None:
        on_grid = GridTarget(delta)
        given = None if told is None else wanted(on_grid, predicted, told.x, 0)
        return None, correction(wire, on_grid, predicted, given)
    if predict is None:
        raise BitstreamError("this stream is about outputs: it needs the network after the site")
    made = predict(predicted)
    given = None if outputs is None else wanted(target, made, outputs.truth, outputs.seed)
    return target, correction(wire, target, made, given)


def _octaves(wire: Wire, channel: Channel | None, parts: int) -> Ints | None:
    """One bit says whether the steps of parts differ; if so, how often each is doubled."""
    given = None if channel is None or channel.octaves is None else channel.octaves.cpu().numpy()
    if not on.bits(wire, None if channel is None else np.array([int(given is not None)]), 1)[0]:
        return None
    code = stream_code(wire, None if given is None else shortest(Histogram.of(given)))
    octaves = stream(wire, given, parts, code)
    if not 0 <= int(octaves.min(initial=0)) <= int(octaves.max(initial=0)) <= MOST_OCTAVES:
        raise BitstreamError(f"steps doubled up to {int(octaves.max())} times")
    return octaves


def _prediction(
    code: Code, grids: tuple[Grid, ...], step: float, identity: bool, octaves: Ints | None
) -> Tensor:
    """x̂ [rows, d] as both ends compute it."""
    code = on_finest_step(code, None if octaves is None else torch.from_numpy(octaves))
    tables = {grid.name: grid for grid in grids}
    bias = torch.from_numpy(tables["bias"].integers[0]).double() * 2.0 ** tables["bias"].exponent
    if identity:
        return predict(code, None, step, bias)
    rows = torch.from_numpy(tables["rows"].integers).double()
    return predict(code, rows, step * 2.0 ** tables["rows"].exponent, bias)


def _sizes(wire: Wire, told: Telling | None, most_cells: int) -> tuple[int, int, int, int]:
    given = None
    if told is not None:
        channel = told.channel
        given = np.array([len(told.x), channel.width, channel.parts, channel.second]) + 1
    rows, width, parts, second = (int(n) - 1 for n in on.natural(wire, given, 4))
    if max(rows, 1) * max(parts, width) > most_cells or max(parts, width) > MOST_COLUMNS:
        raise BitstreamError(f"{rows} rows × {parts} parts × {width} coordinates are more than this reads")
    if second * max(parts, width) > most_cells:
        raise BitstreamError(f"a second dictionary of {second} rows is more than this reads")
    return rows, width, parts, second


def _support(wire: Wire, told: Telling | None, rows: int, parts: int) -> Active:
    if told is None:
        return support(wire, None, None, rows, parts)
    active = Active(told.code.row.numpy(), told.code.part.numpy(), rows, parts)
    return support(wire, active, told.support, rows, parts)


def _skeleton(parts: int, width: int, identity: bool, second: int) -> Parts:
    """The bias, then the rows of the parts: shapes and owners, no numbers."""
    tensors = [one_part("bias", torch.zeros(width), parts)]
    if not identity:
        zero, through = torch.zeros(1, 1), None
        if second:
            through = Combination(zero.expand(parts, second), zero.expand(second, width))
        tensors.append(PartTensor("rows", zero.expand(parts, width), torch.arange(parts), through=through))
    return Parts(parts, tuple(tensors))
