"""One claim in a child process: what is run there, what is heard of it here, and the outcome."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import judging, plans, rungs
from .claims import Claim
from .crews import Ending, Hear
from .networks import ClaimNetworks, scope_mass
from .obligations import bind
from .search import Deadline
from .tasks import Task
from .verdicts import Outcome, Unknown, Verdict

Progress = Callable[[str, str], None]
"""Called with the claim's name and a line about what is being done; with an empty line at its end."""

_BUSY = 0.8
"""Where less of the time was spent computing, other work had the cores."""


@dataclass(frozen=True)
class Terms:
    """How claims are verified; see `verify`."""

    budget_s: float
    memory: int
    seed: int
    folder: Path
    keep: bool
    recall: bool
    progress: Progress | None
    device: str


def task_of(claim: Claim, loaded: ClaimNetworks, terms: Terms, say: Hear) -> Task:
    """A claim with all that its verification needs."""
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


def judged(claim: Claim, loaded: ClaimNetworks, terms: Terms, say: Hear) -> Outcome:
    """Judge a claim; what is found on the way is said as the outcome that stands so far."""

    def hear(kind: str, what: Any) -> None:
        if kind == "partial":
            what = judging.told(task, replace(found, verdict=what, stage=_stage(what)))
        say(kind, what)

    task = task_of(claim, loaded, terms, hear)
    start, computing = time.monotonic(), sum(os.times()[:4])
    found = judging.Found(obligation=bind(claim, task.graphs) if task.graphs is not None else None)
    judging.judged(task, found)
    spent, computing = time.monotonic() - start, sum(os.times()[:4]) - computing
    late = isinstance(found.verdict, Unknown) and found.verdict.cause == "timeout"
    if late and terms.device == "cpu" and computing < _BUSY * spent:
        task.note(f"the machine was busy: only {computing:.1f} of {spent:.1f} s were spent computing")
    return judging.told(task, found)


def _stage(verdict: Verdict) -> str:
    """The stage of a verdict on the way: a proof on the way is that by lemmas."""
    return verdict.stage if isinstance(verdict, Unknown) else plans.LEMMAS


class Listener:
    """Hears what is said of a claim that is being judged."""

    def __init__(self, claim: Claim, progress: Progress | None) -> None:
        self.claim, self.progress = claim, progress
        self.stage = "lowering"
        self.log: list[str] = []
        lengths = judging.lengths(claim, judging.Found())
        unknown = Unknown(self.stage, "nothing was tried")
        self.outcome = Outcome(claim.name, claim.text, unknown, 0.0, self.stage, lengths, kind=claim.kind)

    def __call__(self, kind: str, what: Any) -> None:
        """Take note of a message of the child."""
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


@dataclass(frozen=True)
class Case:
    """A claim that is being judged: `data` is what its mass is measured on, `heard` what is said of it."""

    claim: Claim
    loaded: ClaimNetworks
    data: str | None
    heard: Listener
    terms: Terms

    def outcome(self, ending: Ending[int, Outcome]) -> Outcome:
        """What came of it; raises what was raised where it was judged."""
        outcome = self._ended(ending)
        networks = {name: self.loaded.network(self.claim, name) for name in self.claim.networks}
        mass = scope_mass(self.claim, networks, self.data, self.terms.seed) if self.data else None
        if self.terms.progress is not None:
            self.terms.progress(self.claim.name, "")
        return replace(outcome, mass=mass, log=tuple(self.heard.log), seconds=ending.seconds)

    def _ended(self, ending: Ending[int, Outcome]) -> Outcome:
        stopped = self.heard.stopped
        if ending.last == "time":
            return stopped("timeout: stopped hard", "a larger budget")
        if ending.last == "memory":
            told = f"memory: more than {self.terms.memory} bytes were asked for"
            return stopped(told, "a larger limit of memory, or a smaller scope")
        if isinstance(ending.value, OverflowError):
            told = "numbers that are beyond floating point where they are put together"
            return stopped(told, "numbers of fewer digits")
        if isinstance(ending.value, Outcome):
            return ending.value
        raise ending.value


__all__ = ["Case", "Listener", "Progress", "Terms", "judged", "task_of"]
