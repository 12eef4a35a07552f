"""The rungs of the ladder: each tries one stage, and gives a verdict, or None where the next has to go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from . import accuracies, comparing, plans
from .bounds import Bounds
from .claims import Claim
from .formulas import atoms
from .obligations import Obligation
from .replay import torch_answers
from .search import Deadline, Search, confirmed, fuzzy
from .stages import enumeration, falsify, smt, split
from .tasks import Task, checked, rechecked, refuted
from .tree import Tree
from .verdicts import RECHECK, Proved, Unknown, Verdict, Witness

_SELDOM = 0.5
"""Seconds between two accounts of what is proved so far."""
Rung = Callable[[Task, Search, Deadline], Verdict | None]


def climb(task: Task, search: Search, plan: plans.Plan) -> tuple[Verdict, str]:
    """Try the stages of a plan in order; the verdict, and the stage that gave it."""
    best: Unknown | None = None
    for step in plan.steps:
        if step.stage not in RUNGS or (task.deadline.over and best is not None):
            continue
        if step.stage == split.NAME and best and (best.stage, best.cause) == (plans.LISTING, "float32 slack"):
            task.note(f"{split.NAME}: left out, boxes cannot close what their points leave open")
            continue
        task.report(step.stage)
        verdict = RUNGS[step.stage](task, search, Deadline(min(step.seconds, task.deadline.left)))
        if verdict is not None and not isinstance(verdict, Unknown):
            return verdict, step.stage
        if verdict is not None:
            task.note(f"{step.stage}: {verdict.reason}")
            best = _further(best, verdict)
            task.partial(best)
    for stage, why in plan.left_out:
        task.note(f"{stage}: left out, {why}")
    return best or Unknown(split.NAME, "timeout", needed="a larger budget"), (
        best.stage if best else split.NAME
    )


def _further(best: Unknown | None, verdict: Unknown) -> Unknown:
    """The one that leaves less open."""
    left = [1.0 if u is None or u.open_fraction is None else u.open_fraction for u in (best, verdict)]
    return verdict if best is None or left[1] < left[0] else best


def _recheck(task: Task, search: Search, deadline: Deadline) -> Verdict | None:
    return rechecked(task, search.obligation)


def _falsify(task: Task, search: Search, deadline: Deadline) -> Verdict | None:
    witness = falsify.falsify(replace(search, deadline=deadline))
    if witness is not None:
        return refuted(task, search.obligation, witness)
    task.note(f"{falsify.NAME}: no counterexample found")
    return None


def _sweep(task: Task, search: Search, deadline: Deadline) -> Verdict | None:
    """Every input that the condition leaves, through torch; what fails is replayed."""
    found = accuracies.sweep(search, deadline)
    if isinstance(found, Witness):
        return refuted(task, search.obligation, found)
    task.note(f"{plans.SWEEP}: {found} inputs were run, none fails")
    return None


def _compared(task: Task, search: Search, deadline: Deadline) -> Verdict | None:
    """Two calls by their differences, where these are known better than the calls."""
    near = task.search(comparing.compared(search.obligation))
    told = f"{len(near.obligation.twins)} ReLUs by what lies between them and others"
    together = comparing.apart(near.obligation)
    if near.claim.networks[1:] and not together and _at_once(near) > _at_once(search):
        task.note(f"{comparing.NAME}: {told} would say too little")
        return None
    task.note(f"{comparing.NAME}: {told}")
    verdict = _split(task, near, deadline, comparing.NAME)
    return replace(verdict, stage=comparing.NAME) if isinstance(verdict, Unknown) else verdict


def _at_once(search: Search) -> float:
    """How far the bounds of the whole scope are from refuting a counterexample: below 0 they do."""
    formula = search.obligation.counterexample
    rows = search.batch.rows([atom.form for atom in atoms(formula)])
    with torch.no_grad():
        top, _ = Bounds(search.batch, search.lo[None], search.hi[None]).upper(rows)
    return float(fuzzy(formula, top))


def _split(task: Task, search: Search, deadline: Deadline, stage: str = split.NAME) -> Verdict | None:
    """Bounds and splitting; what the checker does not accept is bounded with more care."""
    said = time.monotonic()

    def report(line: str) -> None:
        nonlocal said
        search.report(line)
        if time.monotonic() > said + _SELDOM:
            said = time.monotonic()
            task.partial(splitter.unknown("stopped", "a larger budget"))

    splitter = split.Splitter(replace(search, report=report), deadline)
    while True:
        task.report(stage)
        result = splitter.run()
        if isinstance(result, Unknown):
            return result
        if isinstance(result, Witness):
            return refuted(task, search.obligation, result)
        evidence, owners = _evidence(search.obligation, result)
        judgement, certificate = checked(task, search.obligation, "proved", evidence)
        if certificate is not None:
            task.note(f"{stage}: {judgement.leaves} leaves")
            return Proved(certificate)
        if not judgement.rejected or task.deadline.over:
            return Unknown(split.NAME, f"checker rejected: {judgement.message[:200]}")
        task.note(f"checker sent back {len(judgement.rejected)} leaves")
        splitter.reopen(sorted({owners[k] for k in judgement.rejected}))


def _evidence(obligation: Obligation, tree: Tree) -> tuple[list[object], list[int]]:
    names = list(obligation.inputs)
    return tree.evidence(obligation.program, [names.index(name) for name in obligation.free])


def _points(task: Task, search: Search, deadline: Deadline) -> Verdict | None:
    """A certificate that lists every input: the checker decides."""
    names = list(search.obligation.inputs)
    units = [1 + names.index(name) for name in search.obligation.free]
    listed = [{"points": units}]
    judgement, certificate = checked(replace(task, deadline=deadline), search.obligation, "proved", listed)
    if certificate is not None:
        return Proved(certificate)
    stayed_open = judgement.rejected or ": ValueError: " in judgement.message  # a root of what may be below 0
    if stayed_open and task.claim.semantics == "float32":
        reason = f"float32 slack leaves inputs open that are enclosed alone: {judgement.message[:200]}"
        return Unknown(plans.LISTING, reason, needed="a larger margin in the claim, or fewer layers")
    return Unknown(plans.LISTING, f"checker rejected: {judgement.message[:200]}")


def _in_torch(task: Task, search: Search, deadline: Deadline) -> Verdict | None:
    return in_torch(task)[0]


def _z3(task: Task, search: Search, deadline: Deadline) -> Verdict | None:
    last = smt.solve(search, task.deadline.left)
    return refuted(task, search.obligation, last) if isinstance(last, Witness) else last


RUNGS: dict[str, Rung] = {
    RECHECK: _recheck,
    falsify.NAME: _falsify,
    plans.SWEEP: _sweep,
    comparing.NAME: _compared,
    split.NAME: _split,
    smt.NAME: _z3,
    plans.LISTING: _points,
    enumeration.NAME: _in_torch,
}


def in_torch(task: Task) -> tuple[Verdict, str]:
    """Networks without an exact form: every input of a finite scope, in torch."""
    result = enumeration.enumerate_scope(
        task.claim, task.runs, task.shapes, task.deadline, task.report, batch_size(task)
    )
    if isinstance(result, Unknown):
        return result, enumeration.NAME
    if isinstance(result, enumeration.Counted):
        task.note(f"{result.in_scope} of {result.inputs} inputs are in scope, all were run")
        return Proved(None, ("torch's arithmetic, as run here on every input",)), enumeration.NAME
    answers = torch_answers(task.runs, task.shapes)
    witness = confirmed(replace(task.claim, semantics="float32"), result, answers, answers)
    if witness is None:
        reason = f"a counterexample did not replay one by one: {result}"
        return Unknown(enumeration.NAME, reason), enumeration.NAME
    return refuted(task, None, witness), enumeration.NAME


def counted(task: Task, prove: Callable[[Claim], Verdict] | None) -> tuple[Verdict, dict[str, int] | None]:
    """An accuracy: every input is counted; `prove` certifies claims where networks have an exact form."""
    found = accuracies.count(task.claim, task.runs, task.shapes, task.deadline, task.report, batch_size(task))
    if isinstance(found, Unknown):
        return found, None
    numbers = {"in_scope": found.in_scope, "right": found.right}
    task.note(f"right on {found.right} of {found.in_scope} inputs in scope")
    if not found.in_scope:
        return Unknown(enumeration.NAME, "no input is in scope", needed="another condition"), numbers
    if found.share < (task.claim.at_least or 0):
        answers = torch_answers(task.runs, task.shapes)
        witness = confirmed(replace(task.claim, semantics="float32"), found.wrong[0], answers, answers)
        if witness is None:
            return Unknown(enumeration.NAME, "a wrong input did not replay one by one"), numbers
        return refuted(task, None, witness), numbers
    return accuracies.certified(task.claim, found, prove), numbers


def batch_size(task: Task) -> int:
    """Inputs that are run at once, by a rough bound of what one occupies on its way."""
    parameters = (p for network in task.networks.values() for p in network.module.parameters())
    weights = sum(p.numel() for p in parameters)
    return max(1, min(1 << 15, task.memory // 8 // max(1024, 64 * int(weights**0.5) * 16)))
