"""Two calls of one network, compared: claims that it never falls, or moves little where its inputs do.

Where a condition bounds how far two inputs lie apart, `x <= y` or `abs(x - y) <= c`, their difference d
becomes an input of its own, cut where the condition ends. A ReLU of the second call is that of the first plus
what lies between 0 and the difference of what they read (`twins`, with c = 1), which d decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from .expressions import Expr
from .formulas import Atom, flat
from .obligations import Obligation, bind
from .program import Affine, Program, Relu, Step
from .translation import Form
from .tree import Tree

NAME = "two calls compared"
Twin = tuple[int, int, Fraction]
Box = tuple[list[Fraction], list[Fraction]]


@dataclass(frozen=True)
class Limit:
    """d is at most `value` (`sign` 1), or -d is (-1), says part `part` of the formula: what it needs to be at
    least 0 falls by `slope` for each step that d takes beyond."""

    sign: int
    value: Fraction
    part: int
    slope: Fraction


@dataclass
class Comparison:
    """The claim with its differences as inputs, and a proof of it.

    Attributes:
        cuts: the head of the proof, each leaves the scope in its second half.
        closed: what closes these second halves, in the order in which they stand at the proof's end.
        scope: lower and upper ends of the free variables between the cuts.
        tree: the proof of what lies between the cuts.
    """

    obligation: Obligation
    cuts: list[Any]
    closed: list[Any]
    scope: Box
    tree: Tree = field(default_factory=Tree)

    def __post_init__(self) -> None:
        self.boxes = {0: self.scope}  # of the leaves

    def evidence(self) -> tuple[list[Any], list[int]]:
        """The proof in preorder, and the node of `tree` that each item belongs to (-1: none)."""
        names = list(self.obligation.inputs)
        places = [names.index(name) for name in self.obligation.free]
        items, owners = self.tree.evidence(self.obligation.program, places)
        rest = [-1] * len(self.closed)
        return [*self.cuts, *items, *self.closed], [-1] * len(self.cuts) + owners + rest

    def refine(self, nodes: list[int]) -> bool:
        """Cut leaves in two along the longest side, relative to the scope; whether all could be."""
        whole, (least, most) = self.obligation.whole, self.scope
        sizes = [(b - a) or Fraction(1) for a, b in zip(least, most, strict=True)]
        for number in nodes:
            low, high = self.boxes.pop(number)
            shares = [(b - a) / size for a, b, size in zip(low, high, sizes, strict=True)]
            side = max(range(len(shares)), key=lambda i: shares[i])
            if low[side] >= high[side]:
                return False
            value = (low[side] + high[side]) / 2
            value = Fraction(value // 1) if whole[side] else value
            first, second = self.tree.split(number, cut=(side, value))
            self.boxes[first] = low, [*high[:side], value, *high[side + 1 :]]
            self.boxes[second] = [*low[:side], value + whole[side], *low[side + 1 :]], high
        return True


def comparable(obligation: Obligation) -> bool:
    """Whether it calls a network twice, under a condition on how far the inputs lie apart."""
    plain = not obligation.definitions and not obligation.twins
    return plain and bool(_twins(obligation.program)) and bool(_differences(obligation))


def compared(obligation: Obligation) -> Comparison:
    """The obligation with differences as inputs and ReLUs as twins, and the start of a proof."""
    found = _differences(obligation)
    taken = {v.name for v in obligation.claim.variables}
    free = (name for k in range(len(taken) + len(found)) if (name := f"difference_{k}") not in taken)
    named = dict(zip(free, found, strict=False))
    definitions = {name: _written(form, obligation.free) for name, form in zip(named, found, strict=True)}
    bound = bind(obligation.claim, obligation.graphs, definitions)
    later = 2 * (len(bound.substitution) - len(obligation.substitution))
    units = {name: unit for unit, name in enumerate(bound.inputs, 1)}
    cuts, closed = list[Any](), list[Any]()
    low, high = list(bound.lo), list(bound.hi)
    for name, form in named.items():
        place = bound.free.index(name)
        for limit in found[form]:
            unit, value = limit.sign * units[name], limit.value
            value = Fraction(value // 1) if bound.whole[place] else value
            if limit.sign > 0:
                high[place] = min(high[place], value)
            else:
                low[place] = max(low[place], -value)
            cuts.append(["cut", unit, str(value)])
            told = {"sum": [[limit.part + later, "1"]], "cuts": [[unit, str(limit.slope)]]}
            closed.append({"slopes": [], **told})
    return Comparison(replace(bound, twins=_twins(bound.program)), cuts, closed[::-1], (low, high))


def _written(form: Form, free: tuple[str, ...]) -> Expr:
    """A form of free variables in the language of claims."""
    terms = [Expr("*", (Expr("number", value=value), _variable(free[i]))) for (_, i), value in form.terms]
    return Expr("+", tuple(terms))


def _variable(component: str) -> Expr:
    name, _, index = component.partition("[")
    named = Expr("name", name=name)
    return Expr("index", (named,), value=Fraction(index.rstrip("]"))) if index else named


def _differences(obligation: Obligation) -> dict[Form, list[Limit]]:
    """Forms of several free variables to which conditions put limits."""
    found: dict[Form, list[Limit]] = {}
    first = 2 * len(obligation.substitution)
    scope = len(flat(obligation.scope))
    for number, part in enumerate(flat(obligation.counterexample)[:scope]):
        if number < first or not isinstance(part, Atom):
            continue
        for form in _branches(obligation.program, part.form):
            if len(form.terms) < 2:
                continue
            slope = form.terms[0][1]
            limits = found.setdefault(Form(form.terms) * (1 / slope), [])
            sign = -1 if slope > 0 else 1
            limit = Limit(sign, sign * -form.const / slope, number, abs(slope))
            if all(other.sign != sign for other in limits):
                limits.append(limit)
    return found


def _branches(program: Program, form: Form) -> Iterator[Form]:
    """A form of free variables; or such a form and one ReLU of them, where it is on and where it is off."""
    ramps = [(step, i, value) for (step, i), value in form.terms if step]
    free = Form(tuple(term for term in form.terms if not term[0][0]), form.const)
    if not ramps:
        yield free
    elif len(ramps) == 1 and type(relu := program.steps[ramps[0][0]]) is Relu:
        affine = program.steps[relu.source]
        if isinstance(affine, Affine) and [source for source, _ in affine.terms] == [0]:
            _, i, value = ramps[0]
            row = affine.terms[0][1][i]
            terms = tuple(((0, k), Fraction(row[k])) for k in range(len(row)) if row[k])
            yield free
            yield free + Form(terms, Fraction(affine.const[i])) * value


def _twins(program: Program) -> tuple[Twin, ...]:
    """Every ReLU of a later call with the same ReLU of the first call of its network."""
    first: dict[int, int] = {0: 0}
    inputs = set[int]()
    twins = list[Twin]()
    for number, step in enumerate(program.steps[1:], 1):
        if isinstance(step, Affine) and [source for source, _ in step.terms] == [0]:
            inputs.add(number)
        alike = (k for k in range(1, number) if first[k] == k and _alike(program.steps[k], step, first))
        first[number] = next(alike, number)
        if type(step) is Relu and first[number] != number and step.source not in inputs:
            mine, other = (program.unit(n, 0) for n in (number, first[number]))
            twins += [(mine + i, other + i, Fraction(1)) for i in range(step.size)]
    return tuple(twins)


def _alike(one: Step, other: Step, first: dict[int, int]) -> bool:
    """Whether two steps do the same to what is alike; any two that read free variables alone are inputs."""
    if type(one) is not type(other) or one.size != other.size:
        return False
    if isinstance(one, Relu) and isinstance(other, Relu):
        return first[one.source] == first[other.source]
    if not isinstance(one, Affine) or not isinstance(other, Affine):
        return False
    sources = [[first[source] for source, _ in step.terms] for step in (one, other)]
    if sources == [[0], [0]]:
        return True
    pairs = zip(one.terms, other.terms, strict=True) if sources[0] == sources[1] else ()
    same = all(np.array_equal(a, b) for (_, a), (_, b) in pairs)
    return sources[0] == sources[1] and same and np.array_equal(one.const, other.const)
