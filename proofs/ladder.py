"""Verify claims: each is judged in a child process under hard limits, several side by side where asked for;
what was found by then is told."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from assay.models import Network

from . import claim_files, judging, plans
from .cases import Case, Listener, Progress, Terms, judged, task_of
from .claims import Claim
from .crews import Crew, Hear, Job, cores
from .faults import Fault, InputError
from .networks import ClaimNetworks
from .obligations import bind
from .verdicts import Outcome

Source = str | Path | claim_files.ClaimFile | Iterable[Claim]
Jobs = int | Literal["auto"]

MEMORY = 4 << 30
_GRACE = 1.25
"""By how much the hard limit of time lies above the budget, which stages keep themselves; and 1 s more."""


@dataclass(frozen=True)
class Asked:
    """Claims that are verified together.

    Attributes:
        claims: a path to a TOML file, what `claim_files.read` gives, or claims.
        networks: networks by the name they have in the claims, instead of loading `models`.
        base: folder that model paths are relative to; by default the file's own.
    """

    claims: Source
    networks: Mapping[str, Network] | None = None
    base: Path | None = None


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
    jobs: Jobs = 1,
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
        progress: called with the claim's name and what is being done; with an empty text at its end.
        base: folder that model paths are relative to; by default the file's own.
        networks: networks by the name they have in the claims, instead of loading `models`.
        device: where bounds are computed, "cpu" or "cuda".
        jobs: how many claims are judged side by side, at most as many as there are cores; "auto" is one for
            each core. Outcomes do not depend on it. Where no processes can be forked, it is 1.

    Raises:
        InputError: claims that cannot be read or do not fit their networks, with all faults at once.
    """
    (outcomes,) = verify_all(
        [Asked(path_or_claims, networks, base)],
        budget_s=budget_s,
        memory=memory,
        seed=seed,
        certificates=certificates,
        recall=recall,
        progress=progress,
        device=device,
        jobs=jobs,
    )
    return outcomes


def verify_all(
    asked: Iterable[Asked],
    *,
    budget_s: float = 60.0,
    memory: int = MEMORY,
    seed: int = 0,
    certificates: Path | None = None,
    recall: bool = True,
    progress: Progress | None = None,
    device: str = "cpu",
    jobs: Jobs = 1,
) -> list[list[Outcome]]:
    """Verify several files, or lists of claims, all of them by the same processes; see `verify`.

    Returns: for each of `asked` the outcomes of its claims.

    Raises:
        InputError: as for `verify`; what comes after a wrong file is not verified.
    """
    size = _size(jobs)
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch, _one_thread():
        folder = certificates or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        keep = certificates is not None
        terms = Terms(budget_s, memory, seed, folder, keep, keep and recall, progress, device)
        underway: dict[Job[int, Outcome], tuple[dict[int, Outcome], Case]] = {}
        found: list[dict[int, Outcome]] = []
        with Crew[int, Outcome](size) as crew:
            for ending in crew.work(_jobs(asked, terms, underway, found)):
                outcomes, case = underway.pop(ending.job)
                outcomes[ending.job.item] = case.outcome(ending)
    return [[outcomes[k] for k in sorted(outcomes)] for outcomes in found]


def _jobs(
    asked: Iterable[Asked],
    terms: Terms,
    underway: dict[Job[int, Outcome], tuple[dict[int, Outcome], Case]],
    found: list[dict[int, Outcome]],
) -> Iterator[Job[int, Outcome]]:
    """A job for each claim, entered with its case as underway; networks are loaded when they are needed."""
    memory = terms.memory if terms.device == "cpu" else None
    for one in asked:
        todo, loaded, data = _loaded(one.claims, one.base, one.networks)
        found.append({})
        run = partial(_nth, todo, loaded, terms)
        for number, claim in enumerate(todo):
            heard = Listener(claim, terms.progress)
            turn = _alike(claim, loaded) if terms.recall else None
            job = Job(run, number, heard, _GRACE * terms.budget_s + 1, memory, turn)
            underway[job] = found[-1], Case(claim, loaded, data, heard, terms)
            yield job


def _alike(claim: Claim, loaded: ClaimNetworks) -> Hashable:
    """What claims have in common where one may recall the certificate of the other: they take turns."""
    return claim.text, *(loaded.network(claim, name).weights_digest for name in claim.networks)


def _nth(todo: list[Claim], loaded: ClaimNetworks, terms: Terms, number: int, say: Hear) -> Outcome:
    return judged(todo[number], loaded, terms, say)


def _size(jobs: Jobs) -> int:
    if jobs == "auto":
        return cores()
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs: got {jobs!r}, expected a whole number of at least 1, or 'auto'")
    return jobs


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
            terms = Terms(budget_s, MEMORY, 0, folder or Path(), False, recall and bool(folder), None, "cpu")
            task = task_of(claim, loaded, terms, lambda kind, what: None)
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


__all__ = ["Asked", "plan", "verify", "verify_all"]
