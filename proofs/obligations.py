"""A claim bound to its networks: a program, a box of free variables, and a formula that must have no
solution.

Equalities among the inputs (`x1 == x2`) are substituted exactly: the first declared variable of each is
eliminated, which turns a claim over a plane into one over a line. The order of the conjuncts of `given`
decides; a certificate relies on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from . import singles
from .claims import Claim, Variable
from .compilation import Forms, Vector
from .expressions import Expr, ExpressionError, conjuncts, fold
from .faults import Fault, InputError
from .formulas import Atom, Both, Formula, negate
from .limits import Limit, narrowed_box
from .lowering import Graph
from .normal import normal
from .program import Free, Program
from .translation import Form


@dataclass(frozen=True)
class Obligation:
    """What must be shown: `counterexample` holds nowhere in the box.

    Attributes:
        claim: the claim as it was written.
        given, show: the conjuncts of its condition, and what it shows, in the normal form.
        program: its networks in exact form; step 0 holds the free variables.
        lo, hi: inclusive bounds of the free variables, within `limits`.
        whole: which free variables are whole numbers.
        counterexample: condition, ranges of the eliminated variables, and the opposite of what is shown.
        scope: the part of it that says a point is in scope.
        inputs: each declared component as a form of the free variables, in the order of declaration.
        free: names of the free variables.
        substitution: eliminated components, each with the number of the conjunct of `given` that determines
        it.
        definitions: inputs that lemmas add, with the forms that they stand for; they are among the inputs,
        and their equations come after the conjuncts of `given`.
        twins: ReLUs that are about a multiple c of another, as (unit, other unit, c).
        limits: where conditions on single variables narrow what was declared.
    """

    claim: Claim
    given: tuple[Expr, ...]
    show: Expr
    graphs: Mapping[str, Graph]
    program: Program
    lo: tuple[Fraction, ...]
    hi: tuple[Fraction, ...]
    whole: tuple[bool, ...]
    counterexample: Formula
    scope: Formula
    inputs: Mapping[str, Form]
    free: tuple[str, ...]
    substitution: tuple[tuple[str, int], ...]
    definitions: tuple[tuple[str, Expr], ...] = ()
    twins: tuple[tuple[int, int, Fraction], ...] = ()
    limits: tuple[Limit, ...] = ()

    def points(self) -> int | None:
        """Number of inputs in the box that is left of all free variables; None where some are real."""
        if not all(self.whole):
            return None
        total = 1
        for lo, hi in zip(self.lo, self.hi, strict=True):
            total *= int(hi - lo) + 1
        return total

    def unreachable(self) -> list[str]:
        """Inputs whose range holds no float32 (nor whole number)."""
        ends = zip(self.free, self.lo, self.hi, self.whole, strict=True)
        return [x for x, lo, hi, whole in ends if not whole and singles.within(0.0, lo, hi) is None]

    def within_limits(self, proof: list[Any]) -> list[Any]:
        """A proof for all that was declared, from one for the box that limits leave: they come first."""
        units = {name: unit for unit, name in enumerate(self.inputs, 1)}
        pairs = [(limit, units[self.free[limit.free]]) for limit in self.limits]
        return [
            *(limit.cut(unit) for limit, unit in pairs),
            *proof,
            *(limit.closed(unit) for limit, unit in reversed(pairs)),
        ]

    def declared(self, point: list[Fraction]) -> dict[str, Fraction]:
        """Values of all components that the claim declares where the free variables are `point`."""
        values = [np.array(point, dtype=object)]
        return {name: self.inputs[name].at(values) for v in self.claim.variables for name in v.components}


def bind(
    claim: Claim, graphs: Mapping[str, Graph], definitions: Mapping[str, Expr] | None = None
) -> Obligation:
    """Write a claim over the given networks as an obligation.

    `definitions` are further inputs, each a linear form of those before it: the equations are solved for the
    inputs that were declared first.

    Raises:
        InputError: the claim is not piecewise linear, or does not fit the networks; with the column in its
        text.
    """
    given, show = _written_out(claim, graphs)
    original, added = claim, dict[str, Expr]()
    for name, expr in (definitions or {}).items():
        claim, added[name] = _defined(claim, name, expr)
    ranges = {c: (v.lo, v.hi, v.whole) for v in claim.variables for c in v.components}
    equations = tuple(Expr("==", (Expr("name", name=name), expr)) for name, expr in added.items())
    eliminated, substitution = _eliminations(claim, given + equations)
    free = tuple(name for name in ranges if name not in eliminated)
    program = Program([Free(len(free))], len(ranges))
    inputs = _inputs(tuple(ranges), free, eliminated)
    exact = frozenset(inputs[c] for v in original.variables for c in v.components)
    algebra = Forms(program, _grouped(claim, inputs), graphs, claim.semantics == "float32", exact)
    parts = tuple(_statement(part, algebra, claim, "given") for part in given + equations)
    bounds = [
        Atom(form, strict=False)
        for name, _ in substitution
        for form in (inputs[name] - Form(const=ranges[name][0]), Form(const=ranges[name][1]) - inputs[name])
    ]
    scope = Both((*bounds, *parts))
    lo, hi, whole = zip(*(ranges[name] for name in free), strict=True) if free else ((), (), ())
    counterexample = Both((scope, negate(_statement(show, algebra, claim, "show"))))
    low, high, limits = narrowed_box(counterexample, lo, hi, whole)
    return Obligation(
        original,
        given,
        show,
        graphs,
        program,
        low,
        high,
        whole,
        counterexample,
        scope,
        inputs,
        free,
        substitution,
        tuple(added.items()),
        limits=limits,
    )


def _defined(claim: Claim, name: str, expr: Expr) -> tuple[Claim, Expr]:
    """The claim with one more input, over the widest range that its form allows, and the form written out."""
    if any(v.name == name for v in claim.variables):
        raise ValueError(f"{name} is declared already")
    components = {c: v for v in claim.variables for c in v.components}
    names = {v.name: v.size for v in claim.variables}
    written = normal(Expr("<=", (expr, expr)), names, {})
    algebra = Forms(Program([Free(len(components))]), _grouped(claim, _identity(claim)), {}, False)
    form = fold(written.args[0], algebra) if written.op == "<=" else None
    if not isinstance(form, Form) or len(algebra.program.steps) > 1:
        raise ValueError("not one number that is linear in the variables")
    used = [(c, list(components.values())[i]) for (_, i), c in form.terms]
    ends = [sorted((c * v.lo, c * v.hi)) for c, v in used]
    lo, hi = (form.const + sum((end[side] for end in ends), Fraction(0)) for side in (0, 1))
    whole = form.const.denominator == 1 and all(v.whole and c.denominator == 1 for c, v in used)
    variable = Variable(name, "integer" if whole else "real", lo, hi)
    return replace(claim, variables=(*claim.variables, variable)), written.args[0]


def _identity(claim: Claim) -> dict[str, Form]:
    names = [c for v in claim.variables for c in v.components]
    return {name: Form.of(0, i) for i, name in enumerate(names)}


def _written_out(claim: Claim, graphs: Mapping[str, Graph]) -> tuple[tuple[Expr, ...], Expr]:
    """The conjuncts of the condition, and what is shown, in the normal form."""
    sizes = {v.name: v.size for v in claim.variables}
    networks = {name: (graph.size, graph.outputs) for name, graph in graphs.items()}
    texts = {"given": claim.given, "show": claim.show}
    found = {}
    for key, expr in texts.items():
        try:
            found[key] = None if expr is None else normal(expr, sizes, networks, shown=key == "show")
        except ExpressionError as error:
            raise InputError([Fault(f"{key}: {error}", None, error.at + 1, claim.name)]) from error
    show = found["show"]
    assert show is not None
    return conjuncts(found["given"]), show


def _statement(expr: Expr, algebra: Forms, claim: Claim, key: str) -> Formula:
    try:
        value = fold(expr, algebra, {})
    except ExpressionError as error:
        raise InputError([Fault(f"{key}: {error}", None, error.at + 1, claim.name)]) from error
    assert isinstance(value, Formula)
    return value


def _inputs(names: tuple[str, ...], free: tuple[str, ...], eliminated: Mapping[str, Form]) -> dict[str, Form]:
    """Every component over the free variables, which are numbered in order of declaration."""
    places = {names.index(name): Form.of(0, i) for i, name in enumerate(free)}
    return {name: _substituted(eliminated.get(name, Form.of(0, i)), places) for i, name in enumerate(names)}


def _grouped(claim: Claim, inputs: Mapping[str, Form]) -> dict[str, Form | Vector]:
    return {
        v.name: inputs[v.name] if v.size is None else tuple(inputs[c] for c in v.components)
        for v in claim.variables
    }


def _eliminations(
    claim: Claim, given: tuple[Expr, ...]
) -> tuple[dict[str, Form], tuple[tuple[str, int], ...]]:
    """Each eliminated component as a form over all components, and the conjuncts that determine them in
    order."""
    identity = _identity(claim)
    names = list(identity)
    found: dict[int, Form] = {}
    order = []
    for number, part in enumerate(given):
        difference = _equality(part, claim, identity, len(names))
        if difference is None:
            continue
        difference = _substituted(difference, found)
        if not difference.terms:
            continue
        pivot = difference.terms[0][0][1]
        solution = _solved(difference, pivot)
        order.append((names[pivot], number))
        found = {i: _substituted(form, {pivot: solution}) for i, form in found.items()} | {pivot: solution}
    return {names[i]: form for i, form in sorted(found.items())}, tuple(order)


def _equality(part: Expr, claim: Claim, identity: Mapping[str, Form], size: int) -> Form | None:
    """`left - right` of a scalar equality that is linear in the variables alone; None for anything else."""
    if part.op != "==":
        return None
    program = Program([Free(size)])
    algebra = Forms(program, _grouped(claim, identity), {}, rounding=False)
    try:
        left, right = (fold(arg, algebra) for arg in part.args)
    except ExpressionError:
        return None
    if len(program.steps) > 1 or not isinstance(left, Form) or not isinstance(right, Form):
        return None
    return left - right


def _solved(difference: Form, pivot: int) -> Form:
    coefficient = dict(difference.terms)[0, pivot]
    return (difference - Form.of(0, pivot) * coefficient) * (-1 / coefficient)


def _substituted(form: Form, found: Mapping[int, Form]) -> Form:
    parts = (found.get(i, Form.of(step, i)) * value for (step, i), value in form.terms)
    return Form.total([Form(const=form.const), *parts])
