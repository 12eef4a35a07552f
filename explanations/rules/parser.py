"""Text to a rule: Python's grammar, of which a whitelist is kept; nothing is ever evaluated."""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from fractions import Fraction

from assay.explanations.errors import ExplanationError

from .expressions import (
    DECIMAL,
    DEEPEST,
    HIGHEST_POWER,
    INPUT,
    LARGEST,
    MOST_NODES,
    NUMBER,
    WHOLE,
    Expression,
)

__all__ = ["parse"]

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.And: "and",
    ast.Or: "or",
    ast.Not: "not",
    ast.USub: "neg",
}
FUNCTIONS = {
    ("abs", 1): "abs",
    ("relu", 1): "relu",
    ("max", 1): "largest",
    ("min", 1): "smallest",
    ("sum", 1): "sum",
    ("argmax", 1): "argmax",
    ("argmin", 1): "argmin",
    ("second_max", 1): "second_max",
    ("max", 2): "max",
    ("min", 2): "min",
}
LETTERS = "abcdefgh"
LONGEST = 2000


def parse(text: str, inputs: int) -> Expression:
    """A rule about ``inputs`` numbers: ``x`` is all of them, ``x[0]``, ``x1`` or ``a`` the first.

    Knows + - * / // % **, comparisons, and, or, not, ``a if c else b``, abs, relu, min, max, sum, argmax,
    argmin, second_max.  Raises `ExplanationError` for anything else, and for rules that are too large.
    """
    if len(text) > LONGEST:
        raise ExplanationError(f"rule: {len(text)} characters, at most {LONGEST} are read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExplanationError(f"rule {text!r} is not an expression: {error}") from error
    expression = _Reader(text, inputs).read(tree, 1)
    if (nodes := sum(1 for _ in expression.walk())) > MOST_NODES:
        raise ExplanationError(f"rule {text!r} has {nodes} nodes, at most {MOST_NODES} are allowed")
    return expression


class _Reader:
    """Turns a Python tree into ours, or says where it cannot."""

    def __init__(self, text: str, inputs: int) -> None:
        self.text, self.inputs = text, inputs

    def read(self, node: ast.AST, depth: int) -> Expression:
        """One node, and what is below it."""
        if depth > DEEPEST:
            raise ExplanationError(f"rule {self.text!r} is nested deeper than {DEEPEST}")
        match node:
            case ast.Constant(value=int() | float() as value):
                return self._number(value, node)
            case ast.Name(id=name):
                return self._named(name, node)
            case ast.Subscript(value=ast.Name(id="x"), slice=ast.Constant(value=int(i))):
                return self._input(i, node)
            case ast.UnaryOp(op=op, operand=a) if type(op) in OPERATORS:
                return Expression(OPERATORS[type(op)], (self.read(a, depth + 1),))
            case ast.BinOp(left=a, op=op, right=b) if type(op) in OPERATORS:
                return self._binary(OPERATORS[type(op)], a, b, depth)
            case ast.Compare(left=a, ops=ops, comparators=others) if all(type(o) in OPERATORS for o in ops):
                return self._comparison([a, *others], [OPERATORS[type(o)] for o in ops], depth)
            case ast.BoolOp(op=op, values=values):
                return self._joined(OPERATORS[type(op)], [self.read(v, depth + 1) for v in values])
            case ast.IfExp(test=test, body=a, orelse=b):
                return Expression("if", tuple(self.read(part, depth + 1) for part in (a, test, b)))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if (name, len(args)) in FUNCTIONS:
                return Expression(
                    FUNCTIONS[name, len(args)], tuple(self.read(arg, depth + 1) for arg in args)
                )
        raise self._refused(node)

    def _binary(self, symbol: str, a: ast.AST, b: ast.AST, depth: int) -> Expression:
        made = Expression(symbol, (self.read(a, depth + 1), self.read(b, depth + 1)))
        power = made.below[1]
        if symbol == "**" and (
            power.symbol != NUMBER or power.number is None or power.number > HIGHEST_POWER
        ):
            raise self._refused(b, f"a power must be a whole number from 0 to {HIGHEST_POWER}")
        return made

    def _comparison(self, sides: list[ast.expr], symbols: list[str], depth: int) -> Expression:
        """a < b < c means a < b and b < c."""
        read = [self.read(side, depth + 1) for side in sides]
        pairs = zip(symbols, read, read[1:], strict=False)
        return self._joined("and", [Expression(symbol, (a, b)) for symbol, a, b in pairs])

    @staticmethod
    def _joined(symbol: str, parts: list[Expression]) -> Expression:
        """From the right: a and (b and c)."""
        *rest, joined = parts
        for part in reversed(rest):
            joined = Expression(symbol, (part, joined))
        return joined

    def _number(self, value: float, node: ast.Constant) -> Expression:
        exact = Fraction(Decimal(str(value + 0))) if value <= LARGEST else None  # True + 0 is 1
        if exact is None or LARGEST % exact.denominator:
            raise self._refused(node, f"constants go up to {LARGEST:g}, with at most 12 decimals")
        return Expression(NUMBER if exact.denominator == 1 else DECIMAL, (), exact)

    def _named(self, name: str, node: ast.AST) -> Expression:
        if name == "x":
            return Expression(WHOLE)
        if found := re.fullmatch(r"x(\d{1,6})", name):
            return self._input(int(found[1]) - 1, node)
        if name in LETTERS:
            return self._input(LETTERS.index(name), node)
        raise self._refused(node)

    def _input(self, index: int, node: ast.AST) -> Expression:
        if not 0 <= index < self.inputs:
            raise self._refused(node, f"there are inputs x[0] to x[{self.inputs - 1}] (x1 to x{self.inputs})")
        return Expression(INPUT, (), Fraction(index))

    def _refused(self, node: ast.AST, why: str = "") -> ExplanationError:
        shown = ast.unparse(node)
        known = "x, x[0], x1, a, numbers, + - * / // % **, comparisons, and, or, not, if, " + ", ".join(
            sorted({name for name, _ in FUNCTIONS})
        )
        return ExplanationError(
            f"rule {self.text!r}: cannot read {shown!r}: {why or f'a rule knows {known}'}"
        )
