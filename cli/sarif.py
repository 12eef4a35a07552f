"""Verdicts as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format): refuted and unknown claims."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .judged import Judged
from .version import installed_version

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RULES: tuple[dict[str, Any], ...] = (
    {
        "id": "assay/refuted",
        "name": "ClaimRefuted",
        "shortDescription": {"text": "A claim about a network is false."},
        "fullDescription": {
            "text": "An input in the claim's scope, run through the network, contradicts it."
        },
        "defaultConfiguration": {"level": "error"},
    },
    {
        "id": "assay/unknown",
        "name": "ClaimUnknown",
        "shortDescription": {"text": "A claim about a network was neither proved nor refuted."},
        "fullDescription": {
            "text": "The search stopped before it could decide; the message says where and why."
        },
        "defaultConfiguration": {"level": "warning"},
    },
)


def sarif(found: Iterable[Judged]) -> str:
    """The log as JSON text: one run, one result for each claim that is not proved."""
    driver: dict[str, Any] = {"name": "assay", "version": installed_version(), "rules": list(RULES)}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(judged) for judged in found if judged.status != "proved"],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


def _result(judged: Judged) -> dict[str, Any]:
    ids = [rule["id"] for rule in RULES]
    rule = ids.index(f"assay/{judged.status}")
    same = f"{judged.file.as_posix()}\0{judged.outcome.name}"
    return {
        "ruleId": ids[rule],
        "ruleIndex": rule,
        "level": RULES[rule]["defaultConfiguration"]["level"],
        "message": {"text": "\n".join([judged.headline, *judged.details])},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(judged.file),
                    "region": {"startLine": judged.line, "startColumn": judged.column},
                }
            }
        ],
        # A claim that moves within its file stays the same alert.
        "partialFingerprints": {"assayClaim/v1": hashlib.sha256(same.encode()).hexdigest()},
    }


def _artifact(file: Path) -> dict[str, str]:
    if file.is_absolute():
        return {"uri": file.as_uri()}
    return {"uri": quote(file.as_posix()), "uriBaseId": "%SRCROOT%"}
