"""Reports: what a score says, as JSON (``assay.report/1``), and the tidy frames made from them."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from .intervals import interval
from .law import Law, Rate
from .ledger import SECTIONS, Section, Status
from .parts import PartWay
from .score import Score

SCHEMA: Literal["assay.report/1"] = "assay.report/1"

Bits = Annotated[
    float,
    BeforeValidator(lambda v: {"inf": math.inf, "nan": math.nan}.get(v, v) if isinstance(v, str) else v),
    PlainSerializer(
        lambda v: v if math.isfinite(v) else ("nan" if math.isnan(v) else "inf"), return_type=float | str
    ),
]
"""A number that may be infinite or absent; JSON has neither, so they travel as "inf" and "nan"."""


class ReportError(ValueError):
    """A report that cannot be read, or cannot be compared."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScopeRecord(_Record):
    """What was scored, and what the receiver is taken to know."""

    model: str
    model_digest: str
    dataset: str
    data_fingerprint: str
    condition: str
    distribution: str
    setting: Literal["site", "mechanism"]
    site: str | None
    target: Literal["activations", "outputs", "answers"]
    delta: float | None
    donor: str
    receiver_knows: str
    data: int
    rows: int
    unit: str


class ExplanationRecord(_Record):
    """Which explanation, and how it was made."""

    kind: str
    name: str
    digest: str
    recipe: dict[str, Any]


class LineRecord(_Record):
    """One line of the ledger."""

    name: str
    section: Section
    code: str
    bits: Bits
    bits_per_sample: Bits
    header_bits: float
    status: Status


class LedgerRecord(_Record):
    """All lines; ``total`` is their sum."""

    lines: tuple[LineRecord, ...]
    total: Bits
    total_per_sample: Bits


class WayRecord(_Record):
    """One way to code a tensor of the parts: bits by usage count, the remainder last."""

    name: str
    header: float
    bits: tuple[float, ...]


class RateRecord(_Record):
    """One linear code of a line."""

    name: str
    header: float
    per_datum: float


class LawRecord(_Record):
    """L(N), complete: parts are grouped by their usage count k_c."""

    n: int
    usage: tuple[int, ...]
    preamble: float
    open_ended: bool
    parts: tuple[tuple[WayRecord, ...], ...]
    rates: dict[str, tuple[RateRecord, ...]]
    at: dict[int, Bits]
    rate: Bits

    def law(self) -> Law:
        """The law as a function."""
        ways = tuple(tuple(PartWay(w.name, w.header, np.array(w.bits)) for w in t) for t in self.parts)
        rates = {k: tuple(Rate(r.name, r.header, r.per_datum) for r in v) for k, v in self.rates.items()}
        usage = np.array(self.usage, dtype=np.int64)
        return Law(self.n, usage, ways, self.preamble, rates, self.open_ended)


class IntervalRecord(_Record):
    """95 % block-bootstrap interval of the total per sample, and the blocks, for paired comparison."""

    total_per_sample: tuple[Bits, Bits]
    block_bits: tuple[Bits, ...]
    block_rows: tuple[float, ...]


class EnvironmentRecord(_Record):
    """What ran it."""

    assay: str
    python: str
    torch: str
    device: str
    seed: int
    command: str


class Report(_Record):
    """A score of one explanation, whole."""

    schema_: Literal["assay.report/1"] = Field(SCHEMA, alias="schema")
    scope: ScopeRecord
    explanation: ExplanationRecord
    ledger: LedgerRecord
    samples: int
    intervals: IntervalRecord
    law: LawRecord
    knobs: dict[str, float | int | str]
    faithfulness: dict[str, Bits]
    checks: dict[str, float | int | str | bool]
    readings: dict[str, Bits] = Field(default_factory=dict)
    claims: tuple[dict[str, Any], ...] = ()
    environment: EnvironmentRecord

    def section(self, section: Section) -> float:
        """Bits per sample of a section."""
        return math.fsum(line.bits_per_sample for line in self.ledger.lines if line.section == section)

    def save(self, path: Path | str) -> None:
        """Write whole or not at all."""
        write_whole(Path(path), self.model_dump_json(by_alias=True, indent=1) + "\n")


def make_report(
    score: Score,
    scope: ScopeRecord,
    explanation: ExplanationRecord,
    environment: EnvironmentRecord,
    checks: Mapping[str, float | int | str | bool] | None = None,
) -> Report:
    """A report of a score."""
    ledger, law = score.ledger, score.law.grouped()
    lines = tuple(
        LineRecord(
            name=line.name,
            section=line.section,
            code=line.code,
            bits=line.bits,
            bits_per_sample=ledger.per_sample(line.bits),
            header_bits=line.header,
            status=line.status,
        )
        for line in ledger.lines
    )
    return Report(
        schema=SCHEMA,
        scope=scope,
        explanation=explanation,
        ledger=LedgerRecord(
            lines=lines, total=ledger.total, total_per_sample=ledger.per_sample(ledger.total)
        ),
        samples=ledger.samples,
        intervals=_intervals(score),
        law=_law_record(law),
        knobs=score.knobs,
        faithfulness=score.faithfulness,
        checks=dict(checks or {}),
        environment=environment,
    )


def _intervals(score: Score) -> IntervalRecord:
    rows = score.block_rows * (score.ledger.samples / score.block_rows.sum())
    centre = (score.ledger.total - score.blocks.sum()) if np.isfinite(score.blocks).all() else 0.0
    low, high = interval(score.blocks, rows, centre)
    return IntervalRecord(
        total_per_sample=(low, high), block_bits=tuple(score.blocks.tolist()), block_rows=tuple(rows.tolist())
    )


def _law_record(law: Law) -> LawRecord:
    return LawRecord(
        n=law.n,
        usage=tuple(law.usage.tolist()),
        preamble=law.preamble,
        open_ended=law.open_ended,
        parts=tuple(
            tuple(WayRecord(name=w.name, header=w.header, bits=tuple(w.bits.tolist())) for w in ways)
            for ways in law.parts
        ),
        rates={
            line: tuple(RateRecord(name=r.name, header=r.header, per_datum=r.per_datum) for r in ways)
            for line, ways in law.rates.items()
        },
        at={N: law(N) for N in (1, 1_000, 1_000_000)},
        rate=law.rate,
    )


def environment(device: str, seed: int, command: str) -> EnvironmentRecord:
    """The environment of this process."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    try:
        own = version("assay-nn")
    except PackageNotFoundError:
        own = "source"
    return EnvironmentRecord(
        assay=own,
        python=platform.python_version(),
        torch=torch.__version__,
        device=device,
        seed=seed,
        command=command,
    )


def load_report(path: Path | str) -> Report:
    """Read a report; raises :class:`ReportError` that names the file and every field that is wrong."""
    path = Path(path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: cannot be read ({error})") from error
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:8])
        raise ReportError(f"{path}: not a report of schema {SCHEMA}: {wrong}") from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a report, as it is written: infinite and undefined numbers are "inf" and "nan"."""
    return Report.model_json_schema(by_alias=True, mode="serialization")


FRAMES = ("reports", "lines", "checks", "readings", "claims")


def load_reports(paths: Sequence[Path | str]) -> dict[str, Any]:
    """Tidy pandas frames; every row begins with ``path`` and ``name`` of its report.

    ``reports``: a row each (scope, samples, totals, L(N), faithfulness). ``lines``: a row per line of the
    ledger. ``checks`` and ``readings``: a row per entry. ``claims``: a row per claim.
    """
    import pandas as pd

    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in FRAMES}
    for path in paths:
        report = load_report(path)
        for frame, entries in _tidy(report).items():
            rows[frame] += [
                {"path": str(path), "name": report.explanation.name, **entry} for entry in entries
            ]
    return {frame: pd.DataFrame(entries) for frame, entries in rows.items()}


def _tidy(r: Report) -> dict[str, list[dict[str, Any]]]:
    """The rows of a report, by frame."""
    about = {
        "kind": r.explanation.kind,
        **r.scope.model_dump(),
        "samples": r.samples,
        "total": r.ledger.total,
        "total_per_sample": r.ledger.total_per_sample,
        **{f"{s}_per_sample": r.section(s) for s in SECTIONS},
        **{f"L({N})": value for N, value in r.law.at.items()},
        **r.faithfulness,
    }
    return {
        "reports": [about],
        "lines": [{"line": x.name, **x.model_dump(exclude={"name"})} for x in r.ledger.lines],
        "checks": [{"check": key, "value": value} for key, value in r.checks.items()],
        "readings": [{"reading": key, "value": value} for key, value in r.readings.items()],
        "claims": [dict(claim) for claim in r.claims],
    }


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file through a temporary one beside it, so that it is whole or absent."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


__all__ = [
    "SCHEMA",
    "EnvironmentRecord",
    "ExplanationRecord",
    "Report",
    "ReportError",
    "ScopeRecord",
    "environment",
    "json_schema",
    "load_report",
    "load_reports",
    "make_report",
    "write_whole",
]
