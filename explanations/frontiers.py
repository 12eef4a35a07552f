"""Rate against distortion for what a user writes: each explanation over its own knob and the value step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assay.mdl.frontier import (
    PRECISIONS,
    Frontier,
    OperatingPoint,
    mechanism_points,
    site_points,
)

from .alternatives import Alternatives
from .errors import ExplanationError
from .registry import build
from .specs import Spec
from .weighing import Evidence, Progress, mechanism_problem, site_problem

KNOBS = ("k", "threshold", "keep")
"""Options that may hold several values, ``k=4:8:16``: each of them gives operating points."""


def frontiers(evidence: Evidence, specs: Sequence[str], progress: Progress | None = None) -> list[Frontier]:
    """A frontier for each spec; the values of its knobs join in one.

    At a site: bits against FVU, and against KL where the question's target is the outputs of a classifier
    or a language model. As a mechanism: bits of parts, support and values against what is left to correct.
    """
    evidence = with_grid(evidence)
    ways = [Spec.parse(text).each(KNOBS) for text in specs]
    total, done = sum(map(len, ways)), 0
    found: list[Frontier] = []
    for each in ways:
        points: list[OperatingPoint] = []
        name = ""
        for spec in each:
            made = build(spec.text, evidence.subject())
            name = name or made.name
            points += _points(evidence, made, knob(spec))
            done += 1
            if progress:
                progress("operating points", done, total)
        found.append(Frontier(_distinct(name, found), tuple(points)))
    return found


def with_grid(evidence: Evidence) -> Evidence:
    """The evidence with a grid to count steps from, where the user names none: a sixteenth of the spread."""
    question, activations = evidence.question, evidence.activations
    if question.delta is not None or activations is None:
        return evidence
    spread = float(activations.values.double().std(correction=0)) or 1.0
    return replace(evidence, question=replace(question, delta=spread / 16))


def knob(spec: Spec) -> str:
    """The setting of a spec's knobs, in words."""
    return ", ".join(f"{key}={spec.options[key]}" for key in KNOBS if key in spec.options)


def _points(evidence: Evidence, explanation: Any, knob: str) -> list[OperatingPoint]:
    wanted = evidence.question.precision
    precisions = PRECISIONS if wanted == "auto" else (wanted,)
    if isinstance(explanation, Alternatives):
        return [point for way in explanation.ways for point in _points(evidence, way, knob)]
    if evidence.question.setting == "site":
        problem = site_problem(evidence)
        if evidence.network is not None and evidence.network.output != "categorical":
            problem = replace(problem, downstream=None)
        return site_points(explanation, problem, knob, precisions)
    points = mechanism_points(explanation, mechanism_problem(evidence), knob, precisions)
    if all(math.isnan(p.fvu) and math.isnan(p.kl) for p in points):
        raise ExplanationError(f"{explanation.name}: neither FVU nor KL can be measured here")
    return points


def _distinct(name: str, found: Sequence[Frontier]) -> str:
    taken = {f.name for f in found}
    tries: Sequence[str] = [name, *(f"{name} ({i})" for i in range(2, len(found) + 2))]
    return next(one for one in tries if one not in taken)
