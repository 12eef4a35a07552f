"""Judge claims: the ladder of stages, and the outcome with its lengths.

Nothing is called proved before `check.py`, in another process, has accepted the certificate; the exceptions
are named in the verdict (`Proved.trusted`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from assay.models import Network
from torch import Tensor

from . import certificates, claim_files, lemmas
from .claims import Claim
from .faults import InputError
from .lowering import Graph
from .networks import ClaimNetworks, scope_mass
from .obligations import Obligation, bind
from .replay import exact_answers, torch_answers
from .search import Deadline, Search, confirmed
from .stages import enumeration, falsify, smt, split
from .tree import Tree
from .verdicts import Certificate, Lengths, Outcome, Proved, Refuted, Unknown, Verdict, Witness

Progress = Callable[[str, str], None]
"""Called with the claim's name and a line about what is being done."""

MEMORY = 4 << 30
ENUMERABLE = 1 << 25
_SPLIT_SHARE = 0.7


@dataclass(frozen=True)
class _Task:
    """One claim with everything that its verification needs."""

    claim: Claim
    networks: Mapping[str, Network]
    runs: Mapping[str, Callable[[Tensor], Tensor]]
    graphs: Mapping[str, Graph] | None
    unsupported: str
    deadline: Deadline
    memory: int
    seed: int
    folder: Path
    keep: bool
    report: Callable[[str], None]
    device: str = "cpu"


def verify(
    path_or_claims: str | Path | claim_files.ClaimFile | Iterable[Claim],
    *,
    budget_s: float = 60.0,
    memory: int = MEMORY,
    seed: int = 0,
    certificates: Path | None = None,
    progress: Progress | None = None,
    base: Path | None = None,
    networks: Mapping[str, Network] | None = None,
    device: str = "cpu",
) -> list[Outcome]:
    """Verify a claim file, or claims.

    Args:
        path_or_claims: a path to a TOML file, what `claim_files.read` gives, or claims.
        budget_s: wall seconds per claim.
        memory: bytes that the search may use for its batches, and a hard limit for child processes.
        seed: of the search for counterexamples.
        certificates: folder to write certificates and weights to; None keeps nothing.
        progress: called with the claim's name and what is being done.
        base: folder that model paths are relative to; by default the file's own.
        networks: networks by the name they have in the claims, instead of loading `models`.
        device: where bounds are computed, "cpu" or "cuda".

    Raises:
        InputError: claims that cannot be read or do not fit their networks, with all faults at once.
    """
    source = path_or_claims
    file = claim_files.read(source) if isinstance(source, str | Path) else source
    data, place = None, base
    if isinstance(file, claim_files.ClaimFile):
        data, place, todo = file.data, base or file.base, list(file.claims)
    else:
        todo = list(file)
    loaded = ClaimNetworks(place, dict(networks or {}))
    faults = [fault for claim in todo for fault in loaded.faults(claim)]
    if faults:
        raise InputError(faults)
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch, _one_thread():
        folder = certificates or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        return [
            _outcome(
                claim,
                loaded,
                data,
                budget_s,
                memory,
                seed,
                folder,
                certificates is not None,
                progress,
                device,
            )
            for claim in todo
        ]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small products: more threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _outcome(
    claim: Claim,
    loaded: ClaimNetworks,
    data: str | None,
    budget_s: float,
    memory: int,
    seed: int,
    folder: Path,
    keep: bool,
    progress: Progress | None,
    device: str,
) -> Outcome:
    start = time.monotonic()
    log: list[str] = []

    def report(line: str) -> None:
        if progress is not None:
            progress(claim.name, line)

    graphs, reasons = loaded.graphs(claim)
    networks = {name: loaded.network(claim, name) for name in claim.networks}
    runs = loaded.runs(claim)
    task = _Task(
        claim, networks, runs, graphs, reasons, Deadline(budget_s), memory, seed, folder, keep, report, device
    )
    obligation = bind(claim, graphs) if graphs is not None else None
    explained = _with_lemmas(task, log) if obligation is not None and claim.lemmas else None
    verdict, stage = _finite(task, log) if obligation is None else _ladder(task, obligation, log)
    if isinstance(verdict, Unknown) and explained is not None:
        verdict, stage = explained, "lemmas"
    certificate = None if isinstance(verdict, Unknown) else verdict.certificate
    if claim.kind == "necessary":
        verdict = _existence(verdict)
    return Outcome(
        name=claim.name,
        text=claim.text,
        verdict=verdict,
        seconds=time.monotonic() - start,
        stage=stage,
        lengths=_lengths(claim, obligation, certificate, explained),
        mass=scope_mass(claim, networks, data, seed) if data else None,
        log=tuple(log),
    )


def _with_lemmas(task: _Task, log: list[str]) -> Proved | None:
    """A proof of the claim as its lemmas restate it, within half of the budget; None where there is none."""
    claim = task.claim
    for lemma in task.claim.lemmas:
        claim = lemmas.restated(claim, lemma)
    changed = replace(task, claim=claim, deadline=Deadline(task.deadline.left / 2))
    notes: list[str] = []
    verdict, _ = _ladder(changed, bind(claim, task.graphs or {}), notes)
    log.extend(f"with lemmas: {note}" for note in notes)
    if not isinstance(verdict, Proved):
        log.append(f"with lemmas: {getattr(verdict, 'reason', 'not proved')}")
        return None
    names = ", ".join(lemma.kind for lemma in task.claim.lemmas)
    return replace(verdict, trusted=(*verdict.trusted, f"the prover's restatement by {names}"))


def _existence(verdict: Verdict) -> Verdict:
    """The verdict on "somewhere not", from that on "everywhere"."""
    if isinstance(verdict, Refuted):
        return Proved(verdict.certificate, verdict.trusted, verdict.witness)
    if isinstance(verdict, Proved):
        reason = "there is no such input: the circuit is not necessary on this scope"
        return Unknown("necessity", reason, needed="a larger scope, or another circuit")
    return verdict


def _ladder(task: _Task, obligation: Obligation, log: list[str]) -> tuple[Verdict, str]:
    """The stages in order, each until it decides or gives up."""
    if task.claim.semantics == "float32" and (reason := _not_single(task)):
        return Unknown(
            "lowering", reason, needed="float32 weights and inputs that a float32 holds"
        ), "lowering"
    search = Search(
        obligation,
        exact_answers(obligation.graphs),
        torch_answers(task.runs, {name: n.in_shape for name, n in task.networks.items()}),
        task.deadline,
        task.memory,
        task.seed,
        device=task.device,
        report=task.report,
    )
    task.report(falsify.NAME)
    witness = falsify.falsify(search)
    if witness is not None:
        return _refuted(task, obligation, witness), falsify.NAME
    log.append(f"{falsify.NAME}: no counterexample found")
    verdict = _split(task, search, log)
    if isinstance(verdict, Unknown) and not task.deadline.over:
        log.append(f"{split.NAME}: {verdict.reason}")
        task.report(smt.NAME)
        last = smt.solve(search, task.deadline.left)
        if isinstance(last, Witness):
            return _refuted(task, obligation, last), smt.NAME
        if isinstance(last, Proved):
            return last, smt.NAME
        log.append(f"{smt.NAME}: {last.reason}" if isinstance(last, Unknown) else smt.NAME)
    return verdict, split.NAME


def _not_single(task: _Task) -> str:
    graphs = task.graphs or {}
    doubles = [name for name, graph in graphs.items() if not graph.single]
    if doubles:
        return f"weights of {', '.join(doubles)} are not float32"
    wide = [v.name for v in task.claim.variables if v.whole and max(-v.lo, v.hi) > 2**24]
    return f"whole numbers of {', '.join(wide)} beyond 2^24 are no float32" if wide else ""


def _split(task: _Task, search: Search, log: list[str]) -> Verdict:
    """Bounds and splitting; what the checker does not accept is bounded with more care."""
    splitter = split.Splitter(search, Deadline(_SPLIT_SHARE * task.deadline.left))
    while True:
        task.report(split.NAME)
        result = splitter.run()
        if isinstance(result, Unknown):
            return result
        if isinstance(result, Witness):
            return _refuted(task, search.obligation, result)
        evidence, owners = _evidence(search.obligation, result)
        judgement, certificate = _checked(task, search.obligation, "proved", evidence)
        if certificate is not None:
            log.append(f"{split.NAME}: {judgement.leaves} leaves")
            return Proved(certificate)
        if not judgement.rejected or task.deadline.over:
            return Unknown(split.NAME, f"checker rejected: {judgement.message[:200]}")
        log.append(f"checker sent back {len(judgement.rejected)} leaves")
        splitter.reopen(sorted({owners[k] for k in judgement.rejected}))


def _evidence(obligation: Obligation, tree: Tree) -> tuple[list[object], list[int]]:
    names = list(obligation.inputs)
    return tree.evidence(obligation.program, [names.index(name) for name in obligation.free])


def _checked(
    task: _Task, obligation: Obligation, verdict: str, evidence: object
) -> tuple[certificates.Judgement, Certificate | None]:
    """Write a certificate and its weights, and have both judged."""
    digests = {name: network.weights_digest for name, network in task.networks.items()}
    for network in task.networks.values():
        certificates.write_weights(network.weights_digest, network.module.state_dict(), task.folder)
    data = certificates.document(obligation, digests, verdict, evidence)
    path = task.folder / certificates.file_name(task.claim, data["seal"])
    bits = certificates.write(data, path)
    task.report("independent check")
    judgement = certificates.judge(path, task.deadline.left)
    if not judgement.accepted:
        path.unlink()
        return judgement, None
    return judgement, Certificate(
        data["seal"], bits, judgement.leaves, judgement.operations, path if task.keep else None
    )


def _refuted(task: _Task, obligation: Obligation | None, witness: Witness) -> Verdict:
    """Refuted, with a certificate where exact arithmetic can follow."""
    if obligation is None:
        return Refuted(witness, None, ("torch's arithmetic",))
    evidence = certificates.witness_evidence(witness.inputs)
    judgement, certificate = _checked(task, obligation, "refuted", evidence)
    if certificate is not None:
        return Refuted(witness, certificate)
    if task.claim.semantics == "float32":
        return Refuted(witness, None, ("torch's order of summation at the witness",))
    return Unknown(falsify.NAME, f"checker rejected the counterexample: {judgement.message[:200]}")


def _finite(task: _Task, log: list[str]) -> tuple[Verdict, str]:
    """Networks without an exact form: every input of a finite scope, in torch."""
    total = enumeration.size_of(task.claim)
    if total is None or total > ENUMERABLE:
        reason = f"unsupported: {task.unsupported}"
        return Unknown(
            "lowering", reason, needed=f"a finite scope of at most {ENUMERABLE} inputs"
        ), "lowering"
    shapes = {name: n.in_shape for name, n in task.networks.items()}
    size = max(1, min(1 << 15, task.memory // 8 // _activation_bytes(task.networks)))
    result = enumeration.enumerate_scope(task.claim, task.runs, shapes, task.deadline, task.report, size)
    if isinstance(result, Unknown):
        return result, enumeration.NAME
    if isinstance(result, enumeration.Counted):
        log.append(f"{result.in_scope} of {result.inputs} inputs are in scope, all were run")
        return Proved(None, ("torch's arithmetic, as run here on every input",)), enumeration.NAME
    answers = torch_answers(task.runs, shapes)
    witness = confirmed(replace(task.claim, semantics="float32"), result, answers, answers)
    if witness is None:
        return Unknown(
            enumeration.NAME, f"a counterexample did not replay one by one: {result}"
        ), enumeration.NAME
    return _refuted(task, None, witness), enumeration.NAME


def _activation_bytes(networks: Mapping[str, Network]) -> int:
    """A rough bound of what one input occupies on its way through the networks."""
    weights = sum(p.numel() for network in networks.values() for p in network.module.parameters())
    return max(1024, 64 * int(weights**0.5) * 16)


def _lengths(
    claim: Claim, obligation: Obligation | None, certificate: Certificate | None, explained: Proved | None
) -> Lengths:
    box = enumeration.size_of(claim)
    listed = obligation.points() if obligation is not None else box
    cost = 0
    if obligation is not None:
        cost = sum(m.size for step in obligation.program.steps for _, m in getattr(step, "terms", ()))
    return Lengths(
        certificate_bits=certificate.bits if certificate else None,
        operations=certificate.operations if certificate else None,
        list_inputs=listed,
        box_inputs=box,
        list_operations=listed * cost if listed is not None and cost else None,
        lemma_bits=explained.certificate.bits if explained and explained.certificate else None,
        lemma_operations=explained.certificate.operations if explained and explained.certificate else None,
    )


__all__ = ["ENUMERABLE", "verify"]
