"""Judge claims: the ladder of stages, and the outcome with its lengths."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from assay.models import Network

from . import claim_files, explaining, lemmas, plans, rungs
from .budgets import Hear, OutOfMemory, OutOfTime, confined
from .claims import Claim
from .faults import Fault, InputError
from .networks import ClaimNetworks, scope_mass
from .obligations import Obligation, bind
from .remembered import candidates
from .search import Deadline
from .stages import enumeration, falsify
from .tasks import Task
from .verdicts import Certificate, Lengths, Outcome, Proved, Refuted, Unknown, Verdict

Progress = Callable[[str, str], None]
"""Called with the claim's name and a line about what is being done."""

Source = str | Path | claim_files.ClaimFile | Iterable[Claim]

MEMORY = 4 << 30
_COMPARED = 2.0
"""Seconds that the proof without lemmas may take at least, where there is one with them."""
_GRACE = 1.25
"""By how much the hard limit of time lies above the budget, which stages keep themselves; and 1 s more."""


@dataclass(frozen=True)
class _Terms:
    """How claims are verified; see `verify`."""

    budget_s: float
    memory: int
    seed: int
    folder: Path
    keep: bool
    recall: bool
    progress: Progress | None
    device: str


def verify(
    path_or_claims: Source,
    *,
    budget_s: float = 60.0,
    memory: int = MEMORY,
    seed: int = 0,
    certificates: Path | None = None,
    recall: bool = True,
    progress: Progress | None = None,
    base: Path | None = None,
    networks: Mapping[str, Network] | None = None,
    device: str = "cpu",
) -> list[Outcome]:
    """Verify a claim file, or claims.

    Args:
        path_or_claims: a path to a TOML file, what `claim_files.read` gives, or claims.
        budget_s: wall seconds per claim.
        memory: bytes beyond what is held that a claim may take, here and in each child process.
        seed: of the search for counterexamples.
        certificates: folder to write certificates and weights to; None keeps nothing.
        recall: whether a certificate in that folder, of the same claim and weights, is checked again instead
            of being searched for again.
        progress: called with the claim's name and what is being done.
        base: folder that model paths are relative to; by default the file's own.
        networks: networks by the name they have in the claims, instead of loading `models`.
        device: where bounds are computed, "cpu" or "cuda".

    Raises:
        InputError: claims that cannot be read or do not fit their networks, with all faults at once.
    """
    todo, loaded, data = _loaded(path_or_claims, base, networks)
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch, _one_thread():
        folder = certificates or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        keep = certificates is not None
        terms = _Terms(budget_s, memory, seed, folder, keep, keep and recall, progress, device)
        return [_outcome(claim, loaded, data, terms) for claim in todo]


def plan(
    path_or_claims: Source,
    *,
    budget_s: float = 60.0,
    certificates: Path | None = None,
    recall: bool = True,
    base: Path | None = None,
    networks: Mapping[str, Network] | None = None,
) -> list[plans.Plan]:
    """The stages that `verify` would try on each claim, in order; nothing is run.

    Raises:
        InputError: as for `verify`.
    """
    todo, loaded, _ = _loaded(path_or_claims, base, networks)
    folder = certificates if certificates and certificates.is_dir() else None
    with _one_thread():
        made = []
        for claim in todo:
            terms = _Terms(budget_s, MEMORY, 0, folder or Path(), False, recall and bool(folder), None, "cpu")
            task = _task(claim, loaded, terms, lambda line: None, lambda line: None)
            obligation = bind(claim, task.graphs) if task.graphs is not None else None
            made.append(_plan(task, obligation))
        return made


def _loaded(
    source: Source, base: Path | None, networks: Mapping[str, Network] | None
) -> tuple[list[Claim], ClaimNetworks, str | None]:
    file = claim_files.read(source) if isinstance(source, str | Path) else source
    whole = isinstance(file, claim_files.ClaimFile)
    todo = list(file.claims if isinstance(file, claim_files.ClaimFile) else file)
    place = base or (file.base if isinstance(file, claim_files.ClaimFile) else None)
    loaded = ClaimNetworks(place, dict(networks or {}))
    faults: list[Fault] = []
    for claim in todo:
        found = loaded.faults(claim)
        faults += file.located(claim, found) if isinstance(file, claim_files.ClaimFile) else found
    if faults:
        raise InputError(dict.fromkeys(faults) if whole else faults)
    return todo, loaded, file.data if isinstance(file, claim_files.ClaimFile) else None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small products: more threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _task(
    claim: Claim,
    loaded: ClaimNetworks,
    terms: _Terms,
    report: Callable[[str], None],
    note: Callable[[str], None],
) -> Task:
    graphs, reasons = loaded.graphs(claim)
    return Task(
        claim,
        {name: loaded.network(claim, name) for name in claim.networks},
        loaded.runs(claim),
        graphs,
        reasons,
        Deadline(terms.budget_s),
        terms.memory,
        terms.seed,
        terms.folder,
        terms.keep,
        terms.recall,
        report,
        note,
        terms.device,
    )


def _outcome(claim: Claim, loaded: ClaimNetworks, data: str | None, terms: _Terms) -> Outcome:
    """Judge a claim in a child process, under hard limits."""
    start, now = time.monotonic(), ["lowering"]
    log: list[str] = []

    def hear(kind: str, line: str) -> None:
        now[0] = line if line in rungs.RUNGS else now[0]
        if kind == "note":
            log.append(line)
        elif terms.progress is not None:
            terms.progress(claim.name, line)

    def work(say: Hear) -> Outcome:
        task = _task(claim, loaded, terms, lambda line: say("report", line), lambda line: say("note", line))
        return _told(_judged(task), task, start)

    memory = terms.memory if terms.device == "cpu" else None
    try:
        outcome = confined(work, hear, _GRACE * terms.budget_s + 1, memory)
    except OutOfTime:
        stopped = Unknown(now[0], "timeout: stopped hard", needed="a larger budget")
        outcome = _stopped(claim, stopped, start)
    except OverflowError:
        reason = "numbers that are beyond floating point where they are put together"
        outcome = _stopped(claim, Unknown(now[0], reason, needed="numbers of fewer digits"), start)
    except OutOfMemory:
        reason = f"memory: more than {terms.memory} bytes were asked for"
        needed = "a larger limit of memory, or a smaller scope"
        outcome = _stopped(claim, Unknown(now[0], reason, needed=needed), start)
    networks = {name: loaded.network(claim, name) for name in claim.networks}
    mass = scope_mass(claim, networks, data, terms.seed) if data else None
    return replace(outcome, mass=mass, log=tuple(log))


def _told(found: _Found, task: Task, start: float) -> Outcome:
    claim = task.claim
    return Outcome(
        name=claim.name,
        text=claim.text,
        verdict=found.verdict,
        seconds=time.monotonic() - start,
        stage=found.stage,
        lengths=_lengths(claim, found),
        counted=found.counted,
        kind=claim.kind,
        epsilon=claim.epsilon,
        digests={name: network.digest for name, network in task.networks.items()},
        outputs={name: graph.outputs for name, graph in (task.graphs or {}).items()},
    )


def _stopped(claim: Claim, verdict: Unknown, start: float) -> Outcome:
    """What is left to say of work that was stopped."""
    seconds = time.monotonic() - start
    lengths = _lengths(claim, _Found())
    return Outcome(claim.name, claim.text, verdict, seconds, verdict.stage, lengths, kind=claim.kind)


@dataclass
class _Found:
    """What came of a claim, and what its lengths are computed from."""

    verdict: Verdict = field(default_factory=lambda: Unknown("lowering", "nothing was tried"))
    stage: str = "lowering"
    obligation: Obligation | None = None
    certificate: Certificate | None = None
    explained: Proved | None = None
    counted: Mapping[str, int] | None = None


def _judged(task: Task) -> _Found:
    """Judge one claim."""
    obligation = bind(task.claim, task.graphs) if task.graphs is not None else None
    found = _Found(obligation=obligation)
    if task.claim.kind == "accuracy":
        _count(task, found)
    elif obligation is None:
        found.verdict, found.stage = _finite(task)
    else:
        before, cpu = task.deadline.left, sum(os.times()[:4])
        explained = _with_lemmas(task) if task.claim.lemmas else None
        if explained is None:
            found.verdict, found.stage = _ladder(task, obligation)
            found.verdict = _with_open_lemmas(task.claim, found.verdict)
        elif isinstance(explained, Refuted):
            found.verdict, found.stage = explained, plans.LEMMAS
        else:
            found.explained, spent = explained, before - task.deadline.left
            cpu = sum(os.times()[:4]) - cpu
            task.note(f"with lemmas: proved and checked in {spent:.2f} s, {cpu:.2f} s of them computing")
            found.verdict, found.stage = _without_lemmas(task, obligation, spent)
    uncertain = isinstance(found.verdict, Unknown) or bool(found.verdict.trusted)
    if uncertain and found.explained is not None:
        found.verdict, found.stage = found.explained, plans.LEMMAS
    if isinstance(found.verdict, Proved | Refuted):
        found.certificate = found.verdict.certificate
    if task.claim.kind == "necessary":
        found.verdict = _existence(found.verdict)
    return found


def _plan(task: Task, obligation: Obligation | None) -> plans.Plan:
    seconds = task.deadline.left
    if task.claim.kind == "accuracy":
        return plans.planned_in_torch(task.claim, seconds, "an accuracy is counted")
    if obligation is None:
        return plans.planned_in_torch(task.claim, seconds, f"unsupported: {task.unsupported}")
    if task.claim.semantics == "float32" and (reason := _not_single(task)):
        return plans.Plan(task.claim.name, task.claim.text, (), (("all", reason),))
    held = task.recall and any(True for _ in candidates(obligation, task.digests, task.folder))
    return plans.planned(task.search(obligation), seconds, recheck=held)


def _count(task: Task, found: _Found) -> None:
    """Judge an accuracy."""

    def prove(claim: Claim) -> Verdict:
        changed = replace(task, claim=claim)
        return _ladder(changed, bind(claim, task.graphs or {}))[0]

    found.stage = enumeration.NAME
    if _plan(task, found.obligation).steps:
        found.verdict, found.counted = rungs.counted(task, prove if found.obligation else None)
    else:
        found.verdict = _too_large(task, "scope too large to be counted")


def _finite(task: Task) -> tuple[Verdict, str]:
    """Networks without an exact form: every input of a finite scope, in torch."""
    if _plan(task, None).steps:
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
    )
    return _ladder(changed, obligation)


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
    plan = _plan(task, obligation)
    kept = tuple(step for step in plan.steps if not (hurry and step.stage == falsify.NAME))
    return rungs.climb(task, task.search(obligation), replace(plan, steps=kept))


def _not_single(task: Task) -> str:
    graphs = task.graphs or {}
    doubles = [name for name, graph in graphs.items() if not graph.single]
    if doubles:
        return f"weights of {', '.join(doubles)} are not float32"
    wide = [v.name for v in task.claim.variables if v.whole and max(-v.lo, v.hi) > 2**24]
    return f"whole numbers of {', '.join(wide)} beyond 2^24 are no float32" if wide else ""


def _lengths(claim: Claim, found: _Found) -> Lengths:
    obligation, certificate = found.obligation, found.certificate
    explained = found.explained.certificate if found.explained else None
    box = enumeration.size_of(claim)
    listed = obligation.points() if obligation is not None else box
    cost = plans.run_cost(obligation) if obligation is not None else 0
    return Lengths(
        certificate_bits=certificate.bits if certificate else None,
        operations=certificate.operations if certificate else None,
        list_inputs=listed,
        box_inputs=box,
        list_operations=listed * cost if listed is not None and cost else None,
        lemma_bits=explained.bits if explained else None,
        lemma_operations=explained.operations if explained else None,
    )


__all__ = ["plan", "verify"]
