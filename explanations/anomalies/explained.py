"""Detectors from explanations that a user names, fitted to trusted data at a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assay.explanations.alternatives import Alternatives
from assay.explanations.errors import ExplanationError
from assay.explanations.registry import build
from assay.explanations.subject import Setting, Subject
from assay.models import Dataset, Network, Scope

from .detection import Detector
from .growth import Growth
from .observations import Observations
from .output_bits import OutputBits, tolerated_delta
from .site_bits import Fitted, SiteBits, affordable, usual_delta, within_budget
from .worst import WorstCase


def explained(
    specs: Sequence[str],
    network: Network | None,
    trusted: Observations,
    *,
    setting: Setting = "site",
    site: str | None = None,
    delta: float | None = None,
    budget: float | None = None,
    tolerance: float = 0.001,
    seed: int = 0,
) -> list[Detector]:
    """Bits under each explanation (``KIND[:PATH][,key=value…]``) whose parts fit the ``budget`` in bits.

    At a site the shortest of them is also fine-tuned for each input, and the worst case over all is taken.
    Raises :class:`ExplanationError` where no explanation fits.
    """
    made = [build(spec, _subject(network, trusted, setting, site, delta, seed)) for spec in specs]
    limit = float("inf") if budget is None else budget
    if any(isinstance(one, Alternatives) for one in made):
        raise ExplanationError(
            "an explanation that is told in one of several ways has no fixed prices: name one"
        )
    if setting == "mechanism":
        return list(_named([_outputs(one, network, trusted, delta) for one in made], limit))
    step = delta if delta is not None else usual_delta(trusted)
    fitted = [SiteBits.fit(one, trusted, step) for one in made]
    best = within_budget(fitted, limit)
    kept = _named(fitted, limit)
    return [*kept, Growth(best), WorstCase(tuple(kept), tolerance)]


def _subject(
    network: Network | None,
    trusted: Observations,
    setting: Setting,
    site: str | None,
    delta: float | None,
    seed: int,
) -> Subject:
    dataset = None
    if trusted.inputs is not None and network is not None:
        unit = "sequence" if network.input == "token" else "sample"
        scope = Scope("trusted", "those that detectors are fitted to")
        dataset = Dataset("trusted", trusted.inputs, trusted.labels, unit, scope)  # type: ignore[arg-type]
    at = trusted.activations if setting == "site" else None
    outputs = trusted.outputs
    if outputs is not None and network is not None:
        outputs = outputs.to(network.device)
    return Subject(setting, network, dataset, site, at, outputs, seed, delta)


def _outputs(
    explanation: Any, network: Network | None, trusted: Observations, delta: float | None
) -> OutputBits:
    if network is None:
        raise ExplanationError("the bits of outputs need the network: --setting site has activations alone")
    step = None
    if network.output == "regression":
        step = delta if delta is not None else tolerated_delta(explanation, trusted)
    return OutputBits.fit(explanation, trusted, step)


def _named(fitted: Sequence[Fitted], budget: float) -> list[Fitted]:
    """Those within the budget, each named with what its parts take."""
    return [
        replace(one, name=f"{one.name} ({one.parts_bits:,.0f} bits)") for one in affordable(fitted, budget)
    ]
