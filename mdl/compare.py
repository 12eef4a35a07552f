"""Side by side: reports about the same thing, their differences with intervals, and where they cross."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .intervals import paired
from .report import Report, ReportError, ScopeRecord

SAME = (
    "model_digest",
    "data_fingerprint",
    "setting",
    "site",
    "target",
    "delta",
    "donor",
    "receiver_knows",
    "rows",
)
"""What two reports must agree on before their totals may be compared."""

REMEDY = {
    "model_digest": "score both on one model",
    "data_fingerprint": "score both on the same data (--data, --limit, --seed)",
    "setting": "--setting mechanism lets every kind play",
    "site": "score both at one --site, or use --setting mechanism",
    "target": "use one --target",
    "delta": "use one --delta",
    "donor": "use one donor for inactive parts",
    "receiver_knows": "use one --setting and --target",
    "rows": "use one --limit",
}


class Incomparable(ReportError):
    """Two reports are not about the same thing; the message says what would make them so."""


@dataclass(frozen=True)
class Row:
    """One report: bits per sample by section, L(N) in bits, and its faithfulness."""

    name: str
    kind: str
    total: float
    interval: tuple[float, float]
    parts: float
    support: float
    values: float
    correction: float
    L1: float
    L1e3: float
    L1e6: float
    rate: float
    faithfulness: dict[str, float]


@dataclass(frozen=True)
class Crossing:
    """The N at which the shorter of two explanations becomes the longer one (data, first on the new side)."""

    a: str
    b: str
    at: tuple[int, ...]
    shorter_at_one: str


@dataclass(frozen=True)
class Paired:
    """a − b in bits per sample, with its 95 % interval over the same resampled blocks."""

    a: str
    b: str
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Everything that may be said of reports about the same thing."""

    scope: ScopeRecord
    rows: tuple[Row, ...]
    crossings: tuple[Crossing, ...]
    paired: tuple[Paired, ...]

    def frame(self) -> Any:
        """A pandas frame with a row per explanation."""
        import pandas as pd

        flat = [{**asdict(row), **row.faithfulness} for row in self.rows]
        return pd.DataFrame(flat).drop(columns=["faithfulness"]).set_index("name")

    def break_even(self, baseline: str) -> dict[str, tuple[int, ...]]:
        """Where each explanation crosses the baseline."""
        found = {}
        for crossing in self.crossings:
            if baseline in (crossing.a, crossing.b):
                found[crossing.b if crossing.a == baseline else crossing.a] = crossing.at
        return found


def comparison(reports: Sequence[Report], baseline: str | None = None) -> Comparison:
    """Compare reports; differences are taken against ``baseline`` (the first report by default).

    Raises :class:`Incomparable` unless all agree on :data:`SAME`.
    """
    if not reports:
        raise ReportError("there is nothing to compare: no reports were given")
    check_same(reports)
    names = distinct_names(reports)
    base = 0 if baseline is None else _index(names, baseline)
    return Comparison(
        reports[0].scope,
        tuple(_row(name, report) for name, report in zip(names, reports, strict=True)),
        _crossings(names, reports),
        tuple(_paired(names, reports, i, base) for i in range(len(reports)) if i != base),
    )


def check_same(reports: Sequence[Report]) -> None:
    """Raise :class:`Incomparable` with one line where two reports differ in what they are about."""
    first = reports[0]
    for other in reports[1:]:
        for field in SAME:
            mine, theirs = getattr(first.scope, field), getattr(other.scope, field)
            if mine != theirs:
                raise Incomparable(
                    f"{first.explanation.name!r} and {other.explanation.name!r} are about different things: "
                    f"{field} {_short(mine)} against {_short(theirs)}; {REMEDY[field]}"
                )


def longer_than(reports: Sequence[Report], relative: float) -> list[str]:
    """Which reports are longer than (1 + relative) times the first, in one line each."""
    check_same(reports)
    first, names = reports[0].ledger.total_per_sample, distinct_names(reports)
    return [
        f"{name}: {report.ledger.total_per_sample:.4g} bits per sample, "
        f"{report.ledger.total_per_sample / first - 1:+.2%} against {names[0]} (allowed {relative:+.2%})"
        for name, report in zip(names[1:], reports[1:], strict=True)
        if report.ledger.total_per_sample > (1 + relative) * first
    ]


def distinct_names(reports: Sequence[Report]) -> list[str]:
    """Names of the explanations, numbered where two are alike."""
    seen: dict[str, int] = {}
    names = []
    for report in reports:
        name = report.explanation.name
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _index(names: list[str], baseline: str) -> int:
    if baseline not in names:
        raise ReportError(f"no report is called {baseline!r}; there are {', '.join(names)}")
    return names.index(baseline)


def _row(name: str, report: Report) -> Row:
    return Row(
        name=name,
        kind=report.explanation.kind,
        total=report.ledger.total_per_sample,
        interval=report.intervals.total_per_sample,
        parts=report.section("parts"),
        support=report.section("support"),
        values=report.section("values"),
        correction=report.section("correction"),
        L1=report.law.at[1],
        L1e3=report.law.at[1_000],
        L1e6=report.law.at[1_000_000],
        rate=report.law.rate,
        faithfulness=dict(report.faithfulness),
    )


def _crossings(names: list[str], reports: Sequence[Report]) -> tuple[Crossing, ...]:
    laws = [report.law.law() for report in reports]
    found = []
    for i, j in itertools.combinations(range(len(reports)), 2):
        ahead = names[i] if laws[i](1) <= laws[j](1) else names[j]
        found.append(Crossing(names[i], names[j], tuple(laws[i].crossings(laws[j])), ahead))
    return tuple(found)


def _paired(names: list[str], reports: Sequence[Report], i: int, base: int) -> Paired:
    a, b = reports[i], reports[base]
    mine, theirs = (np.array(r.intervals.block_bits) for r in (a, b))
    rows = np.array(a.intervals.block_rows)
    difference = a.ledger.total_per_sample - b.ledger.total_per_sample
    once = (a.ledger.total - mine.sum()) - (b.ledger.total - theirs.sum())
    return Paired(names[i], names[base], difference, paired(mine, theirs, rows, once))


def _short(value: object) -> str:
    text = str(value)
    return text[:12] + "…" if len(text) > 40 else text
