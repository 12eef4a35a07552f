"""Formulas over linear forms in negation normal form: what is left of a claim once it is bound to a
program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .maps import Matrix
from .translation import Form

MAX_ATOMS = 50_000


@dataclass(frozen=True)
class Atom:
    """`form` ≥ 0, or > 0 where `strict`."""

    form: Form
    strict: bool


@dataclass(frozen=True)
class Both:
    """All of `parts` hold."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Either:
    """At least one of `parts` holds."""

    parts: tuple[Formula, ...]


Formula = Atom | Both | Either


def negate(formula: Formula) -> Formula:
    """The opposite, in negation normal form."""
    if isinstance(formula, Atom):
        return Atom(-formula.form, not formula.strict)
    parts = tuple(map(negate, formula.parts))
    return Either(parts) if isinstance(formula, Both) else Both(parts)


def holds(formula: Formula, values: Sequence[Matrix]) -> bool:
    """Truth at a point where the steps of the program have exactly `values`."""
    if isinstance(formula, Atom):
        value = formula.form.at(values)
        return value > 0 or (value == 0 and not formula.strict)
    truths = (holds(part, values) for part in formula.parts)
    return all(truths) if isinstance(formula, Both) else any(truths)


def atoms(formula: Formula) -> Iterator[Atom]:
    """All atoms from left to right."""
    if isinstance(formula, Atom):
        yield formula
    else:
        for part in formula.parts:
            yield from atoms(part)


def flat(formula: Formula) -> list[Formula]:
    """The parts of a conjunction, and of the conjunctions in it, in order."""
    if isinstance(formula, Both):
        return [inner for part in formula.parts for inner in flat(part)]
    return [formula]


def choices(formula: Formula) -> list[Formula]:
    """The parts of a disjunction, and of the disjunctions in it, in order."""
    if isinstance(formula, Either):
        return [inner for part in formula.parts for inner in choices(part)]
    return [formula]
