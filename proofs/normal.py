"""Claims in few words: what the rest of the proof, and the checker, need to know of the language.

The normal form has numbers, components of vectors, calls, sums, differences, multiples `c * e` by a number,
`abs`, `max` of two numbers, `argmax(…) == k`, `<=`, `<` and `==` of two numbers, and `and`, `or`, `not`.
Everything else is written out in these words: `min` by `max`, vectors component by component, `a => b` as
`not a or b`; what is computed from numbers alone is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import TypeGuard

from .expressions import COMPARISONS, CONNECTIVES, Expr, ExpressionError, fold
from .formulas import MAX_ATOMS

Vector = tuple[Expr, ...]


@dataclass(frozen=True)
class ArgMax:
    """The index of the largest component, the first one among equals."""

    parts: Vector


Value = Expr | Vector | ArgMax
MAX_BITS = 4096
MAX_OUTPUTS = 1 << 18
"""So many numbers may a network give that a claim calls: each of them is an expression."""
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_HOLDS = {
    "<": Fraction.__lt__,
    "<=": Fraction.__le__,
    ">": Fraction.__gt__,
    ">=": Fraction.__ge__,
    "==": Fraction.__eq__,
}


def normal(
    expr: Expr,
    sizes: Mapping[str, int | None],
    networks: Mapping[str, tuple[int, int]],
    *,
    shown: bool = True,
) -> Expr:
    """A statement in the normal form.

    Args:
        expr: as it was parsed.
        sizes: length of each variable that is a vector; None for a scalar.
        networks: how many numbers each network reads, and gives.
        shown: whether it is shown, so that a counterexample is one to it; else a counterexample meets it.

    Raises:
        ExpressionError: what does not fit together, with its place in the text.
    """
    words = _Words(sizes, networks)
    found = fold(expr, words, {})
    if not _is_statement(found):
        raise ExpressionError(f"expected a statement that is true or false, got {_noun(found)}", expr.at)
    return words.turned(found, shown)


@dataclass
class _Words:
    """The algebra that writes out."""

    sizes: Mapping[str, int | None]
    networks: Mapping[str, tuple[int, int]]
    comparisons: int = 0

    def number(self, value: Fraction) -> Value:
        return _number(value)

    def variable(self, name: str) -> Value:
        size = self.sizes[name]
        return Expr("name", name=name) if size is None else _components(Expr("name", name=name), size)

    def index(self, base: Value, i: int) -> Value:
        if not isinstance(base, tuple):
            raise ValueError("only vectors can be indexed")
        if i >= len(base):
            raise ValueError(f"index {i} of a vector of {len(base)}")
        return base[i]

    def power(self, base: Value, exponent: int) -> Value:
        form = _scalar(base)
        if form.op != "number" and exponent != 1:
            raise ValueError("powers of what depends on the inputs are not linear")
        return _number(form.value**exponent) if form.op == "number" else form

    def network(self, name: str, args: list[Value]) -> Value:
        if name not in self.networks:
            raise ValueError(f"{name} is no function of the language, and no network is called so")
        inputs = tuple(part for arg in args for part in _vector(arg))
        size, outputs = self.networks[name]
        if len(inputs) != size:
            raise ValueError(f"{name} reads {size} numbers, got {len(inputs)}")
        if outputs > MAX_OUTPUTS:
            raise ValueError(f"{name} gives {outputs} numbers, at most {MAX_OUTPUTS} can be spoken of")
        return _components(Expr("call", self.folded(inputs), name=name), outputs)

    def folded(self, parts: Vector) -> Vector:
        """The same numbers with whole vectors by their names."""
        words: list[Expr] = []
        k = 0
        while k < len(parts):
            base = parts[k].args[0] if parts[k].op == "index" else None
            size = None if base is None else self.length(base)
            whole = base is not None and parts[k : k + (size or 0)] == _components(base, size or 0)
            words.append(base if whole and base is not None else parts[k])
            k += size or 1 if whole else 1
        return tuple(words)

    def length(self, vector: Expr) -> int:
        """Number of components of a variable or a call."""
        size = self.sizes[vector.name] if vector.op == "name" else self.networks[vector.name][1]
        return size or 1

    def apply(self, op: str, args: list[Value]) -> Value:
        if op in CONNECTIVES:
            return _connective(op, [_statement(arg) for arg in args])
        if op in COMPARISONS:
            return self.comparison(op, args[0], args[1])
        if op in ("argmax", "max", "second_max", "min", "sum"):
            parts = tuple(part for arg in args for part in _vector(arg))
            return ArgMax(parts) if op == "argmax" else _reduced(op, parts)
        if op in ("abs", "neg"):
            less = _number(Fraction(-1))
            each = tuple(_times(less, e) if op == "neg" else _size(e) for e in _vector(args[0]))
            return each if isinstance(args[0], tuple) else each[0]
        total = args[0]
        for arg in args[1:]:
            pairs = _stretched(_vector(total), _vector(arg))
            each = tuple(_ARITHMETIC[op](a, b) for a, b in pairs)
            total = each if isinstance(total, tuple) or isinstance(arg, tuple) else each[0]
        return total

    def comparison(self, op: str, left: Value, right: Value) -> Expr:
        if op == "!=":
            return _made("not", self.comparison("==", left, right))
        if _is_statement(left) and _is_statement(right) and op == "==":
            return _connective(
                "or", [_made("and", left, right), _made("and", *map(_opposite, (left, right)))]
            )
        if isinstance(left, ArgMax):
            return self.argmax(op, left, right)
        if isinstance(right, ArgMax):
            return self.argmax(_FLIPPED[op], right, left)
        if op in (">", ">="):
            return self.comparison(_FLIPPED[op], right, left)
        pairs = _stretched(_vector(left), _vector(right))
        parts = [part for a, b in pairs for part in ([(a, b)] if op == "==" else _apart(a, b))]
        self.count(len(parts) * (2 if op == "==" else 1))
        made = [_made(op, a, b) for a, b in parts]
        return made[0] if len(made) == 1 else _made("and", *made)

    def argmax(self, op: str, largest: ArgMax, other: Value) -> Expr:
        """Case by case: the argmax is k, and k stands in the relation."""
        words, cases = self.folded(largest.parts), []
        for k in range(len(largest.parts)):
            place = _number(Fraction(k))
            if isinstance(other, Expr) and other.op == "number":
                if not _HOLDS[op](place.value, other.value):
                    continue
                rest = []
            else:
                rest = [self.comparison(op, place, other)]
            self.count(len(largest.parts))
            cases.append(_connective("and", [_made("==", _made("argmax", *words), place), *rest]))
        never = _made("<", *2 * [_number(Fraction(0))])
        return _connective("or", cases) if cases else never

    def turned(self, expr: Expr, shown: bool) -> Expr:
        """Case by case as "in each case" where that is shown, else as "in one of the cases": so the cases of
        a counterexample are alternatives, and do not multiply."""
        if expr.op not in CONNECTIVES:
            return expr
        if expr.op == "not":
            return _made("not", self.turned(expr.args[0], not shown))
        if shown and (same := _equated(expr)):
            a, b = same
            both = _made("or", _opposite(a), b), _made("or", a, _opposite(b))
            return _made("and", *(self.turned(part, shown) for part in both))
        if shown and expr.op == "or" and self.complete(expr.args):
            split = [
                (case.args[0], [self.turned(part, shown) for part in case.args[1:]]) for case in expr.args
            ]
            return _made(
                "and", *(_made("or", _made("not", k), _connective("and", rest)) for k, rest in split)
            )
        return _made(expr.op, *(self.turned(part, shown) for part in expr.args))

    def complete(self, cases: Vector) -> bool:
        """Whether they are all places where something may be largest, each with what holds there."""
        heads = [case.args[0] for case in cases if case.op == "and" and len(case.args) > 1]
        places = [head for head in heads if head.op == "==" and head.args[0].op == "argmax"]
        if not places or len(places) < len(cases) or len({head.args[0] for head in places}) > 1:
            return False
        words = places[0].args[0].args
        size = sum(self.length(word) if word.op in ("name", "call") else 1 for word in words)
        return [head.args[1].value for head in places] == list(range(size))

    def count(self, comparisons: int) -> None:
        """Limit how long a claim may get."""
        self.comparisons += comparisons
        if self.comparisons > MAX_ATOMS:
            raise ValueError(f"the statement has more than {MAX_ATOMS} comparisons")


def _made(op: str, *args: Expr) -> Expr:
    return Expr(op, args, at=args[0].at)


def _number(value: Fraction) -> Expr:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ValueError(f"a constant of more than {MAX_BITS} bits")
    return Expr("number", value=value)


def _plus(a: Expr, b: Expr) -> Expr:
    if a.op == b.op == "number":
        return _number(a.value + b.value)
    return _made("+", *(part for e in (a, b) for part in (e.args if e.op == "+" else (e,))))


def _times(a: Expr, b: Expr) -> Expr:
    a, b = (b, a) if b.op == "number" else (a, b)
    if a.op != "number":
        raise ValueError("a product of two things that depend on the inputs is not linear")
    if b.op == "number":
        return _number(a.value * b.value)
    if b.op == "*":
        return _times(_number(a.value * b.args[0].value), b.args[1])
    return b if a.value == 1 else Expr("*", (a, b), at=b.at)


def _over(a: Expr, b: Expr) -> Expr:
    if b.op != "number":
        raise ValueError("dividing by what depends on the inputs is not linear")
    if not b.value:
        raise ValueError("dividing by zero")
    return _times(_number(1 / b.value), a)


_ARITHMETIC = {"+": _plus, "*": _times, "/": _over}


def _components(base: Expr, size: int) -> Vector:
    return tuple(Expr("index", (base,), value=Fraction(i)) for i in range(size))


def _is_statement(value: Value) -> TypeGuard[Expr]:
    return isinstance(value, Expr) and value.op in COMPARISONS | CONNECTIVES


def _statement(value: Value) -> Expr:
    if _is_statement(value):
        return value
    raise ValueError(f"expected a statement that is true or false, got {_noun(value)}")


def _scalar(value: Value) -> Expr:
    if isinstance(value, Expr) and not _is_statement(value):
        return value
    raise ValueError(f"expected a number, got {_noun(value)}")


def _vector(value: Value) -> Vector:
    return value if isinstance(value, tuple) else (_scalar(value),)


def _noun(value: Value) -> str:
    if isinstance(value, tuple):
        return f"a vector of {len(value)}"
    if isinstance(value, ArgMax):
        return "an argmax"
    return "a statement that is true or false" if _is_statement(value) else "a number"


def _stretched(left: Vector, right: Vector) -> list[tuple[Expr, Expr]]:
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise ValueError(f"vectors of {len(left)} and {len(right)} do not go together")
    n = max(len(left), len(right))
    return list(zip((left * n)[:n], (right * n)[:n], strict=True))


def _apart(a: Expr, b: Expr) -> list[tuple[Expr, Expr]]:
    """Pairs that are in order exactly where a and b are, without the absolute value or maximum that a adds to
    what is linear: |u| <= b where u <= b and -u <= b. Several of them would multiply."""
    terms = a.args if a.op == "+" else (a,)
    folded = [(k, term) for k, term in enumerate(map(_factored, terms)) if term[1].op in ("abs", "max")]
    if len(folded) != 1 or folded[0][1][0] < 0:
        return [(a, b)]
    ((k, (factor, inner)),) = folded
    u, *other = inner.args
    sides = (u, *(other or [_times(_number(Fraction(-1)), u)]))
    sums = [reduce(_plus, (*terms[:k], _times(_number(factor), side), *terms[k + 1 :])) for side in sides]
    return [pair for total in sums for pair in _apart(total, b)]


def _factored(e: Expr) -> tuple[Fraction, Expr]:
    """A multiple of an expression, and the expression."""
    return (e.args[0].value, e.args[1]) if e.op == "*" else (Fraction(1), e)


def _equated(expr: Expr) -> Vector:
    """The two statements of which it says that both are true or both are not; none where it does not."""
    if expr.op != "or" or len(expr.args) != 2 or any(p.op != "and" or len(p.args) != 2 for p in expr.args):
        return ()
    first, second = expr.args
    return first.args if second.args == tuple(map(_opposite, first.args)) else ()


def _opposite(statement: Expr) -> Expr:
    return _made("not", statement)


def _connective(op: str, parts: list[Expr]) -> Expr:
    if op == "=>":
        return _made("or", _opposite(parts[0]), parts[1])
    return parts[0] if len(parts) == 1 and op != "not" else _made(op, *parts)


def _reduced(op: str, parts: Vector) -> Expr:
    if op == "sum":
        return reduce(_plus, parts)
    if op == "second_max":
        return _second(parts)
    if op == "min":
        less = _number(Fraction(-1))
        return _times(less, _reduced("max", tuple(_times(less, part) for part in parts)))
    while len(parts) > 1:  # a tournament, so that few maxima lie within each other
        pairs = tuple(_larger(*parts[k : k + 2]) for k in range(0, len(parts) - 1, 2))
        parts = pairs + parts[2 * len(pairs) :]
    return parts[0]


def _second(parts: Vector) -> Expr:
    """The second largest, equals counted each: of two groups, the least of their largest or a second."""
    if len(parts) < 2:
        raise ValueError("second_max needs at least two numbers")
    groups: list[Vector] = [(part,) for part in parts]
    while len(groups) > 1:
        merged = [_merged(*groups[k : k + 2]) for k in range(0, len(groups) - 1, 2)]
        groups = merged + groups[2 * len(merged) :]
    return groups[0][1]


def _merged(a: Vector, b: Vector) -> Vector:
    """Largest and second largest of two groups that are told so themselves."""
    seconds = (_reduced("min", (a[0], b[0])), *a[1:], *b[1:])
    return _larger(a[0], b[0]), _reduced("max", seconds)


def _size(e: Expr) -> Expr:
    return _number(abs(e.value)) if e.op == "number" else _made("abs", e)


def _larger(a: Expr, b: Expr) -> Expr:
    return _made("max", a, b)
