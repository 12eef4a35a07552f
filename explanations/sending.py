"""The real bitstream of one explanation, in every setting: written, read back, and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from assay.mdl import (
    MechanismProblem,
    Score,
    SiteProblem,
    score_mechanism,
    score_site,
    shortest_of,
    with_choice,
)
from assay.mdl.audit import (
    Checks,
    Sent,
    audit_mechanism,
    audit_site,
    audit_student,
    predictor,
    received,
    sent_mechanism,
    sent_site,
    sent_student,
)
from assay.mdl.bitstream import MOST_CELLS, SiteMessage, decode
from assay.mdl.container import MECHANISM, Container, Note, unpacked
from assay.mdl.mechanism_stream import MechanismMessage, decode_mechanism
from assay.mdl.student import score_student
from assay.mdl.student_stream import decode_student
from assay.mdl.wire import BitstreamError

from .alternatives import Alternatives
from .receiving import receiver
from .registry import build
from .student import Student
from .weighing import Evidence, Progress, mechanism_problem, site_problem

Message = SiteMessage | MechanismMessage


def audited(evidence: Evidence, explanation: Any, score: Score, ways: Sequence[Any] = ()) -> Checks:
    """The checks of a score's real bitstream; ``ways`` are the alternatives that the explanation is one of.

    Raises ``DoesNotDecode`` where what a receiver restores, who has none of the explanation's numbers, is not
    what was sent. A student starts without any, and is trained again.
    """
    seed = evidence.question.seed
    if isinstance(explanation, Student):
        return audit_student(explanation, mechanism_problem(evidence), score, seed)
    if evidence.question.setting == "site":
        return audit_site(explanation, site_problem(evidence), score, seed)
    known = [receiver(way, evidence.network) for way in ways or (explanation,)]
    return audit_mechanism(explanation, mechanism_problem(evidence), score, known, ways, seed)


def send(evidence: Evidence, spec: str, progress: Progress | None = None) -> tuple[bytes, Score]:
    """Bytes from which a receiver restores the target, and the score whose length they have.

    Raises ``DoesNotDecode`` where what is received is not what was sent.
    """
    explanation = build(spec, evidence.subject())
    if isinstance(explanation, Student):
        sent, score = _send_student(evidence, spec, explanation, _named(progress, explanation.name))
    elif evidence.question.setting == "site":
        sent, score = _send_site(evidence, spec, explanation, _named(progress, explanation.name))
    else:
        sent, score = _send_mechanism(evidence, spec, explanation, _named(progress, explanation.name))
    received(explanation.name, sent, lambda data: receive(evidence, spec, data))
    return sent.data, score


def _send_site(evidence: Evidence, spec: str, explanation: Any, progress: Any) -> tuple[Sent, Score]:
    question, problem = evidence.question, site_problem(evidence)
    score = score_site(explanation, problem, question.precision, progress=progress)
    note = None if problem.downstream is None else note_of(evidence, spec)
    return sent_site(explanation, problem, score, question.seed, note), score


def _send_mechanism(evidence: Evidence, spec: str, explanation: Any, progress: Any) -> tuple[Sent, Score]:
    question, problem = evidence.question, mechanism_problem(evidence)
    ways = explanation.ways if isinstance(explanation, Alternatives) else [explanation]
    scores = [score_mechanism(way, problem, question.precision, progress=progress) for way in ways]
    best = shortest_of(scores)
    score = with_choice(scores[best], len(ways))
    return sent_mechanism(ways[best], problem, score, ways, question.seed, note_of(evidence, spec)), score


def _send_student(evidence: Evidence, spec: str, student: Student, progress: Any) -> tuple[Sent, Score]:
    """Training is the arithmetic of a version of torch; the note says which, so that others can have it."""
    problem, seed = mechanism_problem(evidence), evidence.question.seed
    score = score_student(student, problem, seed, progress)
    note = {**note_of(evidence, spec), "torch": str(torch.__version__)}
    return sent_student(student, problem, seed, note), score


def _named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(name, done, total)


def note_of(evidence: Evidence, spec: str) -> Note:
    """What a receiver has to know in order to read a stream about outputs."""
    question, network, dataset = evidence.question, evidence.network, evidence.dataset
    return {
        "explain": spec,
        "target": question.target,
        "site": question.site,
        "delta": question.delta,
        "model": network.name if network else None,
        "model_digest": network.digest if network else None,
        "data": len(dataset or ()),
        "data_fingerprint": dataset.fingerprint if dataset else None,
        "seed": question.seed,
    }


def receive(evidence: Evidence, spec: str, data: bytes, most_cells: int = MOST_CELLS) -> Message:
    """The message in bytes; of the evidence a receiver uses the inputs, and the network after a site.

    Raises :class:`BitstreamError` for other data, another network where one is needed, and damage.
    """
    container = unpacked(data)
    dataset, network = evidence.dataset, evidence.network
    if dataset is not None:
        _agree("data", container.note.get("data_fingerprint"), dataset.fingerprint)
    if container.setting == MECHANISM:
        explanation = build(spec, evidence.subject())
        if isinstance(explanation, Student):
            return _receive_student(evidence, explanation, container, data, most_cells)
        ways = explanation.ways if isinstance(explanation, Alternatives) else [explanation]
        problem: MechanismProblem = mechanism_problem(evidence)
        return decode_mechanism(data, [receiver(way, network) for way in ways], problem.inputs, most_cells)
    site: SiteProblem = site_problem(evidence)
    if site.downstream is None:
        return decode(data, None, most_cells)
    if network is not None:
        _agree("network", container.note.get("model_digest"), network.digest)
    return decode(data, predictor(site), most_cells)


def _receive_student(
    evidence: Evidence, student: Student, container: Container, data: bytes, most_cells: int
) -> Message:
    try:
        return decode_student(data, student, mechanism_problem(evidence).inputs, most_cells)
    except BitstreamError as error:
        if container.note.get("torch") == str(torch.__version__):
            raise
        raise BitstreamError(
            f"{error} (the student was trained by torch {container.note.get('torch')}, here is "
            f"{torch.__version__})"
        ) from error


def _agree(what: str, told: object, got: str) -> None:
    if told is not None and told != got:
        raise BitstreamError(f"the stream was written about other {what}: {told!r}, here {got!r}")
