"""From a model, data and explanations to reports: what ``assay score`` calls, and a notebook can.

The model is run once for all explanations; each is then scored on the same activations or outputs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from assay.mdl import (
    CategoricalTarget,
    GridTarget,
    MechanismProblem,
    Rows,
    Score,
    SiteProblem,
    Target,
    shortest_of,
    with_choice,
)
from assay.mdl.answers import AnswerTarget
from assay.mdl.audit import Checks
from assay.mdl.compute import ComputeCurve
from assay.mdl.mechanism_score import mechanism_score, tally_mechanism
from assay.mdl.report import ExplanationRecord, Report, ScopeRecord, environment, make_report
from assay.mdl.site_score import site_score, tally_site
from assay.mdl.student import score_student
from assay.mdl.tallying import Course, Tallied
from assay.models import Activations, ActivationsOnDemand, Behaviour, Dataset, Network
from torch import Tensor

from .alternatives import Alternatives
from .errors import ExplanationError
from .identity import digest, fingerprint, model_digest
from .receiving import receiver
from .registry import build
from .student import Student
from .subject import Setting, Subject
from .tallies import Tallies

Progress = Callable[[str, int, int], None]
TargetName = Literal["activations", "outputs", "answers"]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of every explanation: the setting, the site, the target and its grid.

    ``precision`` is the number of bits of each number of a part, or "auto" for the two-part optimum. With
    ``audit`` the real bitstream is written, read back and measured; with ``held_out`` the second half of
    the data is also told under what was fitted to the first; with ``readings`` other definitions of
    description length are computed on the same run, and the loss of the model's own task; ``curve`` says what
    training compute a loss is worth.
    """

    setting: Setting
    target: TargetName
    site: str | None = None
    delta: float | None = None
    precision: int | Literal["auto"] = "auto"
    seed: int = 0
    audit: bool = False
    held_out: bool = False
    readings: bool = False
    curve: ComputeCurve | None = None

    def __post_init__(self) -> None:
        if self.setting == "mechanism" and self.target == "activations":
            raise ExplanationError("the mechanism setting explains outputs: use --target outputs")
        if self.delta is not None and not 0 < self.delta < float("inf"):
            raise ExplanationError(f"delta must be a positive number, got {self.delta}")


@dataclass(frozen=True, eq=False)
class Evidence:
    """The model's behaviour on the data: activations at the site, and outputs, computed as they are used."""

    question: Question
    network: Network | None
    dataset: Dataset | None
    activations: Activations | ActivationsOnDemand | None
    outputs: Rows | None

    def subject(self) -> Subject:
        """What builders of explanations see."""
        x = self.activations.rows if self.activations is not None else None
        return Subject(
            self.question.setting,
            self.network,
            self.dataset,
            self.question.site,
            x,
            self.outputs,
            self.question.seed,
            self.question.delta,
        )


def gather(
    question: Question,
    network: Network,
    dataset: Dataset,
    batch_size: int | Literal["auto"] = "auto",
) -> Evidence:
    """The network on the data, on the device where it is: run once, on what is looked at of the data."""
    site = question.site if question.setting == "site" else None
    if question.setting == "site" and site is None:
        raise ExplanationError("the site setting needs a site (--site)")
    seen = Behaviour(network, dataset, site, question.target != "activations", batch_size)
    return Evidence(question, network, dataset, seen.activations, seen.outputs)


def weigh(
    evidence: Evidence,
    specs: Sequence[str],
    command: str = "",
    progress: Progress | None = None,
    tallies: Tallies | None = None,
) -> list[Report]:
    """Score each explanation (``KIND[:PATH][,key=value…]``) on the evidence; one report for each.

    With ``tallies`` the score goes on from them, and leaves them there when it is interrupted.
    """
    from .heldout import held_out_checks

    subject = evidence.subject()
    places = [_Place(tallies, str(i)) if tallies else None for i in range(len(specs))]
    with tallies.saved_when_cut_short() if tallies else nullcontext():
        reports = [
            weigh_one(evidence, build(spec, subject), command, progress, place)
            for spec, place in zip(specs, places, strict=True)
        ]
    if not evidence.question.held_out:
        return reports
    return [
        report.model_copy(update={"checks": {**report.checks, **held_out_checks(evidence, spec)}})
        for report, spec in zip(reports, specs, strict=True)
    ]


def tally(
    evidence: Evidence, specs: Sequence[str], tallies: Tallies, progress: Progress | None = None
) -> None:
    """Tally a shard of the data for each explanation, and leave the sums in the file of ``tallies``.

    A student learns the data in order, so it has no shards: it is scored when shards are put together.
    """
    subject = evidence.subject()
    with tallies.saved_when_cut_short():
        for i, spec in enumerate(specs):
            explanation = _asked_once(build(spec, subject))
            place = _Place(tallies, str(i))
            if isinstance(explanation, Alternatives):
                for way, one in enumerate(explanation.ways):
                    _tallied(evidence, one, progress, place.way(way))
            elif not isinstance(explanation, Student):
                _tallied(evidence, explanation, progress, place)
    tallies.save()


def _asked_once(explanation: Any) -> Any:
    """The explanation, asked once what it sends: what is tallied, priced and digested is the same."""
    if isinstance(explanation, Alternatives):
        return Alternatives(explanation.name, [_asked_once(way) for way in explanation.ways])
    if isinstance(explanation, Student):
        return explanation
    question = "dictionary" if hasattr(explanation, "dictionary") else "parts"
    answer, same = getattr(explanation, question)(), copy.copy(explanation)
    vars(same)[question] = lambda: answer
    return same


@dataclass(frozen=True)
class _Place:
    """Where the tallies of one explanation (or of one of its ways) are kept."""

    tallies: Tallies
    key: str

    def way(self, index: int) -> _Place:
        return _Place(self.tallies, f"{self.key}.{index}")


def weigh_one(
    evidence: Evidence,
    explanation: Any,
    command: str = "",
    progress: Progress | None = None,
    place: _Place | None = None,
) -> Report:
    """Score one explanation object on the evidence."""
    explanation = _asked_once(explanation)
    sent, score = _score(evidence, explanation, progress, place)
    device = str(evidence.network.device) if evidence.network is not None else "cpu"
    record = ExplanationRecord(
        kind=sent.kind, name=explanation.name, digest=digest(sent), recipe=dict(sent.recipe())
    )
    report = make_report(
        score,
        scope_of(evidence, getattr(sent, "donor", "zero")),
        record,
        environment(device, evidence.question.seed, command),
        _checks(evidence, explanation, sent, score),
    )
    if not evidence.question.readings:
        return report
    from .readings import readings_of

    return report.model_copy(update={"readings": readings_of(evidence, sent, score)})


def _checks(evidence: Evidence, explanation: Any, sent: Any, score: Score) -> Checks:
    """What delivery has shown; with an audit, what the real bitstream shows."""
    if not evidence.question.audit:
        return {"decodes": True}
    from .sending import audited

    return audited(evidence, sent, score, explanation.ways if isinstance(explanation, Alternatives) else ())


def _score(
    evidence: Evidence, explanation: Any, progress: Progress | None, place: _Place | None
) -> tuple[Any, Score]:
    """What is sent, and its score; of alternatives the shortest."""
    if isinstance(explanation, Alternatives):
        scores = [
            _score(evidence, way, progress, place.way(i) if place else None)[1]
            for i, way in enumerate(explanation.ways)
        ]
        best = shortest_of(scores)
        return explanation.ways[best], with_choice(scores[best], len(scores))
    if isinstance(explanation, Student):
        named, problem = _named(progress, explanation.name), mechanism_problem(evidence)
        return explanation, score_student(explanation, problem, evidence.question.seed, named)
    tallied = _tallied(evidence, explanation, progress, place)
    if evidence.question.setting == "mechanism":
        return explanation, mechanism_score(explanation, mechanism_problem(evidence), tallied)
    return explanation, site_score(explanation, site_problem(evidence), tallied)


def _tallied(
    evidence: Evidence, explanation: Any, progress: Progress | None, place: _Place | None
) -> Tallied[Any]:
    """The pass over the data, from where its tallies stopped."""
    named, precision = _named(progress, explanation.name), evidence.question.precision
    course: Course[Any] = Course(progress=named)
    if place is not None:
        course = place.tallies.course(place.key, explanation, named)
    if evidence.question.setting == "mechanism":
        known = receiver(explanation, evidence.network)
        return tally_mechanism(
            explanation, mechanism_problem(evidence), precision, course=course, receiver=known
        )
    return tally_site(explanation, site_problem(evidence), precision, course=course)


def _target(evidence: Evidence) -> Target:
    question = evidence.question
    categorical = evidence.network is not None and evidence.network.output == "categorical"
    if question.target == "outputs" and categorical:
        return CategoricalTarget()
    if question.target == "answers":
        if not categorical:
            raise ExplanationError("answers are what a classifier gives: use --target outputs")
        return AnswerTarget()
    if question.delta is None:
        raise ExplanationError("this target is told on a grid: give its step (--delta)")
    return GridTarget(question.delta)


def site_problem(evidence: Evidence) -> SiteProblem:
    """The site setting's problem, on the network's device."""
    question, activations = evidence.question, evidence.activations
    assert activations is not None
    x = activations.rows
    if not len(x):
        raise ExplanationError(f"there are no activations at {activations.site!r} to explain")
    device = evidence.network.device if evidence.network is not None else x.device
    delta = question.delta if question.delta is not None else float(x[:].std()) / 16
    downstream = None if question.target == "activations" else _downstream(evidence)
    return SiteProblem(x.to(device), _target(evidence), delta, activations.positions, downstream)


def mechanism_problem(evidence: Evidence) -> MechanismProblem:
    """The mechanism setting's problem, on the network's device."""
    network, dataset, outputs = evidence.network, evidence.dataset, evidence.outputs
    assert network is not None
    assert dataset is not None
    assert outputs is not None
    inputs = dataset.inputs.to(network.device)
    return MechanismProblem(inputs, outputs, _target(evidence))


def _named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(name, done, total)


def _downstream(evidence: Evidence) -> Callable[[Tensor, slice], tuple[Tensor, Tensor]]:
    """The network after the site: x̂ of whole data to outputs, beside the model's own."""
    network, dataset, outputs = evidence.network, evidence.dataset, evidence.outputs
    site, activations = evidence.question.site, evidence.activations
    assert network is not None
    assert dataset is not None
    assert outputs is not None
    assert site is not None
    assert activations is not None
    positions = activations.positions

    def run(told: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        data = slice(rows.start // positions, rows.stop // positions)
        x = dataset.inputs[data].to(network.device)
        predicted = network.patched(x, {site: lambda a: told.to(a).reshape(a.shape)})
        truth = outputs[data].to(predicted)
        return predicted.flatten(0, -2), truth.flatten(0, -2)

    return run


def scope_of(evidence: Evidence, donor: str) -> ScopeRecord:
    """What a report on this evidence is about."""
    question, network, dataset = evidence.question, evidence.network, evidence.dataset
    activations = evidence.activations
    if question.setting == "mechanism":
        knows = "the inputs; nothing of the network"
    else:
        knows = "nothing" if question.target == "activations" else "the network after the site"
    data, rows = _sizes(evidence)
    return ScopeRecord(
        model=network.name if network else "",
        model_digest=model_digest(evidence),
        dataset=dataset.name if dataset else (activations.site if activations else ""),
        data_fingerprint=fingerprint(evidence),
        condition=dataset.scope.condition if dataset else "",
        distribution=dataset.scope.distribution if dataset else "",
        setting=question.setting,
        site=question.site,
        target=question.target,
        delta=question.delta,
        donor=donor,
        receiver_knows=knows,
        data=data,
        rows=rows,
        unit=_unit(evidence),
    )


def _sizes(evidence: Evidence) -> tuple[int, int]:
    """How many data there are, and how many rows: samples, or positions that are told one by one."""
    if evidence.activations is not None:
        rows = len(evidence.activations)
        return rows // evidence.activations.positions, rows
    data, outputs = len(evidence.dataset or ()), evidence.outputs
    return data, data if outputs is None else math.prod(outputs.shape[:-1])


def _unit(evidence: Evidence) -> str:
    dataset, network = evidence.dataset, evidence.network
    if dataset is not None and dataset.unit == "sequence" and network is not None:
        by_position = network.output == "categorical" and evidence.question.setting == "mechanism"
        return "token" if evidence.question.setting == "site" or by_position else "sequence"
    return "sample"
