"""Queries: what a counterexample of a network property looks like, as a claim that there is none.

Bounds of the inputs become the ranges of the claim's variables, found by propagating the linear assertions
on inputs alone; those become the condition, and the claim is that the others do not hold together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from . import singles
from .claims import Claim, Semantics
from .expressions import Expr, networks_called, nodes
from .faults import Fault, InputError
from .variables import MAX_VARIABLES, Variable

Linear = tuple[dict[str, Fraction], Fraction]
"""Coefficients by variable, and the constant."""

Span = tuple[Fraction | None, Fraction | None]
_ROUNDS = 8
_FALSE = Expr("<", (Expr("number"), Expr("number")))
_FLIPPED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<", "==": "=="}


def number(value: Fraction) -> Expr:
    """A constant."""
    return Expr("number", value=value)


def refutation(name: str, inputs: Sequence[str], assertions: Sequence[Expr], semantics: Semantics) -> Claim:
    """The claim that no inputs satisfy all assertions.

    Under "float32" an input whose range holds no float32, such as one that is 0.1, is taken to be the one
    next to it, unless assertions compare it with others.

    Raises:
        InputError: inputs without bounds, or too many.
    """
    parts = [part for assertion in assertions for part in _conjuncts(assertion)]
    spans = _spans(inputs, parts)
    open_ends = [x for x in inputs if None in spans[x]]
    if open_ends or not inputs:
        told = ", ".join(open_ends[:8]) + (f" and {len(open_ends) - 8} more" if len(open_ends) > 8 else "")
        raise InputError([Fault(f"inputs without bounds: {told or 'all'}", 1, 1, name)])
    if len(inputs) > MAX_VARIABLES:
        raise InputError([Fault(f"{len(inputs)} inputs, at most {MAX_VARIABLES} are read", 1, 1, name)])
    kept = [part for part in parts if not _is_range(part)]
    given = [part for part in kept if not networks_called(part)]
    shown = [part for part in kept if networks_called(part)]
    empty = any(lo > hi for lo, hi in spans.values() if lo is not None and hi is not None)
    variables = [_variable(x, spans[x], empty) for x in inputs]
    moved = dict[str, Variable]()
    if semantics == "float32":
        compared = {node.name for part in given for node in nodes(part) if node.op == "name"}
        moved = {v.name: _single(v) for v in variables if v.name not in compared and not _reached(v)}
    told = f", {len(moved)} inputs taken as the float32 next to what it says" if moved else ""
    return Claim(
        name=name,
        variables=tuple(moved.get(v.name, v) for v in variables),
        show=Expr("not", (_both(shown),)) if shown else _FALSE,
        show_text=f"{name} has no counterexample{told}",
        given=_both([*given, _FALSE] if empty else given) if given or empty else None,
        given_text=None,
        semantics=semantics,
    )


def _variable(name: str, span: Span, empty: bool) -> Variable:
    lo, hi = (Fraction(0), Fraction(0)) if empty else span
    assert lo is not None
    assert hi is not None
    return Variable(name, "real", lo, hi)


def _reached(variable: Variable) -> bool:
    """Whether a float32 lies in its range."""
    return singles.within(0.0, variable.lo, variable.hi) is not None


def _single(variable: Variable) -> Variable:
    value = singles.nearest((variable.lo + variable.hi) / 2)
    return replace(variable, lo=value, hi=value)


def _both(parts: Sequence[Expr]) -> Expr:
    return parts[0] if len(parts) == 1 else Expr("and", tuple(parts))


def _conjuncts(expr: Expr) -> list[Expr]:
    return [p for arg in expr.args for p in _conjuncts(arg)] if expr.op == "and" else [expr]


def _spans(inputs: Sequence[str], parts: Sequence[Expr]) -> dict[str, Span]:
    """Bounds of every input that follow from the assertions."""
    spans: dict[str, Span] = dict.fromkeys(inputs, (None, None))
    for _ in range(_ROUNDS):
        before = dict(spans)
        for part in parts:
            _narrow(spans, part)
        if spans == before:
            break
    return spans


def _narrow(spans: dict[str, Span], part: Expr) -> None:
    if part.op == "or":
        _narrow_to_any(spans, part.args)
    elif part.op in _FLIPPED and not networks_called(part):
        left, right = linear(part.args[0]), linear(part.args[1])
        if left is None or right is None:
            return
        total = {
            x: left[0].get(x, Fraction(0)) - right[0].get(x, Fraction(0)) for x in {**left[0], **right[0]}
        }
        const = left[1] - right[1]
        if part.op in ("<=", "<", "=="):
            _below_zero(spans, total, const)
        if part.op in (">=", ">", "=="):
            _below_zero(spans, {x: -c for x, c in total.items()}, -const)


def _narrow_to_any(spans: dict[str, Span], choices: Sequence[Expr]) -> None:
    """What all of several choices agree on."""
    found = []
    for choice in choices:
        own = dict(spans)
        for part in _conjuncts(choice):
            _narrow(own, part)
        found.append(own)
    for x in spans:
        lows, highs = [own[x][0] for own in found], [own[x][1] for own in found]
        lo = None if None in lows else min(v for v in lows if v is not None)
        hi = None if None in highs else max(v for v in highs if v is not None)
        spans[x] = _tighter(spans[x], lo, hi)


def _below_zero(spans: dict[str, Span], total: Mapping[str, Fraction], const: Fraction) -> None:
    """Narrow the variables of Σ c x + const <= 0, each by the least that the others can be."""
    terms = {x: c for x, c in total.items() if c}
    if any(x not in spans for x in terms):
        return
    least = {x: spans[x][0] if c > 0 else spans[x][1] for x, c in terms.items()}
    for x, c in terms.items():
        rest = const
        for y, d in terms.items():
            end = least[y]
            if y != x:
                if end is None:
                    break
                rest += d * end
        else:
            bound = -rest / c
            spans[x] = _tighter(spans[x], None if c > 0 else bound, bound if c > 0 else None)


def _tighter(span: Span, lo: Fraction | None, hi: Fraction | None) -> Span:
    lows = [v for v in (span[0], lo) if v is not None]
    highs = [v for v in (span[1], hi) if v is not None]
    return max(lows, default=None), min(highs, default=None)


def _is_range(part: Expr) -> bool:
    """Whether a conjunct says no more than the range of one variable."""
    if part.op not in ("<=", ">=") or networks_called(part):
        return False
    sides = [linear(arg) for arg in part.args]
    names = {x for side in sides if side is not None for x, c in side[0].items() if c}
    return None not in sides and len(names) == 1


def linear(expr: Expr) -> Linear | None:
    """A linear expression of variables; None for anything else."""
    if expr.op == "number":
        return {}, expr.value
    if expr.op == "name":
        return {expr.name: Fraction(1)}, Fraction(0)
    parts = [linear(arg) for arg in expr.args]
    if expr.op not in ("+", "*", "neg") or any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    if expr.op == "neg":
        return _scaled(known[0], Fraction(-1))
    total = known[0]
    for part in known[1:]:
        if expr.op == "+":
            total = _added(total, part)
        elif total[0] and part[0]:
            return None
        else:
            total = _scaled(total, part[1]) if not part[0] else _scaled(part, total[1])
    return total


def _scaled(form: Linear, factor: Fraction) -> Linear:
    return {x: c * factor for x, c in form[0].items()}, form[1] * factor


def _added(a: Linear, b: Linear) -> Linear:
    return {x: a[0].get(x, Fraction(0)) + b[0].get(x, Fraction(0)) for x in {**a[0], **b[0]}}, a[1] + b[1]
