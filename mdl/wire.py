"""The wire: entropy coding of integer arrays, the same code for sending and receiving.

Every method takes the symbols (sender) or None (receiver) and returns the symbols, so a protocol is written
once and cannot disagree with itself. Under it lies the ANS coder of the library ``constriction`` (R. Bamler,
arXiv 2201.01741). ANS is a stack: the sender notes what it sends and encodes it backwards at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .lengths import Floats, floor_log2, log2_binomial, unzigzag, zigzag
from .tally import Ints

LEAST = 2.0**-23  # probabilities that a 24-bit coder can tell from 0 and 1
DIGITS, WIDE = 2**16, 2**24  # a uniform symbol of more than 24 bits travels in digits of 16


class BitstreamError(ValueError):
    """A stream that is cut short, damaged, of another version, or not ours."""


class Wire(Protocol):
    """One end of the wire."""

    def bernoulli(self, symbols: Ints | None, p: Floats) -> Ints:
        """Bits, each 1 with its own probability."""

    def categorical(self, symbols: Ints | None, probabilities: Floats, count: int) -> Ints:
        """Symbols 0..K−1, all with the same probabilities."""

    def uniform(self, symbols: Ints | None, size: int, count: int) -> Ints:
        """Symbols 0..size−1, all alike."""


class Sender:
    """Notes symbols; :meth:`words` encodes them, ``bits`` is the ideal length of what was noted."""

    def __init__(self) -> None:
        self._notes: list[Callable[[Any], None]] = []
        self.bits = 0.0

    def bernoulli(self, symbols: Ints | None, p: Floats) -> Ints:
        """Note bits."""
        given = _given(symbols, len(p))
        bits, odds = _narrow(given), np.clip(p, LEAST, 1 - LEAST)
        self._notes.append(lambda coder: coder.encode_reverse(bits.astype(np.int32), _bernoulli(), odds))
        self.bits -= float(np.log2(np.where(given == 1, odds, 1 - odds)).sum())
        return given

    def categorical(self, symbols: Ints | None, probabilities: Floats, count: int) -> Ints:
        """Note symbols."""
        given = _given(symbols, count)
        if len(probabilities) > 1:
            short = _narrow(given)
            self._notes.append(
                lambda coder: coder.encode_reverse(short.astype(np.int32), _categorical(probabilities))
            )
            told = probabilities[given] / probabilities.sum()
            self.bits -= float(np.log2(told).sum())
        return given

    def uniform(self, symbols: Ints | None, size: int, count: int) -> Ints:
        """Note symbols."""
        given = _given(symbols, count)
        if size > WIDE:
            self.uniform(given // DIGITS, -(-size // DIGITS), count)
            self.uniform(given % DIGITS, DIGITS, count)
        elif size > 1:
            short = _narrow(given)
            self._notes.append(lambda coder: coder.encode_reverse(short.astype(np.int32), _uniform(size)))
            self.bits += count * float(np.log2(size))
        return given

    def words(self) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """Everything that was noted, compressed."""
        import constriction

        coder = constriction.stream.stack.AnsCoder()
        for note in reversed(self._notes):
            note(coder)
        return np.asarray(coder.get_compressed(), dtype=np.uint32)


class Receiver:
    """Decodes what a :class:`Sender` sent, in the same order."""

    def __init__(self, words: np.ndarray[Any, np.dtype[np.uint32]]) -> None:
        import constriction

        try:
            self._coder = constriction.stream.stack.AnsCoder(words)
        except ValueError as error:
            raise BitstreamError(f"not a stream of ours: {error}") from error

    def bernoulli(self, symbols: Ints | None, p: Floats) -> Ints:
        """The next bits."""
        return _long(self._coder.decode(_bernoulli(), np.clip(p, LEAST, 1 - LEAST))) if len(p) else _empty()

    def categorical(self, symbols: Ints | None, probabilities: Floats, count: int) -> Ints:
        """The next symbols."""
        if len(probabilities) <= 1 or not count:
            return np.zeros(count, dtype=np.int64)
        return _long(self._coder.decode(_categorical(probabilities), count))

    def uniform(self, symbols: Ints | None, size: int, count: int) -> Ints:
        """The next symbols."""
        if size <= 1 or not count:
            return np.zeros(count, dtype=np.int64)
        if size > WIDE:
            high = self.uniform(None, -(-size // DIGITS), count)
            return high * DIGITS + self.uniform(None, DIGITS, count)
        return _long(self._coder.decode(_uniform(size), count))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn whatever a damaged stream makes of the protocol into one :class:`BitstreamError`."""
        try:
            yield
        except BitstreamError:
            raise
        except (ValueError, ArithmeticError, MemoryError, LookupError, TypeError, RuntimeError) as error:
            raise BitstreamError(f"a damaged stream: {error}") from error

    def finish(self) -> None:
        """Raise unless the stream is used up to the last bit."""
        if not self._coder.is_empty():
            raise BitstreamError("the stream goes on after the message: it is damaged or not ours")


def _given(symbols: Ints | None, count: int) -> Ints:
    if symbols is None or len(symbols) != count:
        raise ValueError(f"a sender needs {count} symbols, got {None if symbols is None else len(symbols)}")
    return np.asarray(symbols, dtype=np.int64)


def _narrow(symbols: Ints) -> NDArray[Any]:
    """The same symbols, none of which is negative, in as few bytes as they need until they are encoded."""
    return symbols.astype(np.min_scalar_type(int(symbols.max(initial=0))))


def _long(symbols: Any) -> Ints:
    return np.asarray(symbols, dtype=np.int64)


def _empty() -> Ints:
    return np.zeros(0, dtype=np.int64)


def _bernoulli() -> Any:
    import constriction

    return constriction.stream.model.Bernoulli(perfect=False)


def _categorical(probabilities: Floats) -> Any:
    import constriction

    return constriction.stream.model.Categorical(np.asarray(probabilities, dtype=np.float64), perfect=False)


def _uniform(size: int) -> Any:
    import constriction

    return constriction.stream.model.Uniform(size)


HALF = 0.5


def bits(wire: Wire, symbols: Ints | None, count: int) -> Ints:
    """Bits at one bit each."""
    return wire.bernoulli(symbols, np.full(count, HALF))


def double(wire: Wire, number: float | None) -> float:
    """A positive double, as its 64 bits."""
    given = None if number is None else np.frombuffer(struct.pack("<d", number), dtype="<u2").astype(np.int64)
    told = wire.uniform(given, 2**16, 4).astype("<u2").tobytes()
    value: float = struct.unpack("<d", told)[0]
    if not 0 < value < float("inf"):
        raise BitstreamError(f"a step of {value}")
    return value


def natural(wire: Wire, values: Ints | None, count: int, gamma: bool = False) -> Ints:
    """Integers >= 1 under Elias' delta (or gamma) code, bit planes of all of them together."""
    if gamma:
        return _binary(wire, values, _unary(wire, None if values is None else floor_log2(values), count))
    logs = None if values is None else floor_log2(values)
    told = natural(wire, None if logs is None else logs + 1, count, gamma=True) - 1
    return _binary(wire, values, told)


def integer(wire: Wire, values: Ints | None, count: int, gamma: bool = False) -> Ints:
    """Signed integers under Elias' code of zigzag + 1."""
    raised = None if values is None else zigzag(values) + 1
    return unzigzag(natural(wire, raised, count, gamma) - 1)


def _unary(wire: Wire, values: Ints | None, count: int) -> Ints:
    """Each v as v ones and a zero."""
    lengths, going = np.zeros(count, dtype=np.int64), np.arange(count)
    while going.size:
        more = bits(
            wire, None if values is None else (values[going] > lengths[going]).astype(np.int64), going.size
        )
        going = going[more == 1]
        lengths[going] += 1
        if lengths.max(initial=0) > 62:
            raise BitstreamError("an integer of more than 62 bits: the stream is damaged")
    return lengths


def _binary(wire: Wire, values: Ints | None, lengths: Ints) -> Ints:
    """Each v as its ``lengths`` bits below the leading one."""
    result = np.ones(len(lengths), dtype=np.int64)
    for plane in range(int(lengths.max(initial=0))):
        here = np.nonzero(lengths > plane)[0]
        plain = None if values is None else (values[here] >> (lengths[here] - plane - 1)) & 1
        result[here] = 2 * result[here] + bits(wire, plain, here.size)
    return result


LONG, FEW = 1024, 64  # a few longer rows are cut into segments, a symbol for each entry would take too long


def subsets(wire: Wire, members: Ints | None, sizes: Ints, widths: Ints | int) -> Ints:
    """Boolean rows [n, widest] with known row sums and ``widths``, at log2 C(width, size) bits each.

    Column by column: an element is in with probability (members left) / (columns left).
    """
    ends = np.broadcast_to(np.asarray(widths, dtype=np.int64), sizes.shape)
    width = int(ends.max(initial=0))
    members = None if members is None else members[:, :width]
    if width > LONG and len(sizes) <= FEW:
        return _in_segments(wire, members, np.asarray(sizes), ends)
    rows = np.zeros((len(sizes), width), dtype=np.int64)
    left = np.array(sizes, dtype=np.int64)
    for column in range(width):
        sure = left == ends - column
        open_rows = np.nonzero((left > 0) & ~sure & (column < ends))[0]
        rows[sure & (left > 0), column] = 1
        given = None if members is None else members[open_rows, column]
        rows[open_rows, column] = wire.bernoulli(given, left[open_rows] / (ends[open_rows] - column))
        left -= rows[:, column]
    return rows


def _in_segments(wire: Wire, members: Ints | None, sizes: Ints, ends: Ints) -> Ints:
    """Long rows: how many members each segment has, given the segments before, then the segments as rows."""
    length = int(np.sqrt(ends.max()))
    count = -(-int(ends.max()) // length)
    widths = np.clip(ends[:, None] - length * np.arange(count), 0, length)
    inside = None
    if members is not None:
        padded = np.pad(members, ((0, 0), (0, count * length - members.shape[1])))
        inside = padded.reshape(len(sizes), count, length)
    held = np.zeros((len(sizes), count), dtype=np.int64)
    for row, (left, columns) in enumerate(zip(sizes.tolist(), ends.tolist(), strict=True)):
        for segment, width in enumerate(widths[row].tolist()):
            given = None if inside is None else inside[row, segment].sum()
            held[row, segment] = _hypergeometric(wire, given, width, columns, left)
            left, columns = left - held[row, segment], columns - width
    flat = None if inside is None else inside.reshape(-1, length)
    told = subsets(wire, flat, held.ravel(), widths.ravel())
    return told.reshape(len(sizes), -1)[:, : int(ends.max())]


def _hypergeometric(wire: Wire, given: int | None, width: int, columns: int, left: int) -> int:
    """How many of ``left`` members lie in the first ``width`` of ``columns`` columns."""
    least, most = max(0, left - (columns - width)), min(width, left)
    choices = np.arange(least, most + 1)
    bits = log2_binomial(width, choices) + log2_binomial(columns - width, left - choices)
    probabilities = np.exp2(bits - bits.max(initial=0.0))
    symbol = None if given is None else np.array([given - least])
    return int(wire.categorical(symbol, probabilities / probabilities.sum(), 1)[0]) + least
