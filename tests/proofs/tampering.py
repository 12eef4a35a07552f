"""Certificates of bounds that somebody tampered with, beside the good one and its weights."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from assay.proofs.strategies.sealing import sealed


def verdict(checker: ModuleType, path: Path) -> str:
    """What a stand-alone checker says of a file."""
    try:
        return str(checker.check(path, {}))
    except Exception as error:
        return f"REJECTED: {error}"


def changed(good: Path, field: str, change: Any, seal: bool = True) -> Path:
    """Another value of a field, or what a function makes of the value; sealed again, or not."""
    content = json.loads(good.read_text())
    content[field] = change(content[field]) if callable(change) else change
    return _beside(good, content, seal and field != "seal")


def without(good: Path, field: str, seal: bool = True) -> Path:
    """The same but for a field that is left out."""
    content = json.loads(good.read_text())
    del content[field]
    return _beside(good, content, seal and field != "seal")


def resealed(content: dict[str, Any]) -> bytes:
    """A certificate whose seal is right for what it says now."""
    return sealed({name: value for name, value in content.items() if name != "seal"})


def _beside(good: Path, content: dict[str, Any], seal: bool) -> Path:
    path = good.with_name("tampered.json")
    path.write_bytes(resealed(content) if seal else json.dumps(content).encode())
    return path
