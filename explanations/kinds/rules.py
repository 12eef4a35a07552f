"""Rules: expressions of the inputs."""

from __future__ import annotations

from typing import Any

from assay.explanations.errors import ExplanationError
from assay.explanations.rules import Rule
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject


def rule(spec: Spec, subject: Subject) -> Any:
    """An expression such as ``x1 == x2``; ``trust=certain`` leaves no doubt, and makes exceptions instead."""
    spec.only("trust")
    text = spec.needs_path("an expression of the inputs, such as x1 == x2 or second_max(x)")
    if subject.outputs is None:
        raise ExplanationError("a rule says outputs: use --setting mechanism")
    if (trust := spec.options.get("trust", "fitted")) not in ("fitted", "certain"):
        raise ExplanationError(f"{spec.text!r}: trust={trust!r} is not fitted or certain")
    outputs = subject.outputs[:].to(subject.model().device)
    return Rule(subject.model(), text, subject.inputs(), outputs, trust == "certain")
