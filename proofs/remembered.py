"""Certificates of before: an unchanged claim about unchanged weights is checked again, not proved again.

What a certificate says of claim, networks and weights has to be what would be written now; then the checker
reads it as it reads any other. So it does not matter who wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import certificates
from .claims import Claim
from .obligations import Obligation

MAX_BYTES = 1 << 30
_EVIDENCE = {"verdict", "evidence", "seal"}


def candidates(
    obligation: Obligation, digests: Mapping[str, str], folder: Path
) -> Iterator[tuple[Path, Any]]:
    """Certificates in a folder that are about this claim, these networks and these weights; where the claim
    names no lemmas, with whatever lemmas the search came upon."""
    aside = _EVIDENCE if obligation.claim.lemmas else _EVIDENCE | {"lemmas"}
    wanted = _statement(certificates.document(obligation, digests, "proved", []), aside)
    for path in sorted(folder.glob(_pattern(obligation.claim))):
        data = _read(path)
        if isinstance(data, dict) and _statement(data, aside) == wanted:
            yield path, data


def _pattern(claim: Claim) -> str:
    return certificates.file_name(claim, "\0").replace("\0", "*")


def _statement(data: Mapping[str, Any], aside: set[str]) -> dict[str, Any]:
    """All of a certificate but what makes it true."""
    return {key: value for key, value in data.items() if key not in aside}


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
