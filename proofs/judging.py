"""Judge one claim, with its lemmas and without, by the ladder or by running every input; tell what is found,
with its lengths."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from . import explaining, lemmas, plans, rungs
from .claims import Claim
from .obligations import Obligation, bind
from .remembered import candidates
from .search import Deadline, Search
from .stages import enumeration, falsify
from .tasks import Task
from .verdicts import Certificate, Lengths, Outcome, Proved, Refuted, Unknown, Verdict

_COMPARED = 2.0
"""Seconds that the proof without lemmas may take at least, where there is one with them."""


@dataclass
class Found:
    """What came of a claim, and what its lengths are computed from."""

    verdict: Verdict = field(default_factory=lambda: Unknown("lowering", "nothing was tried"))
    stage: str = "lowering"
    obligation: Obligation | None = None
    explained: Proved | None = None
    counted: Mapping[str, int] | None = None

    @property
    def certificate(self) -> Certificate | None:
        """That of the verdict."""
        return None if isinstance(self.verdict, Unknown) else self.verdict.certificate


def judged(task: Task, found: Found) -> None:
    """Judge one claim, into `found`; where it is stopped, what `task.partial` was told last stands."""
    obligation = found.obligation
    if task.claim.kind == "accuracy":
        _count(task, found)
    elif obligation is None:
        found.verdict, found.stage = _finite(task)
    elif task.claim.lemmas:
        _explained(task, obligation, found)
    else:
        found.verdict, found.stage = _ladder(task, obligation)


def _explained(task: Task, obligation: Obligation, found: Found) -> None:
    """With the claim's lemmas; and, to compare, without them."""
    before, cpu = task.deadline.left, sum(os.times()[:4])
    explained = _with_lemmas(task)
    if explained is None:
        found.verdict, found.stage = _ladder(task, obligation)
        found.verdict = _with_open_lemmas(task.claim, found.verdict)
        return
    found.verdict, found.stage = explained, plans.LEMMAS
    if isinstance(explained, Refuted):
        return
    found.explained, spent = explained, before - task.deadline.left
    cpu = sum(os.times()[:4]) - cpu
    task.note(f"with lemmas: proved and checked in {spent:.2f} s, {cpu:.2f} s of them computing")
    task.partial(explained)
    verdict, stage = _without_lemmas(task, obligation, spent)
    if not isinstance(verdict, Unknown) and not verdict.trusted:
        found.verdict, found.stage = verdict, stage


def planned(task: Task, obligation: Obligation | None, search: Search | None = None) -> plans.Plan:
    """The stages that are tried on a claim; `search` is that of its obligation, if there is one already."""
    seconds = task.deadline.left
    if task.claim.kind == "accuracy":
        return plans.planned_in_torch(task.claim, seconds, "an accuracy is counted")
    if obligation is None:
        return plans.planned_in_torch(task.claim, seconds, f"unsupported: {task.unsupported}")
    if task.claim.semantics == "float32" and (reason := _not_single(task)):
        return plans.Plan(task.claim.name, task.claim.text, (), (("all", reason),))
    held = task.recall and any(True for _ in candidates(obligation, task.digests, task.folder))
    return plans.planned(search or task.search(obligation), seconds, recheck=held)


def _count(task: Task, found: Found) -> None:
    """Judge an accuracy."""

    def prove(claim: Claim) -> Verdict:
        changed = replace(task, claim=claim, partial=_unheard)
        return _ladder(changed, bind(claim, task.graphs or {}))[0]

    found.stage = enumeration.NAME
    if planned(task, found.obligation).steps:
        found.verdict, found.counted = rungs.counted(task, prove if found.obligation else None)
    else:
        found.verdict = _too_large(task, "scope too large to be counted")


def _finite(task: Task) -> tuple[Verdict, str]:
    """Networks without an exact form: every input of a finite scope, in torch."""
    if planned(task, None).steps:
        return rungs.in_torch(task)
    return _too_large(task, f"unsupported: {task.unsupported}"), "lowering"


def _too_large(task: Task, reason: str) -> Unknown:
    total = enumeration.size_of(task.claim)
    told = "a finite scope" if total is None else f"a scope of at most {plans.ENUMERABLE} inputs, not {total}"
    return Unknown(enumeration.NAME, reason, needed=told)


def _with_lemmas(task: Task) -> Proved | Refuted | None:
    """A proof or counterexample by the claim's lemmas, in half of the budget; None where there is none."""
    changed = replace(
        task,
        deadline=Deadline(task.deadline.left / 2),
        note=lambda line: task.note(f"with lemmas: {line}"),
        partial=_unheard,
    )
    obligation = lemmas.explained(task.claim, task.graphs or {})
    verdict = explaining.at_once(changed, obligation) or _ladder(changed, obligation, hurry=True)[0]
    if isinstance(verdict, Refuted):
        return verdict
    if not isinstance(verdict, Proved):
        task.note(f"with lemmas: {getattr(verdict, 'reason', 'not proved')}")
        return None
    return verdict


def _with_open_lemmas(claim: Claim, verdict: Verdict) -> Verdict:
    """Unknown where the claim's lemmas did not prove it either: that is part of the reason."""
    if not isinstance(verdict, Unknown) or not claim.lemmas:
        return verdict
    names = ", ".join(f"{k} ({lemma.kind})" for k, lemma in enumerate(claim.lemmas, 1))
    needed = "; ".join(filter(None, ["another lemma, or more time for it", verdict.needed]))
    return replace(verdict, reason=f"lemma {names} open; {verdict.reason}", needed=needed)


def _without_lemmas(task: Task, obligation: Obligation, spent: float) -> tuple[Verdict, str]:
    """The same proof without them, to compare: not for longer than three times what was `spent` with them."""
    seconds = min(task.deadline.left, max(_COMPARED, 3 * spent))
    changed = replace(
        task,
        deadline=Deadline(seconds),
        note=lambda line: task.note(f"without lemmas, in {seconds:.1f} s: {line}"),
        partial=_unheard,
    )
    return _ladder(changed, obligation)


def _unheard(verdict: Verdict) -> None:
    """What is found on the way to something else is no part of the outcome."""


def _existence(verdict: Verdict) -> Verdict:
    """The verdict on "somewhere not", from that on "everywhere"."""
    if isinstance(verdict, Refuted):
        return Proved(verdict.certificate, verdict.trusted, verdict.witness)
    if isinstance(verdict, Proved):
        reason = "there is no such input: the circuit is not necessary on this scope"
        return Unknown("necessity", reason, needed="a larger scope, or another circuit")
    return verdict


def _ladder(task: Task, obligation: Obligation, hurry: bool = False) -> tuple[Verdict, str]:
    """The stages in the order of the plan, each until it decides or gives up; in a hurry none looks for
    counterexamples only."""
    if task.claim.semantics == "float32" and (reason := _not_single(task)):
        needed = "float32 weights and inputs that a float32 holds"
        return Unknown("lowering", reason, needed=needed), "lowering"
    search = task.search(obligation)
    plan = planned(task, obligation, search)
    kept = tuple(step for step in plan.steps if not (hurry and step.stage == falsify.NAME))
    verdict, stage = rungs.climb(task, search, replace(plan, steps=kept))
    return _mindful(task, obligation, verdict), stage


def _mindful(task: Task, obligation: Obligation, verdict: Verdict) -> Verdict:
    """A verdict on inputs that no float32 network can be given says so."""
    missed = obligation.unreachable() if task.claim.semantics == "float32" else []
    if not missed:
        return verdict
    more = f" and {len(missed) - 3} more" if missed[3:] else ""
    told = f"no float32 lies in the range of {', '.join(missed[:3])}{more}"
    if isinstance(verdict, Unknown):
        needed = 'ranges that hold float32 numbers, or semantics = "real"'
        return replace(verdict, reason=f"{told}; {verdict.reason}", needed=needed)
    task.note(f"{told}: what is proved is of no input that the network can be given")
    return verdict


def _not_single(task: Task) -> str:
    graphs = task.graphs or {}
    doubles = [name for name, graph in graphs.items() if not graph.single]
    if doubles:
        return f"weights of {', '.join(doubles)} are not float32"
    wide = [v.name for v in task.claim.variables if v.whole and max(-v.lo, v.hi) > 2**24]
    return f"whole numbers of {', '.join(wide)} beyond 2^24 are no float32" if wide else ""


def told(task: Task, found: Found) -> Outcome:
    """What is said of a claim."""
    claim = task.claim
    return Outcome(
        name=claim.name,
        text=claim.text,
        verdict=_existence(found.verdict) if claim.kind == "necessary" else found.verdict,
        seconds=time.monotonic() - task.deadline.start,
        stage=found.stage,
        lengths=lengths(claim, found),
        counted=found.counted,
        kind=claim.kind,
        epsilon=claim.epsilon,
        digests={name: network.digest for name, network in task.networks.items()},
        outputs={name: graph.outputs for name, graph in (task.graphs or {}).items()},
    )


def lengths(claim: Claim, found: Found) -> Lengths:
    """How long the proof is, and how long the list of inputs."""
    obligation, certificate = found.obligation, found.certificate
    explained = found.explained.certificate if found.explained else None
    box = enumeration.size_of(claim)
    listed = obligation.points() if obligation is not None else box
    cost = obligation.program.multiplications() if obligation is not None else 0
    return Lengths(
        certificate_bits=certificate.bits if certificate else None,
        operations=certificate.operations if certificate else None,
        list_inputs=listed,
        box_inputs=box,
        list_operations=listed * cost if listed is not None and cost else None,
        lemma_bits=explained.bits if explained else None,
        lemma_operations=explained.operations if explained else None,
    )


__all__ = ["Found", "judged", "lengths", "planned", "told"]
