"""The meaning of a claim's text in linear forms: max, min and abs become ReLUs, comparisons become atoms.

The order in which steps are appended is part of the format of certificates: arguments before operators, left
to right, `given` before `show`; a network called twice on the same arguments is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce

from .expressions import CONNECTIVES
from .formulas import MAX_ATOMS, Atom, Both, Either, Formula, atoms, negate
from .lowering import Graph
from .program import Program, Relu
from .translation import Form, add_network, affine_of

Vector = tuple[Form, ...]


@dataclass(frozen=True)
class ArgMax:
    """The index of the largest component, the first one among equals."""

    forms: Vector


Value = Form | Vector | ArgMax | Atom | Both | Either

_ZERO = Fraction(0)


@dataclass
class Forms:
    """Algebra of linear forms over the steps of a growing program.

    Attributes:
        variables: forms of the claim's variables, a vector for `x[0..n]`.
        graphs: networks by name; a call to any other name is an error.
        rounding: whether networks run in float32 with roundings.
    """

    program: Program
    variables: Mapping[str, Form | Vector]
    graphs: Mapping[str, Graph]
    rounding: bool
    called: dict[tuple[str, Vector], Value] = field(default_factory=dict)

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
        if i >= len(base):
            raise ValueError(f"index {i} of a vector of {len(base)}")
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
        """Append the network's steps, unless it was called on the same arguments before."""
        inputs: Vector = tuple(form for arg in args for form in _vector(arg))
        graph = self.graphs.get(name)
        if graph is None:
            raise ValueError(f"{name} is no function of the language, and no network is called so")
        if len(inputs) != graph.size:
            raise ValueError(f"{name} reads {graph.size} numbers, got {len(inputs)}")
        if (name, inputs) not in self.called:
            rounds = self.rounding and not all(_plain(form) for form in inputs)
            source = affine_of(self.program, inputs, depth=1 if rounds else 0)
            output = add_network(self.program, graph, source, self.rounding)
            self.called[name, inputs] = tuple(Form.of(output, i) for i in range(self.program.size(output)))
        return self.called[name, inputs]

    def apply(self, op: str, args: list[Value]) -> Value:
        """Arithmetic, comparisons, connectives and functions."""
        if op in CONNECTIVES:
            return _connective(op, [_formula(arg) for arg in args])
        if op in _COMPARE or op in ("==", "!="):
            return _checked_size(_comparison(op, args[0], args[1]))
        if op == "argmax":
            return ArgMax(_vector(args[0] if len(args) == 1 else tuple(map(_scalar, args))))
        if op in ("max", "min", "sum"):
            return self.reduce(op, _vector(args[0]) if len(args) == 1 else tuple(map(_scalar, args)))
        if op == "abs":
            return self.absolute(args[0])
        return (
            reduce(lambda a, b: _arithmetic(op, a, b), args[1:], args[0])
            if len(args) > 1
            else _negative(args[0])
        )

    def reduce(self, op: str, forms: Vector) -> Form:
        """Sum; or a tournament of ReLUs, max(a, b) = b + relu(a - b)."""
        if op == "sum":
            return reduce(Form.__add__, forms)
        sign = Fraction(1 if op == "max" else -1)
        while len(forms) > 1:
            pairs = [(forms[i], forms[i + 1]) for i in range(0, len(forms) - 1, 2)]
            ramps = self.relu(tuple((a - b) * sign for a, b in pairs))
            winners = tuple(b + ramp * sign for (_, b), ramp in zip(pairs, ramps, strict=True))
            forms = winners + forms[2 * len(pairs) :]
        return forms[0]

    def relu(self, forms: Vector) -> Vector:
        """ReLUs of forms, as one affine step and one ReLU step."""
        source = affine_of(self.program, forms)
        step = self.program.add(Relu(source, len(forms)))
        return tuple(Form.of(step, i) for i in range(len(forms)))

    def absolute(self, value: Value) -> Value:
        """|e| = 2 relu(e) - e."""
        forms = _vector(value)
        ramps = self.relu(forms)
        sizes = tuple(ramp * Fraction(2) - form for ramp, form in zip(ramps, forms, strict=True))
        return sizes if isinstance(value, tuple) else sizes[0]


def _plain(form: Form) -> bool:
    """Whether a form is one free variable or a small whole constant, which a float32 holds exactly."""
    if not form.terms:
        return form.const.denominator == 1 and abs(form.const) <= 2**24
    return len(form.terms) == 1 and form.terms[0][0][0] == 0 and form.terms[0][1] == 1 and not form.const


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


def _checked_size(formula: Formula) -> Formula:
    if sum(1 for _ in atoms(formula)) > MAX_ATOMS:
        raise ValueError(f"the statement has more than {MAX_ATOMS} comparisons")
    return formula


def _limited(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > 4096:
        raise ValueError("a constant of more than 4096 bits")
    return number


def _connective(op: str, parts: list[Formula]) -> Formula:
    if op == "not":
        return negate(parts[0])
    if op == "=>":
        return Either((negate(parts[0]), parts[1]))
    return Both(tuple(parts)) if op == "and" else Either(tuple(parts))


def _negative(value: Value) -> Value:
    return tuple(-form for form in value) if isinstance(value, tuple) else -_scalar(value)


def _arithmetic(op: str, left: Value, right: Value) -> Value:
    if isinstance(left, tuple) or isinstance(right, tuple):
        a, b = _stretched(_vector(left), _vector(right))
        return tuple(_binary(op, x, y) for x, y in zip(a, b, strict=True))
    return _binary(op, _scalar(left), _scalar(right))


def _binary(op: str, left: Form, right: Form) -> Form:
    if op == "+":
        return left + right
    if op == "/":
        if right.terms:
            raise ValueError("dividing by what depends on the inputs is not linear")
        if not right.const:
            raise ValueError("dividing by zero")
        return left * (1 / _limited(right.const))
    if left.terms and right.terms:
        raise ValueError("a product of two things that depend on the inputs is not linear")
    return right * _limited(left.const) if right.terms else left * _limited(right.const)


def _stretched(left: Vector, right: Vector) -> tuple[Vector, Vector]:
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise ValueError(f"vectors of {len(left)} and {len(right)} do not go together")
    n = max(len(left), len(right))
    return (left * n)[:n] if len(left) == 1 else left, (right * n)[:n] if len(right) == 1 else right


_COMPARE: dict[str, Callable[[Form, Form], Atom]] = {
    "<": lambda a, b: Atom(b - a, strict=True),
    "<=": lambda a, b: Atom(b - a, strict=False),
    ">": lambda a, b: Atom(a - b, strict=True),
    ">=": lambda a, b: Atom(a - b, strict=False),
}


def _comparison(op: str, left: Value, right: Value) -> Formula:
    if op == "!=":
        return negate(_comparison("==", left, right))
    if isinstance(left, Atom | Both | Either) and isinstance(right, Atom | Both | Either) and op == "==":
        return Either((Both((left, right)), Both((negate(left), negate(right)))))
    if isinstance(left, ArgMax) or isinstance(right, ArgMax):
        return _argmax_comparison(op, left, right)
    a, b = _stretched(_vector(left), _vector(right))
    parts = tuple(_elementary(op, x, y) for x, y in zip(a, b, strict=True))
    return parts[0] if len(parts) == 1 else Both(parts)


def _elementary(op: str, left: Form, right: Form) -> Formula:
    if op == "==":
        return Both((_COMPARE["<="](left, right), _COMPARE[">="](left, right)))
    return _COMPARE[op](left, right)


def _argmax_comparison(op: str, left: Value, right: Value) -> Formula:
    """Case by case: the left (or else the right) argmax is k, and k stands in the relation."""
    if isinstance(left, ArgMax):
        cases = [(k, _comparison(op, Form(const=Fraction(k)), right)) for k in range(len(left.forms))]
        forms = left.forms
    else:
        assert isinstance(right, ArgMax)
        cases = [(k, _comparison(op, left, Form(const=Fraction(k)))) for k in range(len(right.forms))]
        forms = right.forms
    return Either(tuple(Both((_is_argmax(forms, k), case)) for k, case in cases))


def _is_argmax(forms: Vector, k: int) -> Formula:
    return Both(tuple(Atom(forms[k] - form, strict=j < k) for j, form in enumerate(forms) if j != k))
