"""ReLU activation patterns."""

from __future__ import annotations

from typing import Any

from assay.explanations.polytopes import PatternCodebook, Polytopes
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject


def polytopes(spec: Spec, subject: Subject) -> Any:
    """The affine map of each region of a network, or the mean of each sign pattern at a site."""
    spec.only()
    if subject.setting == "site":
        return PatternCodebook(subject.activations())
    return Polytopes(subject.model(), subject.inputs())
