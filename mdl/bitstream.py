"""The real message of the site setting: bytes out of activations, and the activations' integers back.

Layout: eight bytes (``ASSAY``, the version, and two that are zero), a CRC-32 of the rest, then one stream of
ANS words: sizes and steps, support, parts in use, coefficients, residual. The receiver needs nothing else.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import wire as on
from .grid import quantise, restore
from .message import Code
from .parts import Grid, SentParts, known_range
from .residual import cells
from .site import Channel, on_finest_step, predict, usage_of
from .streams import Frozen, shortest
from .support import SupportCost, shortest_support
from .tally import Histogram, Ints
from .transmit import stream, stream_code
from .transmit_keyed import placed, shared
from .transmit_support import support
from .wire import BitstreamError, Receiver, Sender, Wire

MAGIC = b"ASSAY\x01\x00\x00"
MOST_CELLS = 2**31
MOST_OCTAVES = 40


@dataclass(frozen=True, eq=False)
class SiteMessage:
    """All integers of a message about a site: what :func:`encode` writes and :func:`decode` reads.

    ``delta`` and ``step`` are the grids of the target and of the coefficients; ``residual`` [rows, d].
    ``octaves`` [parts]: how often the step of each part is doubled, if any is. ``support`` is the sender's
    code of the active sets; a receiver has no use for it.
    """

    delta: float
    step: float
    precision: int
    identity: bool
    code: Code
    grids: tuple[Grid, ...]
    residual: Ints
    octaves: Ints | None = None
    support: SupportCost | None = None

    def target(self) -> Tensor:
        """The receiver's integers [rows, d] of the target."""
        predicted = _prediction(self.code, self.grids, self.step, self.identity, self.octaves)
        return quantise(predicted, self.delta) + torch.from_numpy(self.residual)

    def values(self) -> Tensor:
        """The receiver's activations [rows, d], on the grid."""
        return restore(self.target(), self.delta)


def message(
    channel: Channel, x: Tensor, chunks: Sequence[slice], support: SupportCost | None = None
) -> SiteMessage:
    """What a channel sends about activations [rows, d], chunk by chunk; ``support`` codes the active sets."""
    codes = [channel.integers(x[rows]) for rows in chunks]
    residual = torch.cat([channel.residual(x[rows], code) for rows, code in zip(chunks, codes, strict=True)])
    joined = Code(
        torch.cat([code.row + rows.start for rows, code in zip(chunks, codes, strict=True)]),
        torch.cat([code.part for code in codes]),
        torch.cat([code.value for code in codes]),
        len(x),
        channel.parts,
    )
    sent: SentParts = channel.sent
    return SiteMessage(
        channel.delta,
        channel.step,
        channel.knobs.precision,
        channel.rows is None,
        joined,
        sent.grids,
        residual.cpu().numpy(),
        None if channel.octaves is None else channel.octaves.cpu().numpy(),
        support,
    )


def encode(told: SiteMessage, sent: SentParts) -> bytes:
    """The bytes of a message; ``sent`` holds the codes of its parts."""
    sender = Sender()
    _protocol(sender, told, sent)
    body = sender.words().astype("<u4").tobytes()
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def decode(data: bytes, most_cells: int = MOST_CELLS) -> SiteMessage:
    """The message in bytes; raises :class:`BitstreamError` for anything that is not one, whole.

    A stream that speaks of more than ``most_cells`` rows × parts, or rows × coordinates, is refused.
    """
    if data[:5] != MAGIC[:5]:
        raise BitstreamError("not an assay stream: it does not begin with ASSAY")
    if data[:8] != MAGIC:
        raise BitstreamError(f"an assay stream of version {data[5] if len(data) > 5 else '?'}; this reads 1")
    if len(data) < 16 or len(data) % 4:
        raise BitstreamError(f"cut short: {len(data)} bytes")
    body = data[12:]
    if struct.unpack("<I", data[8:12])[0] != zlib.crc32(body):
        raise BitstreamError("its checksum does not fit: the stream is damaged or cut short")
    receiver = Receiver(np.frombuffer(body, dtype="<u4").astype(np.uint32))
    try:
        told = _protocol(receiver, None, None, most_cells)
    except (ValueError, OverflowError, MemoryError, IndexError) as error:
        raise BitstreamError(f"a damaged stream: {error}") from error
    receiver.finish()
    return told


def container_bits(rows: int, width: int, parts: int, precision: int) -> float:
    """Bits of the container around the lines of the ledger: magic, checksum, sizes, steps, choices."""
    from .lengths import elias_delta

    sizes = elias_delta(np.array([rows + 1, width + 1, parts + 1])).sum()
    return 8.0 * 12 + 2 * 64 + 1 + float(sizes) + 17.0


def _protocol(
    wire: Wire, told: SiteMessage | None, sent: SentParts | None, most_cells: int = MOST_CELLS
) -> SiteMessage:
    """One message, in the order in which it travels; the same for both ends."""
    rows, width, parts = _sizes(wire, told, most_cells)
    delta = _float(wire, None if told is None else told.delta)
    step = _float(wire, None if told is None else told.step)
    identity = bool(on.bits(wire, None if told is None else np.array([told.identity]), 1)[0])
    precision = int(on.natural(wire, None if told is None else np.array([told.precision]), 1)[0])
    if not 2 <= precision <= 32:
        raise BitstreamError(f"a precision of {precision} bits")
    octaves = _octaves(wire, told, parts)
    active = _support(wire, told, rows, parts)
    row, part = active.nonzero()
    value = shared(wire, part, None if told is None else told.code.value.cpu().numpy(), parts)
    used = np.append(active.any(0), True)
    grids = _parts(wire, sent, used, precision, identity, width)
    code = Code(torch.from_numpy(row), torch.from_numpy(part), torch.from_numpy(value), rows, parts)
    place = cells(_prediction(code, grids, step, identity, octaves), delta).numpy()
    residual = placed(wire, place, None if told is None else told.residual)
    return SiteMessage(delta, step, precision, identity, code, grids, residual, octaves)


def _octaves(wire: Wire, told: SiteMessage | None, parts: int) -> Ints | None:
    """One bit says whether the steps of parts differ; if so, how often each is doubled."""
    given = None if told is None else told.octaves
    if not on.bits(wire, None if told is None else np.array([int(given is not None)]), 1)[0]:
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


def _sizes(wire: Wire, told: SiteMessage | None, most_cells: int) -> tuple[int, int, int]:
    given = None
    if told is not None:
        given = np.array([told.code.rows, told.residual.shape[1], told.code.parts]) + 1
    rows, width, parts = (int(n) - 1 for n in on.natural(wire, given, 3))
    if max(rows, 1) * max(parts, width) > most_cells:
        raise BitstreamError(f"{rows} rows × {parts} parts × {width} coordinates are more than this reads")
    return rows, width, parts


def _float(wire: Wire, number: float | None) -> float:
    """A double, as its 64 bits."""
    given = None if number is None else np.frombuffer(struct.pack("<d", number), dtype="<u2").astype(np.int64)
    told = wire.uniform(given, 2**16, 4).astype("<u2").tobytes()
    value: float = struct.unpack("<d", told)[0]
    if not 0 < value < float("inf"):
        raise BitstreamError(f"a step of {value}")
    return value


def _support(wire: Wire, told: SiteMessage | None, rows: int, parts: int) -> Ints:
    if told is None:
        return support(wire, None, None, rows, parts)
    active = np.zeros((rows, parts), dtype=np.int64)
    active[told.code.row.cpu().numpy(), told.code.part.cpu().numpy()] = 1
    return support(wire, active, told.support or shortest_support(usage_of(told.code)), rows, parts)


def _parts(
    wire: Wire, sent: SentParts | None, used: Ints, precision: int, identity: bool, width: int
) -> tuple[Grid, ...]:
    """The bias, then the rows of the parts in use; rows that are not sent are zero."""
    count = len(used) - 1
    owners = {"bias": np.array([count])} | ({} if identity else {"rows": np.arange(count)})
    grids = []
    for i, (name, owner) in enumerate(owners.items()):
        grid = None if sent is None else sent.grids[i]
        way = None
        if sent is not None:
            way = min(sent.ways[i], key=lambda w: w.total(used.astype(np.float64)))
        sparse = bool(on.bits(wire, None if way is None else np.array([way.sparse]), 1)[0])
        exponent = int(on.integer(wire, None if grid is None else np.array([grid.exponent]), 1)[0])
        code = stream_code(wire, None if way is None else way.code, known_range(precision))
        if not isinstance(code, Frozen) or abs(exponent) > 1100:
            raise BitstreamError(f"{name} under a code that parts do not use")
        integers = np.zeros((len(owner), width), dtype=np.int64)
        sending = np.nonzero(used[owner])[0]
        given = None if grid is None else grid.integers[sending]
        integers[sending] = _slices(wire, given, (sending.size, width), code, sparse)
        grids.append(Grid(name, integers, exponent, owner))
    return tuple(grids)


def _slices(wire: Wire, integers: Ints | None, shape: tuple[int, int], code: Frozen, sparse: bool) -> Ints:
    keep = np.ones(shape, dtype=np.int64)
    if sparse:
        mask = None if integers is None else (integers != 0).astype(np.int64)
        sizes = on.natural(wire, None if mask is None else mask.sum(1) + 1, shape[0]) - 1
        keep = on.subsets(wire, mask, np.minimum(sizes, shape[1]), shape[1])
    where = keep.nonzero()
    received = np.zeros(shape, dtype=np.int64)
    received[where] = stream(wire, None if integers is None else integers[where], len(where[0]), code)
    return received
