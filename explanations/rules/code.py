"""A rule as bits, and back: parents before what is below them, each symbol in five bits.

- there are 32 symbols (`SYMBOLS`), so five bits name one, and its arity says what follows;
- an input is an index below d, the number of inputs, in ceil(log2 d) bits;
- a whole constant c is Elias' gamma code of c + 1, a decimal c = m / 10^p those of m + 1 and of p.

No code word begins another, so the message needs no length: the Kraft sum over all rules is at most 1.
"""

from __future__ import annotations

from fractions import Fraction

from assay.explanations.errors import ExplanationError

from .expressions import ARITY, DECIMAL, INPUT, MOST_NODES, NUMBER, SYMBOLS, Expression

__all__ = ["decode", "encode"]

SYMBOL_BITS = 5


def encode(rule: Expression, inputs: int) -> list[bool]:
    """The code word of a rule about so many inputs."""
    bits: list[bool] = []
    for node in rule.walk():
        bits += _binary(SYMBOLS.index(node.symbol), SYMBOL_BITS)
        number = node.number if node.number is not None else Fraction(0)
        if node.symbol == INPUT:
            bits += _binary(int(number), _index_bits(inputs))
        elif node.symbol == NUMBER:
            bits += _gamma(int(number) + 1)
        elif node.symbol == DECIMAL:
            places = _places(number)
            bits += _gamma(int(number * 10**places) + 1) + _gamma(places)
    return bits


def decode(bits: list[bool], inputs: int) -> Expression:
    """The rule of a code word.

    Raises `ExplanationError` for bits that are no code word, or more than one.
    """
    reader = _Bits(bits)
    rule = reader.expression(inputs)
    if reader.at != len(bits):
        raise ExplanationError(f"rule: {len(bits) - reader.at} bits are left behind the rule {rule}")
    return rule


def _binary(value: int, width: int) -> list[bool]:
    return [bool(value >> i & 1) for i in reversed(range(width))]


def _gamma(value: int) -> list[bool]:
    """Elias' gamma code of value >= 1: as many zeros as there are bits behind the first."""
    length = value.bit_length()
    return [False] * (length - 1) + _binary(value, length)


def _index_bits(inputs: int) -> int:
    return (inputs - 1).bit_length()


def _places(number: Fraction) -> int:
    return next(p for p in range(1, 13) if 10**p % number.denominator == 0)


class _Bits:
    """Reads from the front."""

    def __init__(self, bits: list[bool]) -> None:
        self.bits, self.at, self.nodes = bits, 0, 0

    def take(self, width: int) -> int:
        """The next bits as a number."""
        if self.at + width > len(self.bits):
            raise ExplanationError(f"rule: the code ends after {len(self.bits)} bits, inside the rule")
        value = 0
        for bit in self.bits[self.at : self.at + width]:
            value = 2 * value + bit
        self.at += width
        return value

    def gamma(self) -> int:
        """A number in Elias' gamma code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) + self.take(zeros)

    def expression(self, inputs: int) -> Expression:
        """A symbol and what is below it."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise ExplanationError(f"rule: more than {MOST_NODES} nodes")
        symbol = SYMBOLS[self.take(SYMBOL_BITS)]
        if ARITY[symbol]:
            below = (self.expression(inputs) for _ in range(ARITY[symbol]))
            return Expression(symbol, tuple(below))
        return Expression(symbol, (), self._number(symbol, inputs))

    def _number(self, symbol: str, inputs: int) -> Fraction | None:
        if symbol == NUMBER:
            return Fraction(self.gamma() - 1)
        if symbol == DECIMAL:
            mantissa = self.gamma() - 1
            return Fraction(mantissa, 10 ** self.gamma())
        if symbol != INPUT:
            return None
        index = self.take(_index_bits(inputs))
        if index >= inputs:
            raise ExplanationError(f"rule: input {index} of {inputs}")
        return Fraction(index)
