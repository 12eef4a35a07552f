"""Pruned circuits."""

from __future__ import annotations

from typing import Any

from assay.explanations.circuits import prune_by_attribution, prune_by_magnitude
from assay.explanations.errors import ExplanationError
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject


def circuit(spec: Spec, subject: Subject) -> Any:
    """A circuit pruned by magnitude or by attribution."""
    spec.only("keep", "method")
    network, keep = subject.model(), spec.number("keep")
    keep = 0.5 if keep is None else keep
    default = "attribution" if network.input == "token" else "magnitude"
    match spec.options.get("method", default):
        case "magnitude":
            return prune_by_magnitude(network, keep)
        case "attribution":
            return prune_by_attribution(network, subject.inputs()[:32], keep)
        case other:
            raise ExplanationError(f"{spec.text!r}: method {other!r} is not magnitude or attribution")
