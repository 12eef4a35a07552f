"""Circuits: from a file, by attribution, by magnitude, or by the length of their message."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from assay.explanations.alternatives import Alternatives
from assay.explanations.circuits import (
    CircuitFile,
    Cut,
    Donor,
    Graph,
    GraphCircuit,
    cut,
    prune_by_attribution,
    prune_by_magnitude,
    read_circuits,
    size,
)
from assay.explanations.circuits.graph import Start
from assay.explanations.errors import ExplanationError
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject
from assay.explanations.truth import true_circuit
from assay.models import programs

CUTS = ("keep", "edges", "threshold", "by", "level")
DONOR_DATA = 1024
ATTRIBUTED = 32
LEAST_EFFECT = 0.05  # bits
EDGE_METHODS = ("eap", "eap-ig", "eap-ig-activations")
METHODS = ("magnitude", "attribution", *EDGE_METHODS, "minimum-bits")


def circuit(spec: Spec, subject: Subject) -> Any:
    """A circuit of weights, units or edges."""
    if spec.path is not None:
        spec.only(*CUTS, "donor")
        return _from_file(spec, subject)
    if "from" in spec.options:
        return _known(spec, subject)
    if "parts" in spec.options:
        return _by_datum(spec, subject)
    default = "attribution" if subject.model().input == "token" else "magnitude"
    method = spec.options.get("method", default)
    if method in EDGE_METHODS:
        return _attributed(spec, subject, method)
    if method == "minimum-bits":
        return _shortest(spec, subject)
    if method not in METHODS:
        raise ExplanationError(f"{spec.text!r}: method {method!r} is not {', '.join(METHODS)}")
    spec.only("keep", "method")
    keep = spec.number("keep")
    keep = 0.5 if keep is None else keep
    if method == "magnitude":
        return prune_by_magnitude(subject.model(), keep)
    return prune_by_attribution(subject.model(), subject.inputs()[:ATTRIBUTED], keep)


def _known(spec: Spec, subject: Subject) -> Any:
    """The circuit that a compiled program's construction made."""
    spec.only("from")
    kind, _, program = subject.model().name.partition("-")
    if spec.options["from"] != "truth" or kind != "program" or program not in programs.PROGRAMS:
        known = ", ".join(f"program:{name}" for name in programs.PROGRAMS)
        raise ExplanationError(f"{spec.text!r}: only from=truth is known, and only of {known}")
    compiled = programs.load(program)
    if compiled.network.digest != subject.model().digest:
        raise ExplanationError(f"{spec.text!r}: the network is not {kind}:{program} as it is compiled here")
    return true_circuit(compiled)


def _by_datum(spec: Spec, subject: Subject) -> Any:
    """One part for each node or edge, active where it is needed."""
    from assay.explanations.circuits.local import LocalCircuit

    spec.only("parts", "threshold")
    threshold = spec.number("threshold")
    told: Any = spec.options["parts"]
    return LocalCircuit(subject.model(), told, LEAST_EFFECT if threshold is None else threshold)


def _cut(spec: Spec, keep: float | None = None) -> Cut:
    given: dict[str, Any] = {key: spec.options[key] for key in ("by", "level") if key in spec.options}
    told = spec.number("keep"), spec.integer("edges"), spec.number("threshold")
    return Cut(*(told if any(v is not None for v in told) else (keep, None, None)), **given)


def _donor(spec: Spec, subject: Subject, graph: Graph) -> Donor:
    name = spec.options.get("donor", "zero")
    if name == "zero":
        return Donor()
    inputs = subject.inputs() if name == "resample" else subject.inputs()[:DONOR_DATA]
    return Donor.of(name, subject.model(), graph, inputs, subject.seed)


def _from_file(spec: Spec, subject: Subject) -> Any:
    """The circuit of a file; of a submission of several the one that ``keep`` names, or the shortest."""
    path = Path(spec.needs_path("a circuit file or a submission"))
    files = read_circuits(path, subject.model())
    how = _cut(spec)
    if len(files) == 1:
        return _made(files[0], how, spec, subject)
    if how.as_told:
        return Alternatives("circuit", [_made(file, how, spec, subject) for file in files])
    if how.keep is None:
        raise ExplanationError(f"{spec.text!r}: {len(files)} circuits are chosen from by keep= alone")
    small = [file for file in files if size(file) <= how.keep]
    if not small:
        least = min(map(size, files))
        raise ExplanationError(f"{spec.text!r}: the smallest circuit keeps {least:.4g} of the edges")
    return _made(max(small, key=size), Cut(by=how.by, level=how.level), spec, subject)


def _made(told: CircuitFile, how: Cut, spec: Spec, subject: Subject) -> GraphCircuit:
    edges, neurons = cut(told, how)
    donor = _donor(spec, subject, told.graph)
    about: dict[str, object] = {"from": told.format}
    if not how.as_told:
        about |= {"level": how.level, "by": how.by}
        about |= {k: v for k, v in vars(how).items() if k in ("keep", "count", "threshold") and v is not None}
    return GraphCircuit(subject.model(), told.graph, edges, donor, neurons, "circuit", about)


def _attributed(spec: Spec, subject: Subject, method: Any) -> GraphCircuit:
    """Edges by attribution."""
    from assay.explanations.recipes.edge_attribution import STEPS, edge_scores

    spec.only("method", "donor", "data", "steps", "start", "keep", "edges", "threshold", "by")
    start = spec.options.get("start", "tokens")
    if start not in get_args(Start):
        raise ExplanationError(f"{spec.text!r}: start {start!r} is not {', '.join(get_args(Start))}")
    graph = Graph.of(subject.model(), start)  # type: ignore[arg-type]
    donor = _donor(spec, subject, graph)
    inputs = subject.inputs()[: _positive(spec, "data", ATTRIBUTED)]
    told = edge_scores(subject.model(), graph, inputs, donor, method, _positive(spec, "steps", STEPS))
    how = _cut(spec, keep=0.5)
    return _made(told, how, spec, subject)


def _shortest(spec: Spec, subject: Subject) -> Any:
    """By the length of the message."""
    from assay.explanations.recipes.minimum_bits import MinimumBitsRecipe, minimum_bits

    spec.only("method", "data", "level", "steps", "delta")
    if subject.outputs is None:
        raise ExplanationError(f"{spec.text!r}: minimum-bits needs the network's outputs (--target outputs)")
    given: dict[str, Any] = {"level": spec.options["level"]} if "level" in spec.options else {}
    recipe = MinimumBitsRecipe(
        steps=_positive(spec, "steps", MinimumBitsRecipe.steps), seed=subject.seed, **given
    )
    delta = subject.delta if spec.number("delta") is None else spec.number("delta")
    n_data = _positive(spec, "data", len(subject.outputs))
    return minimum_bits(subject.model(), subject.inputs(), subject.outputs[:], n_data, delta, recipe)


def _positive(spec: Spec, key: str, default: int) -> int:
    value = spec.integer(key)
    if value is not None and value < 1:
        raise ExplanationError(f"{spec.text!r}: {key}={value} must be at least 1")
    return default if value is None else value
