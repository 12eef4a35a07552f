"""A claim with all that its verification needs, and what turns findings into verdicts.

Nothing is called proved before `check.py`, in another process, has accepted the certificate; the exceptions
are named in the verdict (`Proved.trusted`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.models import Network
from torch import Tensor

from . import certificates
from .claims import Claim
from .lowering import Graph
from .obligations import Obligation
from .remembered import candidates
from .replay import exact_answers, torch_answers
from .search import Deadline, Search, confirmed
from .stages import falsify
from .verdicts import Certificate, Proved, Refuted, Unknown, Verdict, Witness


@dataclass(frozen=True)
class Task:
    """One claim under verification.

    Attributes:
        networks, runs: what the claim calls, as networks and as torch runs them.
        graphs: their exact forms; None where one has none, for the reason `unsupported`.
        folder: where certificates are written; `keep` says whether they stay there.
        recall: whether certificates that lie there may be used again.
        report: told what is being done.
        note: writes a line of the outcome's log.
        partial: told the verdict that stands if nothing more is found in time.
    """

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
    recall: bool
    report: Callable[[str], None]
    note: Callable[[str], None]
    partial: Callable[[Verdict], None]
    device: str = "cpu"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one input of each network."""
        return {name: network.in_shape for name, network in self.networks.items()}

    @property
    def digests(self) -> dict[str, str]:
        """Digest of each network's weights."""
        return {name: network.weights_digest for name, network in self.networks.items()}

    def search(self, obligation: Obligation) -> Search:
        """What the stages work on."""
        return Search(
            obligation,
            exact_answers(obligation.graphs),
            torch_answers(self.runs, self.shapes),
            self.deadline,
            self.memory,
            self.seed,
            device=self.device,
            report=self.report,
        )


def checked(
    task: Task, obligation: Obligation, verdict: str, evidence: list[Any]
) -> tuple[certificates.Judgement, Certificate | None]:
    """Write a certificate and its weights, and have both judged: a proof of what the limits leave (of its
    items the judgement speaks), or a witness."""
    whole = obligation.within_limits(evidence) if verdict == "proved" else evidence
    for network in task.networks.values():
        certificates.write_weights(network.weights_digest, network.module.state_dict(), task.folder)
    data = certificates.document(obligation, task.digests, verdict, whole)
    path = task.folder / certificates.file_name(task.claim, data["seal"])
    bits = certificates.write(data, path)
    task.report("independent check")
    judgement = certificates.judge(path, task.deadline.left)
    if not judgement.accepted:
        path.unlink()
        places = (place - len(obligation.limits) for place in judgement.rejected)
        inside = tuple(place for place in places if 0 <= place < len(evidence))
        return replace(judgement, rejected=inside), None
    return judgement, _certificate(task, path, data["seal"], bits, judgement)


def _certificate(
    task: Task, path: Path, seal: str, bits: int, judgement: certificates.Judgement
) -> Certificate:
    kept = path if task.keep else None
    return Certificate(seal, bits, judgement.leaves, judgement.operations, kept)


def refuted(task: Task, obligation: Obligation | None, witness: Witness) -> Verdict:
    """Refuted, with a certificate where exact arithmetic can follow."""
    if obligation is None:
        return Refuted(witness, None, ("torch's arithmetic",))
    evidence = certificates.witness_evidence(task.claim, witness.inputs)
    judgement, certificate = checked(task, obligation, "refuted", evidence)
    if certificate is not None:
        return Refuted(witness, certificate)
    if task.claim.semantics == "float32":
        task.note(f"the counterexample has no certificate: {judgement.message[:200]}")
        return Refuted(witness, None, ("torch's order of summation at the witness",))
    return Unknown(falsify.NAME, f"checker rejected the counterexample: {judgement.message[:200]}")


def rechecked(task: Task, obligation: Obligation) -> Verdict | None:
    """The verdict of a certificate at hand that the checker accepts now; None where there is none."""
    if not task.recall:
        return None
    for path, data in candidates(obligation, task.digests, task.folder):
        for network in task.networks.values():
            certificates.write_weights(network.weights_digest, network.module.state_dict(), task.folder)
        judgement = certificates.judge(path, task.deadline.left)
        if not judgement.accepted:
            task.note(f"{path.name} lies there, but is rejected: {judgement.message[:200]}")
            continue
        found = _certificate(task, path, data["seal"], 8 * path.stat().st_size, judgement)
        verdict = _of_before(task, obligation, data, found)
        if verdict is not None:
            task.note(f"{path.name} was checked again: nothing has changed, so it was not proved again")
            return verdict
    return None


def _of_before(
    task: Task, obligation: Obligation, data: Mapping[str, object], certificate: Certificate
) -> Verdict | None:
    if data["verdict"] == "proved":
        return Proved(certificate)
    inputs = certificates.witness_inputs(task.claim, data["evidence"])
    exact, torch_run = exact_answers(obligation.graphs), torch_answers(task.runs, task.shapes)
    witness = confirmed(task.claim, inputs, exact, torch_run)
    return None if witness is None else Refuted(witness, certificate)
