"""What every explanation is held against: the network, lists, answers, a student."""

from __future__ import annotations

from typing import Any

from assay.explanations.codebook import Codebook
from assay.explanations.errors import ExplanationError
from assay.explanations.specs import Spec
from assay.explanations.student import Student
from assay.explanations.subject import Subject
from assay.explanations.whole import Answers, Lookup, WholeNetwork


def lookup(spec: Spec, subject: Subject) -> Any:
    """A list: of the rows at a site, or of one computation for each datum."""
    spec.only()
    if subject.setting == "site":
        return Codebook(subject.activations())
    return Lookup(subject.model(), subject.inputs())


def network(spec: Spec, subject: Subject) -> Any:
    """All weights, always."""
    spec.only()
    return WholeNetwork(subject.model())


def answers(spec: Spec, subject: Subject) -> Any:
    """The outputs one by one, with no mechanism."""
    spec.only()
    if subject.outputs is None:
        raise ExplanationError("answers are told in the mechanism setting")
    return Answers(subject.model(), subject.outputs[:])


def student(spec: Spec, subject: Subject) -> Any:
    """A network that learns the outputs as they come."""
    spec.only("seed")
    if subject.outputs is None:
        raise ExplanationError("a student learns the outputs of a mechanism")
    seed = spec.integer("seed")
    return Student(subject.model(), subject.inputs(), subject.outputs, subject.seed if seed is None else seed)
