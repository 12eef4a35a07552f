"""The closed tree that every rule becomes: a symbol, what is below it, and a number where it needs one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["ARITY", "INPUT", "LEAVES", "MOST_NODES", "NUMBER", "SYMBOLS", "WHOLE", "Expression"]

MOST_NODES, DEEPEST = 200, 40
LARGEST = 10**12
HIGHEST_POWER = 8

BINARY = ("+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or", "min", "max")
UNARY = ("neg", "not", "abs", "relu", "largest", "smallest", "sum", "argmax", "argmin", "second_max")
INPUT, WHOLE, NUMBER, DECIMAL = "input", "x", "number", "decimal"
LEAVES = (INPUT, WHOLE, NUMBER, DECIMAL)
SYMBOLS = (*BINARY, *UNARY, "if", *LEAVES)
ARITY = dict.fromkeys(BINARY, 2) | dict.fromkeys(UNARY, 1) | {"if": 3} | dict.fromkeys(LEAVES, 0)
"""How many expressions stand below each of the 32 symbols."""


@dataclass(frozen=True)
class Expression:
    """A node: ``number`` is the index of an input (from 0), or an exact constant that is not negative."""

    symbol: str
    below: tuple[Expression, ...] = ()
    number: Fraction | None = None

    def walk(self) -> Iterator[Expression]:
        """Every node, parents before what is below them."""
        yield self
        for child in self.below:
            yield from child.walk()

    def __str__(self) -> str:
        if self.symbol == INPUT:
            return f"x[{self.number}]"
        if self.symbol == WHOLE:
            return "x"
        if self.symbol in LEAVES:
            return str(self.number if self.number is None or self.symbol == NUMBER else float(self.number))
        below = [str(child) for child in self.below]
        if self.symbol == "if":
            return f"({below[0]} if {below[1]} else {below[2]})"
        if self.symbol in BINARY and self.symbol not in ("min", "max"):
            return f"({below[0]} {self.symbol} {below[1]})"
        name = {"neg": "-", "not": "not ", "largest": "max", "smallest": "min"}.get(self.symbol, self.symbol)
        return f"{name}({', '.join(below)})"
