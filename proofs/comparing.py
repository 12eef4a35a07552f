"""Two calls compared: of one network on inputs that lie near, and of a network and a copy that is near it.

Where a condition bounds how far two inputs lie apart, `x <= y` or `abs(x - y) <= c`, their difference d
becomes an input of its own, which ends where the condition ends. A ReLU of the second call is that of the
first plus what lies between 0 and the difference of what they read (`twins`, with c = 1), which d decides;
and so it is with a copy that was pruned or quantised, ReLU by ReLU (Paulsen et al. 2020, ReluDiff).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from .expressions import Expr
from .formulas import Atom, atoms, flat
from .maps import Matrix
from .obligations import Obligation, bind
from .pairing import Twin
from .program import Affine, Program, Relu, Step
from .translation import Form

NAME = "two calls compared"
_NEAR = 0.9
"""How far the weights of a copy may lie from those that it copies, relative to their length."""


def comparable(obligation: Obligation) -> bool:
    """Whether it calls a network and a copy of it, or one twice under a condition on how far the inputs lie
    apart, and something compares the numbers of both."""
    if obligation.definitions or obligation.twins:
        return False
    copies = len(obligation.claim.networks) > 1
    return (copies or bool(_differences(obligation))) and _meet(obligation)


def _meet(obligation: Obligation) -> bool:
    """Whether a step that does what an earlier one does is compared with it, or what each says."""
    first, read = _firsts(obligation.program), _read(obligation)
    read += [set[int]().union(*read)]
    read += [{source for source, _ in s.terms} for s in obligation.program.steps if isinstance(s, Affine)]
    return any(len({first[step] for step in steps}) < len(steps) for steps in read)


def apart(obligation: Obligation) -> bool:
    """Whether no atom speaks of two calls, so that only several together compare them: which output of each
    is the largest, for example."""
    read = _read(obligation)
    return all(len(steps) <= 1 for steps in read) and len(set[int]().union(*read)) > 1


def _read(obligation: Obligation) -> list[set[int]]:
    """The steps beyond the inputs that each atom speaks of."""
    forms = [atom.form for atom in atoms(obligation.counterexample)]
    return [{step for (step, _), _ in form.terms if step} for form in forms]


def compared(obligation: Obligation) -> Obligation:
    """The obligation with differences as inputs and ReLUs as twins."""
    found = _differences(obligation)
    taken = {v.name for v in obligation.claim.variables}
    free = (name for k in range(len(taken) + len(found)) if (name := f"difference_{k}") not in taken)
    named = dict(zip(free, found, strict=False))
    definitions = {name: _written(form, obligation.free) for name, form in named.items()}
    bound = bind(obligation.claim, obligation.graphs, definitions)
    return replace(bound, twins=_twins(bound.program))


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
    """Every ReLU of a later call with the same ReLU of the first call of its network, or of the network that
    its own is a copy of."""
    twins = list[Twin]()
    for number, same in _firsts(program).items():
        step = program.steps[number]
        if type(step) is Relu and same != number and not _reads_free(program.steps[step.source]):
            mine, other = (program.unit(n, 0) for n in (number, same))
            twins += [(mine + i, other + i, Fraction(1)) for i in range(step.size)]
    return tuple(twins)


def _firsts(program: Program) -> dict[int, int]:
    """The first step that does nearly the same as each step, to what is alike."""
    first, maps = {0: 0}, dict[int, _Map]()
    for number, step in enumerate(program.steps[1:], 1):
        if isinstance(step, Affine) and not _reads_free(step):
            maps[number] = _written_out(program, step, first, maps)
        apart = {k: _apart(program, k, number, first, maps) for k in range(1, number) if first[k] == k}
        nearest = min(apart, key=lambda k: apart[k], default=number)
        first[number] = nearest if apart.get(nearest, 1.0) <= _NEAR else number
    return first


def _reads_free(step: Step) -> bool:
    """Whether it reads free variables alone: inputs of a call, or what a claim says of them."""
    return isinstance(step, Affine) and [source for source, _ in step.terms] == [0]


_Map = dict[int, Matrix]
"""Matrices [rows, size] by the steps that they read, and constants [rows, 1] under CONST."""
_CONST = -1
_LARGEST = 1 << 24


def _written_out(program: Program, step: Affine, first: dict[int, int], maps: dict[int, _Map]) -> _Map:
    """A step in terms of what is not affine, or inputs of a call: so that folded norms, sums of residual
    streams and slices make no difference."""
    found: _Map = {_CONST: step.const.astype(np.float64)[:, None]}

    def add(source: int, matrix: Matrix) -> None:
        found[source] = found[source] + matrix if source in found else matrix

    for source, matrix in step.terms:
        dense, inner = matrix.astype(np.float64), maps.get(source, {})
        if inner and all(step.size * part.shape[1] <= _LARGEST for part in inner.values()):
            for leaf, part in inner.items():
                add(leaf, dense @ part)
        else:
            add(first[source], dense)
    return found


def _apart(program: Program, k: int, number: int, first: dict[int, int], maps: dict[int, _Map]) -> float:
    """How far two steps are from doing the same to what is alike: 0 to infinity. Any two that read free
    variables alone are inputs."""
    one, other = program.steps[k], program.steps[number]
    if type(one) is not type(other) or one.size != other.size:
        return np.inf
    if isinstance(one, Relu) and isinstance(other, Relu):
        return 0.0 if first[one.source] == first[other.source] else np.inf
    if not isinstance(one, Affine) or not isinstance(other, Affine):
        return np.inf
    if k not in maps or number not in maps:
        return 0.0 if k not in maps and number not in maps else np.inf
    if maps[k].keys() != maps[number].keys():
        return np.inf
    pairs = [(here, maps[number][source]) for source, here in maps[k].items()]
    between = sum(float(((here - there) ** 2).sum()) for here, there in pairs)
    length = sum(float((here**2).sum()) for here, _ in pairs)
    return float(np.sqrt(between / max(length, 1e-300))) if between else 0.0
