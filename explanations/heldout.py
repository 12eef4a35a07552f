"""Held-out lengths of what a user writes: the explanation is made from the first half of the data alone."""

from __future__ import annotations

from dataclasses import replace

from assay.mdl.audit import Checks
from assay.mdl.heldout import halves, held_out

from .registry import build
from .weighing import Evidence, site_problem

OPEN = "not possible: new data bring new parts"
ELSEWHERE = "only activations at a site are held out"


def held_out_checks(evidence: Evidence, spec: str) -> Checks:
    """Entries of a report's checks: the second half of the activations under what the first half gave.

    Where this says nothing (other targets, open-ended explanations), ``heldout`` says why.
    """
    if (evidence.question.setting, evidence.question.target) != ("site", "activations"):
        return {"heldout": ELSEWHERE}
    problem = site_problem(evidence)
    first, _ = halves(problem)
    assert evidence.activations is not None
    known = replace(evidence.activations, values=evidence.activations.values[first])
    explanation = build(spec, replace(evidence, activations=known).subject())
    if explanation.open_ended:
        return {"heldout": OPEN}
    return held_out(explanation, problem, evidence.question.precision).checks()
