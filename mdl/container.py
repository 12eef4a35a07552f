"""The container of a bitstream: what stands around the words of the coder.

Layout: ``ASSAY``, the version, the setting, a zero; CRC-32 of all that follows; CRC-32 of the target, which
a receiver whose arithmetic differs from the sender's cannot meet; the length of a note, and the note (JSON,
what the stream is about); the words of the coder, little-endian, without their last zero bytes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from torch import Tensor

from .wire import BitstreamError, Receiver, Sender

NAME, VERSION = b"ASSAY", 3
SITE, MECHANISM = 0, 1
ABOUT = "activations at a site", "a mechanism"
HEADER = struct.Struct("<5sBBBIII")
LONGEST_NOTE = 2**16

Note = Mapping[str, str | float | int | None]


class Message(Protocol):
    """What a protocol tells, the target among it."""

    @property
    def restored(self) -> Tensor:
        """The target's integers, outcomes or answers."""


Told = TypeVar("Told", bound=Message)


@dataclass(frozen=True, eq=False)
class Container:
    """A stream as it lies in a file: the setting, the seal of its target, a note, and the coder's bytes."""

    setting: int
    seal: int
    body: bytes
    note: Note = field(default_factory=dict)

    def receiver(self) -> Receiver:
        """The receiving end of the wire."""
        padded = self.body + bytes(-len(self.body) % 4)
        return Receiver(np.frombuffer(padded, dtype="<u4").astype(np.uint32))

    def check(self, target: Tensor) -> None:
        """Raise :class:`BitstreamError` unless this is what was sent."""
        if seal(target) != self.seal:
            raise BitstreamError(
                "what was restored is not what was sent: the message was read with other inputs or another "
                "kind of explanation, or this machine computes other predictions than the sender's"
            )


def seal(target: Tensor) -> int:
    """CRC-32 of integers, as 64-bit little-endian numbers in row order."""
    return zlib.crc32(np.ascontiguousarray(target.cpu().numpy(), dtype="<i8").tobytes())


def packed(setting: int, sender: Sender, target: Tensor, note: Note | None = None) -> bytes:
    """The bytes of a stream."""
    body = sender.words().astype("<u4").tobytes().rstrip(b"\0")
    about = json.dumps(dict(note), sort_keys=True).encode() if note else b""
    if len(about) > LONGEST_NOTE:
        raise BitstreamError(f"a note of {len(about)} bytes; at most {LONGEST_NOTE} fit")
    rest = struct.pack("<II", seal(target), len(about)) + about + body
    return (
        HEADER.pack(NAME, VERSION, setting, 0, zlib.crc32(rest), *struct.unpack_from("<II", rest)) + rest[8:]
    )


def unpacked(data: bytes) -> Container:
    """The container in bytes; raises :class:`BitstreamError` for anything that is not one, whole."""
    if data[:5] != NAME:
        raise BitstreamError("not an assay stream: it does not begin with ASSAY")
    if len(data) < HEADER.size:
        raise BitstreamError(f"cut short: {len(data)} bytes, a header alone has {HEADER.size}")
    _, version, setting, zero, checksum, sealed, length = HEADER.unpack_from(data)
    if version != VERSION:
        raise BitstreamError(f"an assay stream of version {version}; this reads {VERSION}")
    if setting not in (SITE, MECHANISM) or zero:
        raise BitstreamError(f"an assay stream of an unknown setting ({setting}, {zero})")
    if checksum != zlib.crc32(data[HEADER.size - 8 :]):
        raise BitstreamError("its checksum does not fit: the stream is damaged or cut short")
    start = HEADER.size + length
    if length > LONGEST_NOTE or start > len(data):
        raise BitstreamError(f"a note of {length} bytes in a stream of {len(data)}")
    return Container(setting, sealed, data[start:], _note(data[HEADER.size : start]))


def received(data: bytes, setting: int, protocol: Callable[[Receiver], Told]) -> Told:
    """What the receiving end of a protocol makes of a stream about this setting, if it is what was sent.

    Raises :class:`BitstreamError` for anything else.
    """
    container = unpacked(data)
    if container.setting != setting:
        raise BitstreamError(f"this stream is about {ABOUT[container.setting]}, not about {ABOUT[setting]}")
    receiver = container.receiver()
    with receiver.refusing():
        told = protocol(receiver)
    receiver.finish()
    container.check(told.restored)
    return told


def _note(about: bytes) -> Note:
    """The note, a flat table of words and numbers."""
    try:
        note = json.loads(about) if about else {}
    except (ValueError, RecursionError) as error:
        raise BitstreamError(f"a note that is no JSON: {error}") from error
    plain = (str, int, float, type(None))
    if not isinstance(note, dict) or not all(isinstance(value, plain) for value in note.values()):
        raise BitstreamError("a note that is no flat table of words and numbers")
    return note


def note_bits(data: bytes) -> int:
    """Bits of the header and the note of a stream."""
    return 8 * (HEADER.size + int(HEADER.unpack_from(data)[-1]))
