"""The ways for a counterexample to exist: what is left of its formula where disjunctions are taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assay.proofs.formulas import Atom, Either, Formula, choices, flat

MAX_CASES = 128


@dataclass(frozen=True)
class Case:
    """One way for a counterexample to exist.

    Attributes:
        atoms: what has to hold, each with its number among the checker's parts.
        own: how many of the last atoms are the case's own; the others are conditions.
        head: items that take disjunctions apart, before the first of the cases that they lead to.
    """

    atoms: tuple[tuple[int, Atom], ...]
    own: int
    head: tuple[Any, ...] = ()

    @property
    def strict(self) -> tuple[bool, ...]:
        """Which atoms have to be above 0."""
        return tuple(atom.strict for _, atom in self.atoms)


class Cases:
    """The cases of the last disjunction of a formula, or of `all` of them, with those within; or the formula
    itself.

    Attributes:
        parts: of the formula, which all have to hold.
        listed: the cases, in the order in which the checker comes to them.
    """

    def __init__(self, formula: Formula, *, all: bool = False) -> None:
        self.parts = flat(formula)
        k = _last(self.parts, 0)
        if k is None:
            self.listed = [_whole(self.parts)]
        elif all and _count(formula) <= MAX_CASES:
            self.listed = _expanded(self.parts, k, 0, True)
        else:
            few = _count(self.parts[k]) <= MAX_CASES
            self.listed = _expanded(self.parts, k, len(self.parts) - 1, few)

    @property
    def few(self) -> bool:
        """Whether there are few enough."""
        return 0 < len(self.listed) <= MAX_CASES


def _whole(parts: list[Formula]) -> Case:
    """A formula without disjunctions: what speaks of networks comes last."""
    numbered = [(k, part) for k, part in enumerate(parts) if isinstance(part, Atom)]
    numbered.sort(key=lambda pair: _of_network(pair[1]))
    return Case(tuple(numbered), sum(_of_network(part) for _, part in numbered) or 1)


def _of_network(atom: Atom) -> bool:
    """Whether it speaks of more than the free variables."""
    return any(step for (step, _), _ in atom.form.terms)


def _last(parts: list[Formula], first: int) -> int | None:
    """Number of the last disjunction behind the `first` parts."""
    found = [k for k, part in enumerate(parts) if k >= first and isinstance(part, Either)]
    return found[-1] if found else None


def _expanded(
    parts: list[Formula], k: int, conditions: int, deep: bool, head: tuple[Any, ...] = ()
) -> list[Case]:
    """The cases of disjunction k, and where `deep` of those that are left behind the conditions."""
    kept, found = parts[:k] + parts[k + 1 :], list[Case]()
    head = (*head, ["case", k])
    for part in choices(parts[k]):
        inner = [*kept, *flat(part)]
        following = _last(inner, conditions) if deep else None
        if following is None:
            numbered = tuple((n, part) for n, part in enumerate(inner) if isinstance(part, Atom))
            found.append(Case(numbered, sum(n >= conditions for n, _ in numbered), head))
        else:
            found += _expanded(inner, following, conditions, deep, head)
        head = ()
    return found


def _count(formula: Formula) -> int:
    """How many cases there are where the last disjunction, and those in it, are taken apart."""
    if isinstance(formula, Atom):
        return 1
    if isinstance(formula, Either):
        return sum(map(_count, choices(formula)))
    total = 1
    for part in flat(formula):
        total *= _count(part) if isinstance(part, Either) else 1
    return total
