"""Leaving out free variables that nothing reads, after a change of variables.

Where a network reads only the sum of its inputs, the single inputs matter only for the ranges that they keep
each other in; without these conditions the claim says more, and a proof needs to look at the sum alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .formulas import Atom, Both, Either, Formula, atoms
from .maps import Map, dense, placed, read_by
from .obligations import Obligation
from .program import Affine, Free, Function, Program, Relu
from .translation import Form

_TRUE = Atom(Form(), strict=False)


def narrowed(obligation: Obligation) -> Obligation:
    """The obligation over the variables that networks, conditions or what is shown read.

    Ranges of eliminated inputs that speak of others become trivial, so that parts keep their numbers. Of what
    is left out, `inputs` takes the least value.
    """
    ranges = 2 * len(obligation.substitution)
    parts = _parts(obligation.counterexample)
    kept = sorted(_read(obligation.program, parts[ranges:]) | _mentioned(parts[ranges:]))
    if len(kept) == len(obligation.free):
        return obligation
    places: dict[int, Form] = {old: Form.of(0, new) for new, old in enumerate(kept)}
    fixed = {i: Form(const=lo) for i, lo in enumerate(obligation.lo) if i not in places}
    useful = [_TRUE if fixed.keys() & _mentioned([part]) else part for part in parts[:ranges]]
    moved = [_moved(part, places) for part in (*useful, *parts[ranges:])]
    counterexample = Both(tuple(moved))
    return replace(
        obligation,
        program=_columns(obligation.program, kept),
        lo=tuple(obligation.lo[i] for i in kept),
        hi=tuple(obligation.hi[i] for i in kept),
        whole=tuple(obligation.whole[i] for i in kept),
        free=tuple(obligation.free[i] for i in kept),
        counterexample=counterexample,
        scope=Both(tuple(moved[:-1])),
        inputs={name: _form(form, places | fixed) for name, form in obligation.inputs.items()},
        limits=tuple(
            replace(limit, free=kept.index(limit.free)) for limit in obligation.limits if limit.free in kept
        ),
    )


def _parts(formula: Formula) -> list[Formula]:
    """Ranges, conditions one by one, and the opposite of what is shown."""
    assert isinstance(formula, Both)
    scope, opposite = formula.parts
    assert isinstance(scope, Both)
    return [*scope.parts, opposite]


def _read(program: Program, parts: list[Formula]) -> set[int]:
    """Free variables on which functions or atoms depend; through affine steps they may cancel."""
    n = program.size(0)
    every = np.arange(n)
    linear: dict[int, Map] = {0: placed((n, n), every, every, np.ones(n))}  # of steps that are more than 0
    read = np.zeros(n, dtype=bool)
    for number, step in enumerate(program.steps[1:], 1):
        if isinstance(step, Affine):
            parts_of = [m.astype(np.float64) @ linear[s] for s, m in step.terms if s in linear]
            if parts_of:
                linear[number] = sum(parts_of[1:], start=parts_of[0])
        elif isinstance(step, Relu | Function):
            for source in (step.source,) if isinstance(step, Relu) else step.sources:
                read |= read_by(linear[source]) if source in linear else False
    for form in (atom.form for part in parts for atom in atoms(part)):
        rows = (float(c) * dense(linear[s][[i]])[0] for (s, i), c in form.terms if s in linear)
        read |= sum(rows, start=np.zeros(n)) != 0
    return set(map(int, read.nonzero()[0]))


def _mentioned(parts: list[Formula]) -> set[int]:
    """Free variables in atoms."""
    return {i for part in parts for atom in atoms(part) for (step, i), _ in atom.form.terms if step == 0}


def _columns(program: Program, kept: list[int]) -> Program:
    steps = [
        replace(
            step,
            terms=tuple((s, m if s else m[:, kept]) for s, m in step.terms),
            sizes=tuple((s, m if s else m[:, kept]) for s, m in step.sizes),
        )
        if isinstance(step, Affine)
        else step
        for step in program.steps[1:]
    ]
    return Program([Free(len(kept)), *steps], program.declared)


def _moved(formula: Formula, places: Mapping[int, Form]) -> Formula:
    if isinstance(formula, Atom):
        return Atom(_form(formula.form, places), formula.strict)
    parts = tuple(_moved(part, places) for part in formula.parts)
    return Both(parts) if isinstance(formula, Both) else Either(parts)


def _form(form: Form, places: Mapping[int, Form]) -> Form:
    kept = Form(tuple(term for term in form.terms if term[0][0]), form.const)
    return Form.total([kept, *(places[i] * value for (step, i), value in form.terms if not step)])
