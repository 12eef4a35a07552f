"""Our own files for parameter components: safetensors, with the rule of importance in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

from assay.models import Network
from assay.models.storage import UnreadableFile, read_safetensors, write_safetensors
from torch import Tensor

from .components import Always, Components, Gates, Importance, Reads

FORMAT = "assay.components/1"


def save_components(components: Components, path: Path | str) -> None:
    """Write components (and gates, where they decide) whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for weight, (L, R) in components.factors.items():
        tensors[f"{weight}|L"], tensors[f"{weight}|R"] = L, R
    importance = components.importance
    if isinstance(importance, Gates):
        for weight, gate in importance.weights.items():
            tensors |= {f"{weight}|gate|{key}": value for key, value in gate.items()}
    about = {"name": components.name, "importance": importance.recipe(), "about": components.about}
    write_safetensors(tensors, {"format": FORMAT, "components": json.dumps(about)}, path)


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
        return Components(network, factors, rule, str(about["name"]), about["about"])
    except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
        raise UnreadableFile(path, f"its description of the components does not fit: {error}") from error


def _importance(rule: object, tensors: dict[str, Tensor], weights: list[str]) -> Importance:
    if not isinstance(rule, dict):
        raise TypeError(f"the rule of importance is {rule!r}, expected an object")
    threshold = rule.get("threshold", 0.0)
    if not isinstance(threshold, int | float):
        raise TypeError(f"the threshold is {threshold!r}, expected a number")
    match rule.get("active"):
        case "always":
            return Always()
        case "reads":
            return Reads(threshold)
        case "gates":
            keys = ("mlp_in", "in_bias", "mlp_out", "out_bias")
            return Gates({w: {k: tensors[f"{w}|gate|{k}"] for k in keys} for w in weights}, threshold)
    raise TypeError(f"unknown rule {rule.get('active')!r}")
