"""GitHub Actions: annotations at the claims, and a summary of the job.

Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .judged import Judged, from_root

if TYPE_CHECKING:
    from assay.proofs import InputError


def running() -> bool:
    """Whether a GitHub workflow runs this."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def claim_annotations(found: Iterable[Judged], allow_unknown: bool) -> list[str]:
    """A workflow command for each claim that is not proved."""
    return [
        _command(
            "warning" if judged.status == "unknown" and allow_unknown else "error",
            "\n".join(judged.details),
            {
                "file": judged.file.as_posix(),
                "line": judged.line,
                "col": judged.column,
                "title": f"{judged.status}: {judged.outcome.name}",
            },
        )
        for judged in found
        if judged.status != "proved"
    ]


def fault_annotations(error: InputError) -> list[str]:
    """A workflow command for each fault of a claim file that has a place."""
    return [
        _command(
            "error",
            fault.message,
            {
                "file": from_root(Path(fault.where)).as_posix(),
                "line": fault.line,
                "col": fault.column or 1,
                "title": "not a claim",
            },
        )
        for fault in error.faults
        if fault.line is not None
    ]


def _command(kind: str, message: str, properties: dict[str, str | int]) -> str:
    told = ",".join(
        f"{key}={_escaped(str(value)).replace(':', '%3A').replace(',', '%2C')}"
        for key, value in properties.items()
    )
    return f"::{kind} {told}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def append_summary(found: Sequence[Judged]) -> None:
    """Append a table of all claims to the job's summary, where the job has one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(summary(found))


def summary(found: Sequence[Judged]) -> str:
    """All claims as a Markdown table, under a count of the verdicts."""
    statuses = [judged.status for judged in found]
    counts = [f"{statuses.count(s)} {s}" for s in ("proved", "refuted", "unknown") if s in statuses]
    rows = [
        f"| **{judged.status}** | {_cell(judged.outcome.name)} "
        f"| {_cell(judged.file.as_posix())}:{judged.line} "
        f"| {'<br>'.join(map(_cell, judged.details))} |"
        for judged in found
    ]
    head = ["", f"### Claims: {', '.join(counts) or 'none'}", ""]
    return "\n".join([*head, "| verdict | claim | where | evidence |", "|---|---|---|---|", *rows, "", ""])


def _cell(text: str) -> str:
    """Text that is shown as it stands: every sign that Markdown or HTML might read becomes an entity."""
    return re.sub(r"[^\w .,()/-]|_", lambda sign: f"&#{ord(sign[0])};", text)
