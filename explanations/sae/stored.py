"""Our own file of an SAE: one safetensors file that holds what no other tool has a layout for (routers)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.models.storage import UnreadableFile, read_safetensors, write_safetensors

from .pursuit import Pursuit
from .router import Router
from .weights import SAE

FORMAT = "assay.sae/1"
RULES = ("architecture", "k", "subtract_b_dec", "site", "about", "normalise")


def save_sae(sae: SAE, path: Path | str) -> None:
    """Write an SAE of any kind, whole or not at all."""
    rules: dict[str, object] = {name: getattr(sae, name) for name in RULES}
    rules |= {"prefixes": list(sae.prefixes), "pursuit": sae.pursuit and asdict(sae.pursuit)}
    rules["router"] = sae.router and {"hard": sae.router.hard}
    tensors = dict(sae.tensors())
    if sae.router is not None:
        tensors |= {"router.W": sae.router.W, "router.b": sae.router.b}
    write_safetensors(tensors, {FORMAT: json.dumps(rules)}, path)


def is_ours(path: Path) -> bool:
    """Whether a safetensors file says that it is one."""
    return path.suffix == ".safetensors" and FORMAT in read_safetensors(path)[1]


def load_stored(path: Path | str) -> SAE:
    """Read what :func:`save_sae` wrote.  Raises `UnreadableFile`."""
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    try:
        rules = json.loads(metadata[FORMAT])
        router, pursuit = rules.pop("router"), rules.pop("pursuit")
        if router is not None:
            rules["router"] = Router(tensors.pop("router.W"), tensors.pop("router.b"), bool(router["hard"]))
        if pursuit is not None:
            rules["pursuit"] = Pursuit(**pursuit)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError("it holds NaN or infinite numbers")
        given: dict[str, Any] = {**rules, **tensors, "prefixes": tuple(rules["prefixes"])}
        return SAE(**given)
    except (KeyError, TypeError, ValueError, AttributeError, ExplanationError) as error:
        raise UnreadableFile(path, f"its description of the SAE does not fit: {error}") from error
