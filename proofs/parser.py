"""Text of a claim to `Expr`, by precedence climbing over a whitelist; nothing is ever evaluated as Python.

Grammar, loosest first: `=>` (to the right), `or`, `and`, `not`, comparisons (chains allowed), `+ -`, `* / %`,
unary `-`, `**` with a small literal exponent, then `name`, `name[i]`, `name(args)`, `name(args)[i]`,
numbers, parentheses. Numbers are exact: 0.1 is 1/10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from .expressions import COMPARISONS, FUNCTIONS, Expr, ExpressionError

MAX_TEXT = 20_000
MAX_DEPTH = 60
MAX_TREE = 150
MAX_DIGITS = 400
MAX_EXPONENT = 400
MAX_POWER = 32

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<mark>\*\*|<=|>=|==|!=|=>|[-+*/%<>()\[\],]))",
    re.ASCII,
)
_DECIMAL = re.compile(r"(\d[\d_]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = frozenset({"and", "or", "not"})
_BINARY = {
    "=>": 1,
    "or": 2,
    "and": 3,
    **dict.fromkeys(COMPARISONS, 5),
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
    "%": 7,
    "**": 9,
}
_ASSOCIATIVE = frozenset({"+", "*", "and", "or"})
_NOT, _COMPARE, _MINUS = 4, 5, 8


@dataclass(frozen=True)
class _Token:
    kind: str  # number, name, mark, end
    text: str
    at: int

    @property
    def short(self) -> str:
        """For messages."""
        return self.text if self.kind == "end" else repr(self.text[:40])


def parse(text: str) -> Expr:
    """Parse a claim expression.

    Raises:
        ExpressionError: with the offset of the fault.

    >>> parse("abs(f(x)[0]) <= 1e-6").op
    '<='
    """
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"text of {len(text)} characters, at most {MAX_TEXT} are read", MAX_TEXT)
    return _Parser(_tokens(text)).whole()


def exact_number(text: str, at: int = 0) -> Fraction:
    """The exact value of a decimal numeral with optional exponent, within limits on its size."""
    mantissa, _, exponent = text.replace("_", "").lower().partition("e")
    if len(mantissa) > MAX_DIGITS or (exponent and (len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT)):
        raise ExpressionError(
            f"number {text[:20]}… is too large: at most {MAX_DIGITS} digits, exponents up to {MAX_EXPONENT}",
            at,
        )
    return Fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def exact_value(text: str) -> Fraction:
    """The exact value of a signed decimal number or fraction, such as -1e-3 or 1/3.

    Raises:
        ExpressionError: any other text, and numbers beyond the limits.
    """
    body = text.strip()
    numerator, slash, denominator = body.lstrip("+-").strip().partition("/")
    parts = [numerator.strip(), denominator.strip() if slash else "1"]
    if len(body) - len(body.lstrip("+-")) > 1 or not all(map(_DECIMAL.fullmatch, parts)):
        raise ExpressionError(f"{body[:40]!r}: expected a decimal number or a fraction", 0)
    above, below = map(exact_number, parts)
    if not below:
        raise ExpressionError(f"{body[:40]!r} divides by zero", 0)
    return -above / below if body.startswith("-") else above / below


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The same text about other variables; as it is where it does not consist of tokens.

    >>> renamed("f(x)[0] <= max(x, 1)", {"x": "y", "f": "g"})
    'f(y)[0] <= max(y, 1)'
    """
    try:
        tokens = _tokens(text[: MAX_TEXT + 1])
    except ExpressionError:
        return text
    words, position = [], 0
    for token, following in pairwise(tokens):
        if token.kind == "name" and token.text in names and following.text != "(":
            words += [text[position : token.at], names[token.text]]
            position = token.at + len(token.text)
    return "".join([*words, text[position:]])


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            at = position + len(text[position:]) - len(text[position:].lstrip())
            raise ExpressionError(f"unexpected character {text[at]!r}", at)
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match.group(kind), match.start(kind)))
        position = match.end()
    return [*tokens, _Token("end", "the end", end)]


def _chain(op: str, left: Expr, right: Expr, at: int) -> Expr:
    """`left op right`, where long chains of an associative operator stay one flat node."""
    if op in _ASSOCIATIVE and left.op == op:
        return Expr(op, (*left.args, right), at=at)
    return Expr(op, (left, right), at=at)


def _check_depth(expr: Expr) -> None:
    level, depth = [expr], 0
    while level:
        depth += 1
        if depth > MAX_TREE:
            raise ExpressionError(f"an expression more than {MAX_TREE} levels deep", level[0].at)
        level = [arg for node in level for arg in node.args]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        token = self.token
        self.position += token.kind != "end"
        return token

    def expect(self, text: str) -> None:
        if self.token.text != text or self.token.kind == "end":
            raise ExpressionError(f"expected {text!r}, got {self.token.short}", self.token.at)
        self.take()

    def whole(self) -> Expr:
        expr = self.expression(0)
        if self.token.kind != "end":
            raise ExpressionError(f"expected an operator or the end, got {self.token.short}", self.token.at)
        _check_depth(expr)
        return expr

    def expression(self, tightness: int) -> Expr:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError(f"nested more than {MAX_DEPTH} deep", self.token.at)
        left = self.prefix()
        while (level := _BINARY.get(self.token.text, -1)) > tightness or (level == tightness == 1):
            left = self.infix(left, level)
        self.depth -= 1
        return left

    def infix(self, left: Expr, level: int) -> Expr:
        operator = self.take()
        if level == _COMPARE:
            return self.comparison(left, operator)
        if operator.text == "**":
            return self.power(left, operator)
        right = self.expression(level - (operator.text == "=>"))
        if operator.text == "-":
            return _chain("+", left, Expr("neg", (right,), at=operator.at), operator.at)
        return _chain(operator.text, left, right, operator.at)

    def comparison(self, left: Expr, operator: _Token) -> Expr:
        links = []
        while True:
            right = self.expression(_COMPARE)
            links.append(Expr(operator.text, (left, right), at=operator.at))
            if self.token.text not in COMPARISONS:
                return links[0] if len(links) == 1 else Expr("and", tuple(links), at=links[0].at)
            left, operator = right, self.take()

    def power(self, base: Expr, operator: _Token) -> Expr:
        token = self.take()
        if (
            token.kind != "number"
            or not token.text.isdigit()
            or len(token.text) > 3
            or int(token.text) > MAX_POWER
        ):
            raise ExpressionError(f"an exponent must be a whole literal from 0 to {MAX_POWER}", operator.at)
        if self.token.text == "**":
            raise ExpressionError("towers of powers are not part of the language", self.token.at)
        return Expr("**", (base,), value=Fraction(int(token.text)), at=operator.at)

    def prefix(self) -> Expr:
        token = self.take()
        if token.text == "not":
            return Expr("not", (self.expression(_NOT),), at=token.at)
        if token.text == "-":
            return Expr("neg", (self.expression(_MINUS),), at=token.at)
        if token.text == "+":
            return self.expression(_MINUS)
        return self.postfix(self.atom(token))

    def atom(self, token: _Token) -> Expr:
        if token.kind == "number":
            return Expr("number", value=exact_number(token.text, token.at), at=token.at)
        if token.text == "(" and token.kind == "mark":
            inner = self.expression(0)
            self.expect(")")
            return inner
        if token.kind != "name" or token.text in _WORDS:
            raise ExpressionError(f"expected a value, got {token.short}", token.at)
        if self.token.text == "(":
            return self.call(token)
        return Expr("name", name=token.text, at=token.at)

    def call(self, name: _Token) -> Expr:
        self.expect("(")
        args = []
        while self.token.text != ")":
            args.append(self.expression(0))
            if self.token.text != ")":
                self.expect(",")
        self.expect(")")
        if not args:
            raise ExpressionError(f"{name.text[:40]}() needs at least one argument", name.at)
        if name.text == "abs" and len(args) > 1:
            raise ExpressionError(f"abs() of {len(args)} arguments, expected one", name.at)
        if name.text in FUNCTIONS:
            return Expr(name.text, tuple(args), at=name.at)
        return Expr("call", tuple(args), name=name.text, at=name.at)

    def postfix(self, base: Expr) -> Expr:
        while self.token.text == "[":
            bracket = self.take()
            token = self.take()
            if token.kind != "number" or not token.text.isdigit() or len(token.text) > 9:
                raise ExpressionError(f"an index must be a whole literal from 0, got {token.short}", token.at)
            self.expect("]")
            base = Expr("index", (base,), value=Fraction(int(token.text)), at=bracket.at)
        return base
