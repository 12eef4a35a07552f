"""Held-out lengths of what a user writes: the explanation is made from the first half of the data alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from assay.mdl.audit import Checks
from assay.mdl.heldout import halves, held_out, held_out_mechanism
from assay.mdl.mechanism_score import score_mechanism
from assay.mdl.score import shortest_of

from .alternatives import Alternatives
from .registry import build
from .student import Student
from .weighing import Evidence, mechanism_problem, site_problem

OPEN = "not possible: new data bring new parts"
LEARNS = "not needed: a student pays for each answer before it has learned from it"


def held_out_checks(evidence: Evidence, spec: str) -> Checks:
    """Entries of a report's checks: the second half of the data under what the first half gave.

    Where this says nothing (open-ended explanations, students), ``heldout`` says why.
    """
    known = first_half(evidence)
    explanation, precision = build(spec, known.subject()), evidence.question.precision
    if isinstance(explanation, Student):
        return {"heldout": LEARNS}
    if evidence.question.setting == "site":
        if explanation.open_ended:
            return {"heldout": OPEN}
        return held_out(explanation, site_problem(evidence), precision).checks()
    explanation = _way(explanation, known)
    if explanation.open_ended:
        return {"heldout": OPEN}
    return held_out_mechanism(explanation, mechanism_problem(evidence), precision).checks()


def first_half(evidence: Evidence) -> Evidence:
    """The evidence as it was when only the first half of the data had come."""
    activations, dataset, outputs = evidence.activations, evidence.dataset, evidence.outputs
    if activations is not None:
        first, _ = halves(len(activations) // activations.positions)
        activations = activations.take(first.stop)
    if dataset is not None:
        data, _ = halves(len(dataset))
        dataset = dataset.take(data.stop)
        outputs = None if outputs is None else outputs[data]
    return replace(evidence, activations=activations, dataset=dataset, outputs=outputs)


def _way(explanation: Any, known: Evidence) -> Any:
    """Of alternatives, the way that is shortest on the first half."""
    if not isinstance(explanation, Alternatives):
        return explanation
    problem, precision = mechanism_problem(known), known.question.precision
    return explanation.ways[shortest_of([score_mechanism(w, problem, precision) for w in explanation.ways])]
