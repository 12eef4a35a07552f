"""Two calls of one network, compared: claims that it never falls, or moves little where its inputs do.

Where a condition bounds how far two inputs lie apart, `x <= y` or `abs(x - y) <= c`, their difference d
becomes an input of its own, which ends where the condition ends. A ReLU of the second call is that of the
first plus what lies between 0 and the difference of what they read (`twins`, with c = 1), which d decides.
"""

from __future__ import annotations

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


@dataclass
class Comparison:
    """The claim with its differences as inputs, and a proof of it, whose leaves lie in `boxes`."""

    obligation: Obligation
    tree: Tree = field(default_factory=Tree)

    def __post_init__(self) -> None:
        self.scope = [*self.obligation.lo], [*self.obligation.hi]
        self.boxes: dict[int, Box] = {0: self.scope}

    def evidence(self) -> tuple[list[Any], list[int]]:
        """The proof in preorder, and the node of `tree` that each item belongs to."""
        names = list(self.obligation.inputs)
        places = [names.index(name) for name in self.obligation.free]
        return self.tree.evidence(self.obligation.program, places)

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
    definitions = {name: _written(form, obligation.free) for name, form in named.items()}
    bound = bind(obligation.claim, obligation.graphs, definitions)
    return Comparison(replace(bound, twins=_twins(bound.program)))


def _written(form: Form, free: tuple[str, ...]) -> Expr:
    """A form of free variables in the language of claims."""
    terms = [Expr("*", (Expr("number", value=value), _variable(free[i]))) for (_, i), value in form.terms]
    return Expr("+", tuple(terms))


def _variable(component: str) -> Expr:
    name, _, index = component.partition("[")
    named = Expr("name", name=name)
    return Expr("index", (named,), value=Fraction(index.rstrip("]"))) if index else named


def _differences(obligation: Obligation) -> list[Form]:
    """Forms of several free variables to which conditions put limits, each once."""
    first, scope = 2 * len(obligation.substitution), len(flat(obligation.scope))
    parts = flat(obligation.counterexample)[first:scope]
    forms = [Form(part.form.terms) for part in parts if isinstance(part, Atom)]
    several = [f for f in forms if len(f.terms) > 1 and all(step == 0 for (step, _), _ in f.terms)]
    return list(dict.fromkeys(form * (1 / form.terms[0][1]) for form in several))


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
