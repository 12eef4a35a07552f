"""Sparse autoencoders, by name or from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from assay.explanations import shipped
from assay.explanations.alternatives import Alternatives
from assay.explanations.errors import ExplanationError
from assay.explanations.sae import SAE, SAECoefficients, SAEMechanism, SAESite, sparser
from assay.explanations.sae.formats.saelens import load_saelens
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject


def sae(spec: Spec, subject: Subject) -> Any:
    """A SAELens folder, or the name of a shipped SAE; ``k`` and ``threshold`` make it sparser."""
    spec.only("site", "told", "k", "threshold")
    path = spec.needs_path("a SAELens folder, or the name of a shipped SAE")
    found: SAE = shipped.shipped_sae(path) if path in shipped.SAES else load_saelens(path)
    found = sparser(found, spec.integer("k"), spec.number("threshold"))
    if subject.setting == "mechanism":
        return _sae_mechanism(spec, subject, found)
    width = subject.activations().shape[1]
    if found.W_enc.shape[0] != width:
        raise ExplanationError(
            f"{spec.text!r}: the SAE reads {found.W_enc.shape[0]} coordinates, the site has {width}"
        )
    return SAESite(found)


def _sae_mechanism(spec: Spec, subject: Subject, sae: SAE) -> Any:
    """Features told by their encoder rows, or by their coefficients: the shorter, unless the user says."""
    sae = replace(sae, site=spec.options.get("site", sae.site))
    ways: dict[str, Callable[[], Any]] = {
        "encoder": lambda: SAEMechanism(sae, subject.model()),
        "coefficients": lambda: SAECoefficients(sae, subject.model(), subject.inputs()),
    }
    told = spec.options.get("told")
    if told is None:
        return Alternatives(f"SAE {sae.width}", [way() for way in ways.values()])
    if told not in ways:
        raise ExplanationError(f"{spec.text!r}: told={told!r} is not {' or '.join(ways)}")
    return ways[told]()
