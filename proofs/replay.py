"""Replaying a counterexample: in exact arithmetic, and through the real network in torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor

from .claims import Claim
from .expressions import COMPARISONS, fold
from .lowering import Graph
from .program import UNDEFINED, Free, Program
from .translation import add_network

Answer = Callable[[str, list[Fraction]], tuple[Fraction, ...]]
Number = Fraction | tuple[Fraction, ...] | bool


@dataclass
class Exact:
    """Algebra of exact numbers at one point; `answer` gives the outputs of a network."""

    variables: Mapping[str, Fraction | tuple[Fraction, ...]]
    answer: Answer
    outputs: dict[str, tuple[Fraction, ...]] = field(default_factory=dict)
    answers: dict[tuple[str, tuple[Fraction, ...]], tuple[Fraction, ...]] = field(default_factory=dict)

    def number(self, value: Fraction) -> Number:
        """Give the number."""
        return value

    def variable(self, name: str) -> Number:
        """Give the value of a variable."""
        return self.variables[name]

    def index(self, base: Number, i: int) -> Number:
        """Give one component."""
        return _vector(base)[i]

    def power(self, base: Number, exponent: int) -> Number:
        """Give a power."""
        return _vector(base)[0] ** exponent

    def network(self, name: str, args: list[Number]) -> Number:
        """Ask the network, and keep its answer."""
        inputs = tuple(number for arg in args for number in _vector(arg))
        if (name, inputs) not in self.answers:
            self.answers[name, inputs] = self.answer(name, list(inputs))
        key = f"{name}({', '.join(map(str, inputs))})" if len(inputs) <= 8 else f"{name}(…)"
        self.outputs[key] = self.answers[name, inputs]
        return self.outputs[key]

    def apply(self, op: str, args: list[Number]) -> Number:
        """Arithmetic, comparisons, connectives and functions."""
        if op in COMPARISONS:
            return _compare(op, args[0], args[1])
        if op in ("and", "or", "not", "=>"):
            return _connect(op, [bool(arg) for arg in args])
        if op in ("min", "max", "second_max", "sum", "argmax"):
            return _reduce(op, [number for arg in args for number in _vector(arg)])
        if op in ("abs", "neg"):
            changed = tuple(abs(v) if op == "abs" else -v for v in _vector(args[0]))
            return changed if isinstance(args[0], tuple) else changed[0]
        result = args[0]
        for other in args[1:]:
            result = _arithmetic(op, result, other)
        return result


def _vector(value: Number) -> tuple[Fraction, ...]:
    return value if isinstance(value, tuple) else (Fraction(value),)


def _pairs(left: Number, right: Number) -> list[tuple[Fraction, Fraction]]:
    a, b = _vector(left), _vector(right)
    n = max(len(a), len(b))
    return list(zip(a * n if len(a) == 1 else a, b * n if len(b) == 1 else b, strict=True))


def _compare(op: str, left: Number, right: Number) -> bool:
    if op == "!=":
        return not _compare("==", left, right)
    tests: dict[str, Callable[[Fraction, Fraction], bool]] = {
        "==": lambda a, b: a == b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }
    return all(tests[op](a, b) for a, b in _pairs(left, right))


def _connect(op: str, parts: list[bool]) -> bool:
    if op == "not":
        return not parts[0]
    if op == "=>":
        return not parts[0] or parts[1]
    return all(parts) if op == "and" else any(parts)


def _reduce(op: str, numbers: list[Fraction]) -> Fraction:
    if op == "argmax":
        return Fraction(numbers.index(max(numbers)))
    if op == "second_max":
        return sorted(numbers)[-2]
    return {"min": min, "max": max, "sum": sum}[op](numbers)  # type: ignore[operator, no-any-return]


def _arithmetic(op: str, left: Number, right: Number) -> Number:
    actions: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
        "+": lambda a, b: a + b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
    }
    results = tuple(actions[op](a, b) for a, b in _pairs(left, right))
    return results if isinstance(left, tuple) or isinstance(right, tuple) else results[0]


def exact_answers(graphs: Mapping[str, Graph]) -> Answer:
    """Networks as exact arithmetic runs them."""
    programs: dict[str, tuple[Program, int]] = {}

    def answer(name: str, inputs: list[Fraction]) -> tuple[Fraction, ...]:
        if name not in programs:
            program = Program([Free(len(inputs))])
            programs[name] = program, add_network(program, graphs[name], 0, rounding=False)
        program, output = programs[name]
        return tuple(program.evaluate(inputs)[output])

    return answer


def torch_answers(
    networks: Mapping[str, Callable[[Tensor], Tensor]], shapes: Mapping[str, tuple[int, ...]]
) -> Answer:
    """Networks as torch runs them, on inputs of their own type."""

    def answer(name: str, inputs: list[Fraction]) -> tuple[Fraction, ...]:
        module = networks[name]
        batch = torch.tensor([[float(v) for v in inputs]], dtype=torch.float64).reshape(1, *shapes[name])
        with torch.no_grad():
            out = module(batch).double().flatten()
        return tuple(Fraction(v) if math.isfinite(v) else UNDEFINED for v in out.cpu().tolist())

    return answer


@dataclass(frozen=True)
class Replay:
    """What the claim says at one point: whether it is in scope, whether `show` is true, and the outputs."""

    in_scope: bool
    shown: bool
    outputs: Mapping[str, tuple[Fraction, ...]]

    @property
    def refutes(self) -> bool:
        """In scope, and the claim is false there."""
        return self.in_scope and not self.shown


def replay(claim: Claim, inputs: Mapping[str, Fraction], answer: Answer) -> Replay:
    """Evaluate the claim at exact values of all its components."""
    variables = {
        v.name: inputs[v.name] if v.size is None else tuple(inputs[c] for c in v.components)
        for v in claim.variables
    }
    ranges = [(inputs[c], v) for v in claim.variables for c in v.components]
    inside = all(v.lo <= value <= v.hi and (value.denominator == 1 or not v.whole) for value, v in ranges)
    algebra = Exact(variables, answer)
    given = inside and (claim.given is None or bool(fold(claim.given, algebra, {})))
    return Replay(given, bool(fold(claim.show, algebra, {})), dict(algebra.outputs))
