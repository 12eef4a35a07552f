"""Parameter components: by name, from a file or a run, or made from the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.explanations import shipped
from assay.explanations.components import (
    Always,
    Attributions,
    Components,
    Gates,
    Importance,
    Oracle,
    Reads,
    load_components,
    load_run,
    planted_components,
    svd_components,
)
from assay.explanations.components.runs import run_config
from assay.explanations.components.stored import is_ours
from assay.explanations.errors import ExplanationError
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject
from assay.models import Network

RULES = ("gates", "attributions", "reads", "oracle", "always")
KNOBS = ("threshold", "topk", "tolerance")
TOLERANCE = 0.05
"""By default the oracle may move no output by more than this part of the outputs' standard deviation."""


def components(spec: Spec, subject: Subject) -> Any:
    """Components from a shipped name, a file or a run, or made from the network's weights.

    ``active`` is who is needed: gates, attributions (as the run of APD was configured, or with ``topk``),
    reads (more than ``threshold``), oracle (outputs stay within ``tolerance``) or always.
    """
    spec.only("from", "active", "weights", "step", "instance", *KNOBS)
    made = _made_components(spec, subject.model())
    rule = _rule(spec, subject, made)
    if rule is made.importance:
        return made
    name = f"{made.name}, all active" if isinstance(rule, Always) else made.name
    return Components(made.network, made.factors, rule, name, made.about, made.owners)


def _made_components(spec: Spec, network: Network) -> Components:
    if spec.path in shipped.COMPONENTS:
        spec.only("active", *KNOBS)
        return shipped.shipped_components(str(spec.path), network)
    if spec.path is not None:
        return _from_files(spec, Path(spec.path), network)
    match spec.options.get("from"):
        case "svd":
            matrices = [n for n, v in network.parameters().items() if v.ndim == 2]
            chosen = spec.options.get("weights")
            return svd_components(network, tuple(chosen.split("+") if chosen else matrices))
        case "truth":
            return planted_components(network)
    raise ExplanationError(f"{spec.text!r}: expected components:PATH, or from=svd or from=truth")


def _from_files(spec: Spec, path: Path, network: Network) -> Components:
    """A file of ours, by its content; else a run: its folder, or one of its checkpoints."""
    if is_ours(path):
        spec.only("active", *KNOBS)
        return load_components(path, network)
    spec.only("active", "step", "instance", *KNOBS)
    return load_run(path, network, spec.integer("step"), spec.integer("instance") or 0)


def _rule(spec: Spec, subject: Subject, made: Components) -> Importance:
    """The rule that was asked for; by default the file's own, and attributions for APD."""
    own = made.importance
    undecided = made.about.get("from") == "APD" and isinstance(own, Always)
    match spec.options.get("active", "attributions" if undecided else None):
        case None | "gates" if isinstance(own, Gates):
            given = spec.number("threshold")
            return own if given is None else replace(own, threshold=given)
        case None:
            return own
        case "always":
            return Always()
        case "reads":
            return Reads(spec.number("threshold") or 0.0)
        case "gates":
            raise ExplanationError(f"{spec.text!r}: active=gates, but these components come without gates")
        case "oracle":
            return Oracle(_tolerance(spec, subject))
        case "attributions":
            return _attributions(spec, subject, made)
    got = spec.options["active"]
    raise ExplanationError(f"{spec.text!r}: active={got!r} is not one of {', '.join(RULES)}")


def _tolerance(spec: Spec, subject: Subject) -> float:
    given = spec.number("tolerance")
    if given is not None:
        return given
    x = subject.inputs()
    return TOLERANCE * float(subject.model()(x).std())


def _attributions(spec: Spec, subject: Subject, made: Components) -> Attributions:
    """As the run is configured: which attributions, how many components, over a batch or on each datum."""
    config = run_config(spec.path) if spec.path is not None and spec.path not in shipped.COMPONENTS else {}
    kind = str(config.get("attribution_type", "gradient"))
    topk = spec.number("topk") if "topk" in spec.options else config.get("topk")
    if not isinstance(topk, int | float) or not topk > 0:
        raise ExplanationError(f"{spec.text!r}: topk (components per datum) is {topk!r}: give topk=… above 0")
    if not config.get("batch_topk", True):
        return Attributions(kind, k=int(topk))  # type: ignore[arg-type]
    return Attributions.fit(kind, float(topk), made, subject.inputs())
