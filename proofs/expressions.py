"""The closed language of claims: one small tree, and folding it over any algebra.

Nothing here runs text. A claim is parsed to `Expr` by `parser`, and given a meaning by an `Algebra`: linear
forms for the prover, fractions for a replay, batches of tensors for the search of counterexamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Protocol, TypeVar

ARITHMETIC = frozenset({"+", "*", "/", "%", "neg", "**"})
COMPARISONS = frozenset({"<", "<=", "==", "!=", ">", ">="})
CONNECTIVES = frozenset({"and", "or", "not", "=>"})
FUNCTIONS = frozenset({"abs", "min", "max", "second_max", "sum", "argmax"})

MAX_WRITTEN = 200_000
"""Operations that a statement may have when it is written out; see `written_size`."""
_STATEMENTS = COMPARISONS | CONNECTIVES


@dataclass(frozen=True)
class Expr:
    """A node of the language.

    `op` is a member of ARITHMETIC, COMPARISONS, CONNECTIVES or FUNCTIONS, or one of "number" (`value`),
    "name" (`name`), "index" (`args[0]` at the integer `value`), "call" (the network `name` on `args`).
    "+", "*", "and", "or" take two or more arguments; "**" has its exponent in `value`; "%" is gone once the
    ranges are known (`remainders`).
    """

    op: str
    args: tuple[Expr, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)
    at: int = field(default=0, compare=False)  # offset in the text, for messages


class ExpressionError(ValueError):
    """A text outside the language, or a meaning that does not exist; `at` is the offset in the text."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


V = TypeVar("V")


class Algebra(Protocol[V]):
    """What the symbols mean; values are whatever the algebra likes."""

    def number(self, value: Fraction) -> V:
        """Return a constant."""
        ...

    def variable(self, name: str) -> V:
        """Return the value of a variable; LookupError when there is none."""
        ...

    def index(self, base: V, i: int) -> V:
        """Return component `i` of a vector."""
        ...

    def network(self, name: str, args: list[V]) -> V:
        """Return the outputs of a network on the concatenated arguments."""
        ...

    def power(self, base: V, exponent: int) -> V:
        """Return `base` to a small whole exponent."""
        ...

    def apply(self, op: str, args: list[V]) -> V:
        """Return the result of an operator, comparison, connective or function."""
        ...


def fold(expr: Expr, algebra: Algebra[V], seen: dict[int, V] | None = None) -> V:
    """Give `expr` its meaning in `algebra`; an error of the algebra is told with its place in the text.

    With `seen`, what stands in several places (the same object) is read once, and kept there.
    """
    if seen is None:
        return _read(expr, [fold(arg, algebra) for arg in expr.args], algebra)
    if id(expr) not in seen:
        seen[id(expr)] = _read(expr, [fold(arg, algebra, seen) for arg in expr.args], algebra)
    return seen[id(expr)]


def _read(expr: Expr, args: list[V], algebra: Algebra[V]) -> V:
    """The meaning of a node whose arguments mean `args`."""
    try:
        if expr.op == "number":
            return algebra.number(expr.value)
        if expr.op == "name":
            return algebra.variable(expr.name)
        if expr.op == "index":
            return algebra.index(args[0], int(expr.value))
        if expr.op == "call":
            return algebra.network(expr.name, args)
        if expr.op == "**":
            return algebra.power(args[0], int(expr.value))
        return algebra.apply(expr.op, args)
    except ExpressionError:
        raise
    except (ValueError, LookupError) as error:
        raise ExpressionError(str(error.args[0] if error.args else error), expr.at) from error


def nodes(expr: Expr) -> Iterator[Expr]:
    """Every node of the tree, parents first."""
    yield expr
    for arg in expr.args:
        yield from nodes(arg)


def networks_called(expr: Expr) -> set[str]:
    """Names of the networks that `expr` calls."""
    return {node.name for node in nodes(expr) if node.op == "call"}


def conjuncts(expr: Expr | None) -> tuple[Expr, ...]:
    """The parts of a top-level conjunction."""
    if expr is None:
        return ()
    if expr.op == "and":
        return tuple(part for arg in expr.args for part in conjuncts(arg))
    return (expr,)


def tree(expr: Expr) -> Any:
    """A statement or a number in the normal form (see `normal`) as nested lists, as certificates hold it.

    >>> from .parser import parse
    >>> tree(parse("f(x)[0] + 1/2 < y and argmax(x, y) == 1"))
    ['and', ['<', ['+', ['[]', ['f', 'x'], 0], ['/', '1', '2']], 'y'], ['argmax', 1, 'x', 'y']]
    """
    args = [tree(arg) for arg in expr.args]
    if expr.op == "number":
        return str(expr.value)
    if expr.op == "name":
        return expr.name
    if expr.op == "index":
        return ["[]", *args, int(expr.value)]
    if expr.op == "==" and expr.args[0].op == "argmax" and expr.args[1].op == "number":
        return ["argmax", int(expr.args[1].value), *args[0][1:]]
    return [expr.name or expr.op, *args]


def written_size(expr: Expr) -> int:
    """How many operations are left when `abs`, `second_max` and "exactly when" are written out, about.

    Each of them writes its arguments twice, so that nesting doubles.
    """
    total = 1 + sum(map(written_size, expr.args))
    twice = expr.op in ("abs", "second_max") or (expr.op in ("==", "!=") and expr.args[0].op in _STATEMENTS)
    return 2 * total if twice else total


def unfolded(expr: Expr) -> Expr:
    """The same statement with `abs(e) <= c` as `e <= c and -e <= c`, `max(a, b) <= c` as `a <= c and b <= c`.

    Bounds of the parts are tighter than bounds of the whole, and need no ReLU.
    """
    args = tuple(map(unfolded, expr.args))
    if expr.op in ("<", "<=", ">", ">="):
        small, large = args if expr.op in ("<", "<=") else args[::-1]
        sides = _sides(small, large)
        if sides is not None:
            op = expr.op if expr.op in ("<", "<=") else {">": "<", ">=": "<="}[expr.op]
            return Expr("and", tuple(unfolded(Expr(op, side, at=expr.at)) for side in sides), at=expr.at)
    return replace(expr, args=args)


def _sides(small: Expr, large: Expr) -> list[tuple[Expr, Expr]] | None:
    if small.op == "abs":
        inner = small.args[0]
        return [(inner, large), (Expr("neg", (inner,), at=small.at), large)]
    if small.op == "max" and len(small.args) > 1:
        return [(part, large) for part in small.args]
    if large.op == "min" and len(large.args) > 1:
        return [(small, part) for part in large.args]
    return None
