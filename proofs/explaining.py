"""Proofs that a claim's lemmas make short."""

from __future__ import annotations

from dataclasses import replace

from .claims import Claim
from .obligations import Obligation
from .search import Deadline
from .stages.literals import NAME, Literals, bits_of
from .tasks import Task, checked, refuted
from .verdicts import Proved, Unknown, Verdict, Witness


def at_once(task: Task, obligation: Obligation) -> Verdict | None:
    """A proof without search, or None: by a matching, or over the bits of a Boolean abstraction."""
    if obligation.twins and (found := _matched(task, obligation)) is not None:
        return found
    names = booleans(task.claim)
    return _over_bits(task, obligation, names) if names else None


def booleans(claim: Claim) -> list[str]:
    """Variables that a lemma says to be 0 or 1."""
    texts = [text for lemma in claim.lemmas if lemma.kind == "boolean" for text in lemma.arguments.values()]
    return [name.strip() for text in texts for name in text.split(",")]


def _matched(task: Task, obligation: Obligation) -> Proved | None:
    """Without any case, by the bounds of the checker, which knows what a matching is worth."""
    judgement, certificate = checked(task, obligation, "proved", [0])
    told = f"{len(obligation.twins)} ReLUs are multiples of others"
    task.note(told if certificate else f"{told}, but {judgement.message[:100]}")
    return None if certificate is None else Proved(certificate)


def _over_bits(task: Task, obligation: Obligation, names: list[str]) -> Verdict | None:
    """By look-ahead over bits; what it refutes is a counterexample."""
    search = task.search(obligation)
    task.report(NAME)
    found = Literals(search, Deadline(task.deadline.left / 2), bits_of(search, names)).run()
    if isinstance(found, Witness):
        return refuted(task, replace(obligation, twins=()), found)
    if isinstance(found, Unknown):
        task.note(f"{NAME}: {found.reason}")
        return None
    judgement, certificate = checked(task, obligation, "proved", found)
    task.note(f"{NAME}: {judgement.leaves or judgement.message[:200]} leaves")
    return None if certificate is None else Proved(certificate)
