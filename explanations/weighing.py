"""From a model, data and explanations to reports: what ``assay score`` calls, and a notebook can.

The model is run once for all explanations; each is then scored on the same activations or outputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from assay.mdl import (
    CategoricalTarget,
    GridTarget,
    MechanismProblem,
    Score,
    SiteProblem,
    Target,
    score_mechanism,
    score_site,
    shortest_of,
    with_choice,
)
from assay.mdl.audit import Checks, audit_site
from assay.mdl.report import ExplanationRecord, Report, ScopeRecord, environment, make_report
from assay.mdl.student import score_student
from assay.models import Activations, Dataset, Network, collect, stream
from torch import Tensor

from .alternatives import Alternatives
from .errors import ExplanationError
from .registry import build
from .student import Student
from .subject import Setting, Subject

Progress = Callable[[str, int, int], None]
TargetName = Literal["activations", "outputs"]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of every explanation: the setting, the site, the target and its grid.

    ``precision`` is the number of bits of each number of a part, or "auto" for the two-part optimum. With
    ``audit`` the real bitstream of activations is written, read back and measured; with ``held_out`` the
    second half of activations is also told under what was fitted to the first; with ``readings`` other
    definitions of description length are computed on the same run.
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

    def __post_init__(self) -> None:
        if self.setting == "mechanism" and self.target != "outputs":
            raise ExplanationError("the mechanism setting explains outputs: use --target outputs")
        if self.delta is not None and not 0 < self.delta < float("inf"):
            raise ExplanationError(f"delta must be a positive number, got {self.delta}")


@dataclass(frozen=True, eq=False)
class Evidence:
    """The model's behaviour on the data, computed once: activations at the site, and outputs."""

    question: Question
    network: Network | None
    dataset: Dataset | None
    activations: Activations | None
    outputs: Tensor | None

    def subject(self) -> Subject:
        """What builders of explanations see."""
        x = self.activations.values if self.activations is not None else None
        return Subject(
            self.question.setting,
            self.network,
            self.dataset,
            self.question.site,
            x,
            self.outputs,
            self.question.seed,
        )


def gather(
    question: Question,
    network: Network,
    dataset: Dataset,
    batch_size: int | Literal["auto"] = "auto",
) -> Evidence:
    """Run the network over the data once, on the device where it is."""
    device = str(network.device)
    outputs = None
    if question.target == "outputs":
        batches = stream(network, dataset, (), device=device, batch_size=batch_size)
        outputs = torch.cat([batch.outputs for batch in batches])
    if question.setting == "mechanism":
        return Evidence(question, network, dataset, None, outputs)
    if question.site is None:
        raise ExplanationError("the site setting needs a site (--site)")
    activations = collect(network, dataset, question.site, device=device, batch_size=batch_size)
    return Evidence(question, network, dataset, activations, outputs)


def weigh(
    evidence: Evidence, specs: Sequence[str], command: str = "", progress: Progress | None = None
) -> list[Report]:
    """Score each explanation (``KIND[:PATH][,key=value…]``) on the evidence; one report for each."""
    from .heldout import held_out_checks

    subject = evidence.subject()
    reports = [weigh_one(evidence, build(spec, subject), command, progress) for spec in specs]
    if not evidence.question.held_out:
        return reports
    return [
        report.model_copy(update={"checks": {**report.checks, **held_out_checks(evidence, spec)}})
        for report, spec in zip(reports, specs, strict=True)
    ]


def weigh_one(
    evidence: Evidence, explanation: Any, command: str = "", progress: Progress | None = None
) -> Report:
    """Score one explanation object on the evidence."""
    sent, score, checks = _score(evidence, explanation, progress)
    device = str(evidence.network.device) if evidence.network is not None else "cpu"
    record = ExplanationRecord(
        kind=sent.kind, name=explanation.name, digest=digest(sent), recipe=dict(sent.recipe())
    )
    report = make_report(
        score,
        scope_of(evidence, getattr(sent, "donor", "zero")),
        record,
        environment(device, evidence.question.seed, command),
        checks,
    )
    if not evidence.question.readings:
        return report
    from .readings import readings_of

    return report.model_copy(update={"readings": readings_of(evidence, sent, score)})


def _score(evidence: Evidence, explanation: Any, progress: Progress | None) -> tuple[Any, Score, Checks]:
    """What is sent, its score and checks; of alternatives the shortest."""
    if isinstance(explanation, Alternatives):
        scores = [_score(evidence, way, progress)[1] for way in explanation.ways]
        best = shortest_of(scores)
        return explanation.ways[best], with_choice(scores[best], len(scores)), {"decodes": True}
    if evidence.question.setting == "mechanism":
        return explanation, _mechanism_score(evidence, explanation, progress), {"decodes": True}
    problem = site_problem(evidence)
    named = _named(progress, explanation.name)
    score = score_site(explanation, problem, evidence.question.precision, progress=named)
    audited = evidence.question.audit and problem.downstream is None
    return explanation, score, audit_site(explanation, problem, score) if audited else {"decodes": True}


def _target(evidence: Evidence) -> Target:
    question = evidence.question
    categorical = evidence.network is not None and evidence.network.output == "categorical"
    if question.target == "outputs" and categorical:
        return CategoricalTarget()
    if question.delta is None:
        raise ExplanationError("this target is told on a grid: give its step (--delta)")
    return GridTarget(question.delta)


def site_problem(evidence: Evidence) -> SiteProblem:
    """The site setting's problem, on the network's device."""
    question, activations = evidence.question, evidence.activations
    assert activations is not None
    x = activations.values
    device = evidence.network.device if evidence.network is not None else x.device
    delta = question.delta if question.delta is not None else float(x.std()) / 16
    downstream = _downstream(evidence) if question.target == "outputs" else None
    return SiteProblem(x.to(device), _target(evidence), delta, activations.positions, downstream)


def mechanism_problem(evidence: Evidence) -> MechanismProblem:
    """The mechanism setting's problem, on the network's device."""
    network, dataset, outputs = evidence.network, evidence.dataset, evidence.outputs
    assert network is not None
    assert dataset is not None
    assert outputs is not None
    inputs = dataset.inputs.to(network.device)
    return MechanismProblem(inputs, outputs.to(network.device), _target(evidence))


def _mechanism_score(evidence: Evidence, explanation: Any, progress: Progress | None) -> Score:
    problem, named = mechanism_problem(evidence), _named(progress, explanation.name)
    if isinstance(explanation, Student):
        return score_student(explanation, problem, evidence.question.seed, named)
    return score_mechanism(explanation, problem, evidence.question.precision, progress=named)


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
    rows = len(activations.values) if activations is not None else len(dataset or ())
    positions = activations.positions if activations is not None else 1
    knows = {
        ("site", "activations"): "nothing",
        ("site", "outputs"): "the network after the site",
        ("mechanism", "outputs"): "the inputs; nothing of the network",
    }[question.setting, question.target]
    return ScopeRecord(
        model=network.name if network else "",
        model_digest=network.digest if network else (activations.network if activations else ""),
        dataset=dataset.name if dataset else (activations.site if activations else ""),
        data_fingerprint=_fingerprint(evidence),
        condition=dataset.scope.condition if dataset else "",
        distribution=dataset.scope.distribution if dataset else "",
        setting=question.setting,
        site=question.site,
        target=question.target,
        delta=question.delta,
        donor=donor,
        receiver_knows=knows,
        data=rows // positions,
        rows=rows,
        unit=_unit(evidence),
    )


def _unit(evidence: Evidence) -> str:
    dataset, network = evidence.dataset, evidence.network
    if dataset is not None and dataset.unit == "sequence" and network is not None:
        by_position = network.output == "categorical" and evidence.question.setting == "mechanism"
        return "token" if evidence.question.setting == "site" or by_position else "sequence"
    return "sample"


def _fingerprint(evidence: Evidence) -> str:
    if evidence.dataset is not None:
        return evidence.dataset.fingerprint
    assert evidence.activations is not None
    return hashlib.sha256(evidence.activations.values.contiguous().numpy().tobytes()).hexdigest()


def digest(explanation: Any) -> str:
    """SHA-256 over an explanation's recipe and the bytes of the tensors it would send."""
    sha = hashlib.sha256(json.dumps(explanation.recipe(), sort_keys=True, default=str).encode())
    for name, tensor in sorted(_tensors(explanation).items()):
        sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def _tensors(explanation: Any) -> Mapping[str, Tensor]:
    if isinstance(explanation, Student):
        return {}
    if hasattr(explanation, "dictionary"):
        dictionary = explanation.dictionary()
        rows = {} if dictionary.rows is None else {"rows": dictionary.rows}
        return {"bias": dictionary.bias, **rows}
    first = slice(1) if explanation.open_ended else slice(None)
    return {tensor.name: tensor.values[first] for tensor in explanation.parts().tensors}
