"""Parameter components, by name, from a file, or made from the network."""

from __future__ import annotations

from typing import Any

from assay.explanations import shipped
from assay.explanations.components import Always, Components, planted_components, svd_components
from assay.explanations.errors import ExplanationError
from assay.explanations.specs import Spec
from assay.explanations.stored import load_components
from assay.explanations.subject import Subject
from assay.models import Network


def components(spec: Spec, subject: Subject) -> Any:
    """Components from a file or a shipped name, or made from the network's weights."""
    spec.only("from", "active", "weights")
    network = subject.model()
    made = _made_components(spec, network)
    if (active := spec.options.get("active", "always")) != "always":
        raise ExplanationError(f"{spec.text!r}: active={active!r} is not always")
    if "active" in spec.options:
        return Components(network, made.factors, Always(), f"{made.name}, all active", made.about)
    return made


def _made_components(spec: Spec, network: Network) -> Components:
    if spec.path in shipped.COMPONENTS:
        return shipped.shipped_components(str(spec.path), network)
    if spec.path is not None:
        return load_components(spec.path, network)
    match spec.options.get("from"):
        case "svd":
            matrices = [n for n, v in network.parameters().items() if v.ndim == 2]
            chosen = spec.options.get("weights")
            return svd_components(network, tuple(chosen.split("+") if chosen else matrices))
        case "truth":
            return planted_components(network)
    raise ExplanationError(f"{spec.text!r}: expected components:PATH, or from=svd or from=truth")
