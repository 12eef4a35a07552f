"""Circuits from the field's files, recognised by what is in them; nothing in a file is ever run.

- EAP-IG and MIB: JSON or ``.pt`` with ``cfg``, nodes and edges (:mod:`eap`); a folder is a submission;
- AutoCircuit: a ``.pt`` or ``.pkl`` of scores by module name (:mod:`autocircuit`);
- Edge-Pruning: ``edges.json``, a list of pairs (:mod:`edge_pruning`);
- ACDC: a graph in the dot language (:mod:`acdc`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.explanations.errors import ExplanationError
from assay.models import Network
from assay.models.state_dicts import read_torch

from . import acdc, autocircuit, eap, edge_pruning
from .told import CircuitFile

SUBMISSION = 9
DOT = re.compile(r"^\s*(strict\s+)?(di)?graph\b", re.IGNORECASE)
KNOWN = (
    "an EAP-IG or MIB circuit (JSON or .pt), AutoCircuit scores (.pt, .pkl), "
    "Edge-Pruning edges (JSON) or an ACDC graph (.gv)"
)


def read_circuits(path: Path, network: Network) -> list[CircuitFile]:
    """What a file, or each file of a submission, says about a network's graph, smallest name first.

    A submission is a folder with one file of scores or nine circuits. Raises :class:`ExplanationError`.
    """
    if not path.is_dir():
        return [read_circuit(path, network)]
    files = sorted(p for p in path.iterdir() if p.suffix in (".json", ".pt"))
    if len(files) not in (1, SUBMISSION):
        raise ExplanationError(
            f"{path}: a folder of circuits holds 1 or {SUBMISSION} .json or .pt files, got {len(files)}"
        )
    return [read_circuit(file, network) for file in files]


def read_circuit(path: Path, network: Network) -> CircuitFile:
    """What one file says; raises :class:`ExplanationError` for what is no circuit of this graph.

    Torch content that is not whole, or would run code, raises ``UnreadableFile``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExplanationError(f"{path}: cannot be read: {error.strerror}") from error
    if content[:2] == b"PK" or content[:1] == b"\x80":
        return _told(path, network, read_torch(path), {_is_eap: eap.read, _is_scores: autocircuit.read})
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExplanationError(f"{path}: neither torch content nor text; expected {KNOWN}") from error
    if text.lstrip()[:1] in ("{", "["):
        return _told(path, network, _json(path, text), {_is_eap: eap.read, _is_pairs: edge_pruning.read})
    if DOT.match(acdc.without_comments(text)):
        return acdc.read(text, network, str(path))
    raise ExplanationError(f"{path}: expected {KNOWN}")


Reader = Callable[[Any, Network, str], CircuitFile]


def _told(
    path: Path, network: Network, content: Any, readers: dict[Callable[[Any], bool], Reader]
) -> CircuitFile:
    for fits, reader in readers.items():
        if fits(content):
            return reader(content, network, str(path))
    held = f"a {type(content).__name__}"
    if isinstance(content, dict):
        held += f" with keys {', '.join(sorted(map(str, content))[:8])}"
    raise ExplanationError(f"{path}: holds {held}; expected {KNOWN}")


def _is_eap(content: Any) -> bool:
    return isinstance(content, dict) and "cfg" in content


def _is_scores(content: Any) -> bool:
    return isinstance(content, dict) and bool(content) and not eap.KEYS & content.keys()


def _is_pairs(content: Any) -> bool:
    return isinstance(content, list)


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExplanationError(f"{path}: not JSON: {error}") from error
