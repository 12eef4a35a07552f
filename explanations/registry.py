"""The kinds of explanation that ship, and those that plug-ins register.

A plug-in registers a builder under the entry-point group ``assay.explanations``, named by its kind: a
callable ``(Spec, Subject) -> explanation``. The explanation then plays in whichever setting its methods fit.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from .errors import ExplanationError
from .kinds import baselines, bases, circuits, components, polytopes, rules, saes
from .specs import Spec
from .subject import Builder, Subject

KINDS: dict[str, Builder] = {
    "neurons": bases.neurons,
    "pca": bases.pca,
    "rotation": bases.rotation,
    "sae": saes.sae,
    "transcoder": saes.transcoder,
    "lookup": baselines.lookup,
    "network": baselines.network,
    "answers": baselines.answers,
    "student": baselines.student,
    "circuit": circuits.circuit,
    "components": components.components,
    "polytopes": polytopes.polytopes,
    "rule": rules.rule,
}
SITE_ONLY = {"pca", "rotation"}
MECHANISM_ONLY = {"network", "answers", "student", "circuit", "components", "transcoder", "rule"}


def build(text: str, subject: Subject) -> Any:
    """The explanation that a user's text names, about a subject.

    Raises :class:`ExplanationError` for an unknown kind, option or setting.
    """
    spec = Spec.parse(text)
    builder = KINDS.get(spec.kind) or _plugin(spec.kind)
    wrong = MECHANISM_ONLY if subject.setting == "site" else SITE_ONLY
    if spec.kind in wrong:
        other = "mechanism" if subject.setting == "site" else "site"
        raise ExplanationError(f"{text!r}: {spec.kind} plays in --setting {other}, not in {subject.setting}")
    made = builder(spec, subject)
    if "name" in spec.options:
        made.name = spec.options["name"]
    return made


def _plugin(kind: str) -> Builder:
    for point in entry_points(group="assay.explanations"):
        if point.name == kind:
            loaded: Builder = point.load()
            return loaded
    plugins = [point.name for point in entry_points(group="assay.explanations")]
    raise ExplanationError(f"unknown kind {kind!r}; kinds are {', '.join((*KINDS, *plugins))}")
