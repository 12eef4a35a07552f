"""Our own files for parameter components: safetensors, with the rule of importance in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

from assay.models import Network
from assay.models.storage import UnreadableFile, read_safetensors, write_safetensors
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .attributions import Attributions
from .decomposed import Components
from .gates import Gates
from .importance import Always, Importance, Reads
from .oracle import Oracle

FORMAT = "assay.components/1"


def save_components(components: Components, path: Path | str) -> None:
    """Write components (and gates, where they decide) whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for weight, (L, R) in components.factors.items():
        tensors[f"{weight}|L"], tensors[f"{weight}|R"] = L, R
        tensors[f"{weight}|owner"] = components.owners[weight]
    importance = components.importance
    if isinstance(importance, Gates):
        for weight, gate in importance.weights.items():
            tensors |= {f"{weight}|gate|{key}": value for key, value in gate.items()}
    about = {"name": components.name, "importance": importance.recipe(), "about": components.about}
    write_safetensors(tensors, {"format": FORMAT, "components": json.dumps(about)}, path)


def is_ours(path: Path) -> bool:
    """Whether a file is one that :func:`save_components` wrote, by its content."""
    try:
        with safe_open(path, framework="pt") as file:
            return bool((file.metadata() or {}).get("format") == FORMAT)
    except (OSError, SafetensorError):
        return False


def load_components(path: Path | str, network: Network) -> Components:
    """Read what :func:`save_components` wrote, for the network that it decomposes.

    Raises :class:`UnreadableFile` where the file is not ours, ``ExplanationError`` where shapes do not fit.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise UnreadableFile(path, f"its metadata say format {metadata.get('format')!r}, expected {FORMAT!r}")
    try:
        about = json.loads(metadata["components"])
        weights = sorted({name.partition("|")[0] for name in tensors})
        factors = {w: (tensors[f"{w}|L"], tensors[f"{w}|R"]) for w in weights}
        rule = _importance(about["importance"], tensors, weights)
        told = {w: tensors[f"{w}|owner"] for w in weights if f"{w}|owner" in tensors}
        return Components(network, factors, rule, str(about["name"]), about["about"], told or None)
    except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
        raise UnreadableFile(path, f"its description of the components does not fit: {error}") from error


def _importance(rule: object, tensors: dict[str, Tensor], weights: list[str]) -> Importance:
    if not isinstance(rule, dict):
        raise TypeError(f"the rule of importance is {rule!r}, expected an object")
    threshold, tolerance = _number(rule, "threshold"), _number(rule, "tolerance")
    match rule.get("active"):
        case "always":
            return Always()
        case "reads":
            return Reads(threshold)
        case "oracle":
            return Oracle(tolerance)
        case "attributions":
            return Attributions(rule["attribution"], threshold, rule.get("k"))
        case "gates":
            gates = {w: _gate(tensors, w) for w in weights}
            return Gates(gates, threshold, str(rule.get("sigmoid", "leaky_hard")))
    raise TypeError(f"unknown rule {rule.get('active')!r}")


def _number(rule: dict[str, object], key: str) -> float:
    found = rule.get(key, 0.0)
    if not isinstance(found, int | float):
        raise TypeError(f"the {key} is {found!r}, expected a number")
    return found


def _gate(tensors: dict[str, Tensor], weight: str) -> dict[str, Tensor]:
    start = f"{weight}|gate|"
    gate = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    if not gate:
        raise KeyError(f"{weight}|gate")
    return gate
