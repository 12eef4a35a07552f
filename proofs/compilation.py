"""The meaning of a claim in linear forms: a maximum becomes a ReLU, comparisons become atoms.

Claims come in the normal form of `normal`. The order in which steps are appended is part of the format of
certificates: arguments before operators, left to right, `given` before `show`; a network that is called twice
on the same inputs, and a maximum that is taken twice, are written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from math import lcm

from .formulas import Atom, Both, Either, Formula, negate
from .lowering import Graph
from .program import Program, Relu
from .translation import Form, add_network, affine_of

Vector = tuple[Form, ...]


@dataclass(frozen=True)
class ArgMax:
    """The index of the largest component, the first one among equals."""

    forms: Vector


Value = Form | Vector | ArgMax | Atom | Both | Either


@dataclass
class Forms:
    """Algebra of linear forms over the steps of a growing program.

    Attributes:
        variables: forms of the claim's variables, a vector for `x[0..n]`.
        graphs: networks by name; a call to any other name is an error.
        rounding: whether networks run in float32 with roundings.
        exact: forms that float32 numbers hold, because the claim's variables are such.
    """

    program: Program
    variables: Mapping[str, Form | Vector]
    graphs: Mapping[str, Graph]
    rounding: bool
    exact: frozenset[Form] = frozenset()
    called: dict[tuple[str, Vector], Vector] = field(default_factory=dict)
    sources: dict[Vector, int] = field(default_factory=dict)
    ramps: dict[Form, Form] = field(default_factory=dict)

    def number(self, value: Fraction) -> Value:
        """Give a constant form."""
        return Form(const=value)

    def variable(self, name: str) -> Value:
        """Give the forms of a variable."""
        return self.variables[name]

    def index(self, base: Value, i: int) -> Value:
        """Give one component of a vector."""
        if not isinstance(base, tuple):
            raise ValueError("only vectors can be indexed")
        return base[i]

    def power(self, base: Value, exponent: int) -> Value:
        """Powers of constants, and the first power of anything."""
        form = _scalar(base)
        if exponent == 1:
            return form
        if form.terms:
            raise ValueError("powers of what depends on the inputs are not linear")
        return Form(const=_limited(form.const) ** exponent)

    def network(self, name: str, args: list[Value]) -> Value:
        """Append the network's steps, unless it was called on the same inputs before."""
        inputs: Vector = tuple(form for arg in args for form in _vector(arg))
        if name not in self.graphs:
            raise ValueError(f"{name} is no network of this claim")
        if (name, inputs) not in self.called:
            output = add_network(self.program, self.graphs[name], self.source(inputs), self.rounding)
            self.called[name, inputs] = tuple(Form.of(output, i) for i in range(self.program.size(output)))
        return self.called[name, inputs]

    def source(self, inputs: Vector) -> int:
        """The step that holds the inputs of a network."""
        if inputs not in self.sources:
            rounds = self.rounding and not all(f in self.exact or _small(f) for f in inputs)
            self.sources[inputs] = affine_of(self.program, inputs, int(rounds))
        return self.sources[inputs]

    def apply(self, op: str, args: list[Value]) -> Value:
        """Arithmetic, comparisons, connectives and functions."""
        if op in ("and", "or", "not"):
            return _connective(op, [_formula(arg) for arg in args])
        if op in _COMPARE or op == "==":
            return _comparison(op, args[0], args[1])
        if op == "argmax":
            return ArgMax(tuple(form for arg in args for form in _vector(arg)))
        if op in ("max", "abs"):
            a, b = map(_scalar, args if op == "max" else (args[0], -_scalar(args[0])))
            return self.larger(a, b)
        if op == "neg":
            return -_scalar(args[0])
        if op == "+":
            return Form.total(list(map(_scalar, args)))
        if op not in ("*", "/"):
            raise ValueError(f"{op} is not linear")
        return reduce(lambda a, b: _binary(op, a, b), map(_scalar, args))

    def larger(self, a: Form, b: Form) -> Form:
        """max(a, b) = b + relu(a - b), the difference in whole multiples."""
        gap = a - b
        if gap not in self.ramps:
            below = lcm(gap.const.denominator, *(value.denominator for _, value in gap.terms))
            step = self.program.add(Relu(affine_of(self.program, [gap * Fraction(below)]), 1))
            self.ramps[gap] = Form.of(step, 0) * Fraction(1, below)
        return b + self.ramps[gap]


def _small(form: Form) -> bool:
    """Whether a form is a whole constant that a float32 holds."""
    return not form.terms and form.const.denominator == 1 and abs(form.const) <= 2**24


def _scalar(value: Value) -> Form:
    if isinstance(value, Form):
        return value
    raise ValueError(f"expected a number, got {_noun(value)}")


def _vector(value: Value) -> Vector:
    if isinstance(value, Form):
        return (value,)
    if isinstance(value, tuple):
        return value
    raise ValueError(f"expected numbers, got {_noun(value)}")


def _formula(value: Value) -> Formula:
    if isinstance(value, Atom | Both | Either):
        return value
    raise ValueError(f"expected a statement that is true or false, got {_noun(value)}")


def _noun(value: Value) -> str:
    if isinstance(value, tuple):
        return f"a vector of {len(value)}"
    names: dict[type, str] = {Form: "a number", ArgMax: "an argmax"}
    return names.get(type(value), "a statement that is true or false")


def _limited(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > 4096:
        raise ValueError("a constant of more than 4096 bits")
    return number


def _connective(op: str, parts: list[Formula]) -> Formula:
    if op == "not":
        return negate(parts[0])
    return Both(tuple(parts)) if op == "and" else Either(tuple(parts))


def _binary(op: str, left: Form, right: Form) -> Form:
    if op == "/":
        if right.terms:
            raise ValueError("dividing by what depends on the inputs is not linear")
        if not right.const:
            raise ValueError("dividing by zero")
        return left * (1 / _limited(right.const))
    if left.terms and right.terms:
        raise ValueError("a product of two things that depend on the inputs is not linear")
    return right * _limited(left.const) if right.terms else left * _limited(right.const)


_COMPARE: dict[str, Callable[[Form, Form], Atom]] = {
    "<": lambda a, b: Atom(b - a, strict=True),
    "<=": lambda a, b: Atom(b - a, strict=False),
    ">": lambda a, b: Atom(a - b, strict=True),
    ">=": lambda a, b: Atom(a - b, strict=False),
}


def _comparison(op: str, left: Value, right: Value) -> Formula:
    if isinstance(left, ArgMax):
        forms, k = left.forms, int(_scalar(right).const)
        return Both(tuple(Atom(forms[k] - form, strict=j < k) for j, form in enumerate(forms) if j != k))
    a, b = _scalar(left), _scalar(right)
    if op == "==":
        return Both((_COMPARE["<="](a, b), _COMPARE[">="](a, b)))
    return _COMPARE[op](a, b)
