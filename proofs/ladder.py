"""Verify claims: each is judged in a child process under hard limits, and what was found by then is told."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from assay.models import Network

from . import claim_files, judging, plans, rungs
from .budgets import Hear, OutOfMemory, OutOfTime, Worker
from .claims import Claim
from .faults import Fault, InputError
from .networks import ClaimNetworks, scope_mass
from .obligations import bind
from .search import Deadline
from .tasks import Task
from .verdicts import Outcome, Unknown, Verdict

Progress = Callable[[str, str], None]
"""Called with the claim's name and a line about what is being done."""

Source = str | Path | claim_files.ClaimFile | Iterable[Claim]

MEMORY = 4 << 30
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
        with Worker[int, Outcome](lambda k, say: _judged(todo[k], loaded, terms, say)) as worker:
            return [_outcome(k, claim, loaded, data, terms, worker) for k, claim in enumerate(todo)]


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
            task = _task(claim, loaded, terms, lambda kind, what: None)
            obligation = bind(claim, task.graphs) if task.graphs is not None else None
            made.append(judging.planned(task, obligation))
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


def _task(claim: Claim, loaded: ClaimNetworks, terms: _Terms, say: Hear) -> Task:
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
        lambda line: say("report", line),
        lambda line: say("note", line),
        lambda verdict: say("partial", verdict),
        terms.device,
    )


def _judged(claim: Claim, loaded: ClaimNetworks, terms: _Terms, say: Hear) -> Outcome:
    """Judge a claim; what is found on the way is said as the outcome that stands so far."""

    def hear(kind: str, what: Any) -> None:
        if kind == "partial":
            what = judging.told(task, replace(found, verdict=what, stage=_stage(what)))
        say(kind, what)

    task = _task(claim, loaded, terms, hear)
    found = judging.Found(obligation=bind(claim, task.graphs) if task.graphs is not None else None)
    judging.judged(task, found)
    return judging.told(task, found)


def _stage(verdict: Verdict) -> str:
    """The stage of a verdict on the way: a proof on the way is that by lemmas."""
    return verdict.stage if isinstance(verdict, Unknown) else plans.LEMMAS


class _Listener:
    """Hears what is said of a claim that is being judged."""

    def __init__(self, claim: Claim, progress: Progress | None) -> None:
        self.claim, self.progress = claim, progress
        self.stage = "lowering"
        self.log: list[str] = []
        lengths = judging.lengths(claim, judging.Found())
        unknown = Unknown(self.stage, "nothing was tried")
        self.outcome = Outcome(claim.name, claim.text, unknown, 0.0, self.stage, lengths, kind=claim.kind)

    def __call__(self, kind: str, what: Any) -> None:
        if kind == "partial":
            self.outcome = what
        elif kind == "note":
            self.log.append(what)
        else:
            self.stage = what if what in rungs.RUNGS else self.stage
            if self.progress is not None:
                self.progress(self.claim.name, what)

    def stopped(self, reason: str, needed: str) -> Outcome:
        """What is left to say of work that was stopped."""
        verdict, stage = self.outcome.verdict, self.stage
        if self.outcome.stage == plans.LEMMAS or not isinstance(verdict, Unknown):
            self.log.append(f"{stage}: {reason}")
            return self.outcome
        verdict = replace(verdict, stage=stage, reason=reason, needed=needed)
        return replace(self.outcome, verdict=verdict, stage=stage)


def _outcome(
    number: int,
    claim: Claim,
    loaded: ClaimNetworks,
    data: str | None,
    terms: _Terms,
    worker: Worker[int, Outcome],
) -> Outcome:
    """Judge a claim in a child process, under hard limits."""
    start = time.monotonic()
    heard = _Listener(claim, terms.progress)
    memory = terms.memory if terms.device == "cpu" else None
    try:
        outcome = worker.do(number, heard, _GRACE * terms.budget_s + 1, memory)
    except OutOfTime:
        outcome = heard.stopped("timeout: stopped hard", "a larger budget")
    except OverflowError:
        told = "numbers that are beyond floating point where they are put together"
        outcome = heard.stopped(told, "numbers of fewer digits")
    except OutOfMemory:
        told = f"memory: more than {terms.memory} bytes were asked for"
        outcome = heard.stopped(told, "a larger limit of memory, or a smaller scope")
    seconds = time.monotonic() - start
    networks = {name: loaded.network(claim, name) for name in claim.networks}
    mass = scope_mass(claim, networks, data, terms.seed) if data else None
    return replace(outcome, mass=mass, log=tuple(heard.log), seconds=seconds)


__all__ = ["plan", "verify"]
