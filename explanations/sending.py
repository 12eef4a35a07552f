"""The real bitstream of one explanation, in every setting: written, read back, and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
    predictor,
    received,
    sent_mechanism,
    sent_site,
)
from assay.mdl.bitstream import MOST_CELLS, SiteMessage, decode
from assay.mdl.container import MECHANISM, Note, unpacked
from assay.mdl.mechanism_stream import MechanismMessage, decode_mechanism
from assay.mdl.wire import BitstreamError

from .alternatives import Alternatives
from .errors import ExplanationError
from .receiving import receiver
from .registry import build
from .student import Student
from .weighing import Evidence, Progress, mechanism_problem, site_problem

Message = SiteMessage | MechanismMessage


def audited(evidence: Evidence, explanation: Any, score: Score, ways: Sequence[Any] = ()) -> Checks:
    """The checks of a score's real bitstream; ``ways`` are the alternatives that the explanation is one of.

    A learner's message is an estimate, for which no stream is written. Raises ``DoesNotDecode`` where what a
    receiver restores, who has none of the explanation's numbers, is not what was sent.
    """
    seed = evidence.question.seed
    if isinstance(explanation, Student):
        return {"decodes": True}
    if evidence.question.setting == "site":
        return audit_site(explanation, site_problem(evidence), score, seed)
    known = [receiver(way, evidence.network) for way in ways or (explanation,)]
    return audit_mechanism(explanation, mechanism_problem(evidence), score, known, ways, seed)


def send(evidence: Evidence, spec: str, progress: Progress | None = None) -> tuple[bytes, Score]:
    """Bytes from which a receiver restores the target, and the score whose length they have.

    Raises :class:`ExplanationError` for an explanation that is no message, and ``DoesNotDecode`` where what
    is received is not what was sent.
    """
    explanation = build(spec, evidence.subject())
    if isinstance(explanation, Student):
        raise ExplanationError(f"{spec!r}: a learner's message is an estimate; no stream is written of it")
    if evidence.question.setting == "site":
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
        ways = explanation.ways if isinstance(explanation, Alternatives) else [explanation]
        problem: MechanismProblem = mechanism_problem(evidence)
        return decode_mechanism(data, [receiver(way, network) for way in ways], problem.inputs, most_cells)
    site: SiteProblem = site_problem(evidence)
    if site.downstream is None:
        return decode(data, None, most_cells)
    if network is not None:
        _agree("network", container.note.get("model_digest"), network.digest)
    return decode(data, predictor(site), most_cells)


def _agree(what: str, told: object, got: str) -> None:
    if told is not None and told != got:
        raise BitstreamError(f"the stream was written about other {what}: {told!r}, here {got!r}")
