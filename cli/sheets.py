"""Tables as data: what a terminal and a page show alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .figures import amount, count, signed

if TYPE_CHECKING:
    from assay.mdl.compare import Comparison, Row
    from assay.mdl.report import Report, ScopeRecord

READINGS = {
    "l0": ("L0", "parts in use per sample"),
    "alive": ("alive", "parts ever in use"),
    "fvu": ("FVU ↓", "fraction of variance unexplained, before the correction"),
    "kl_bits": ("KL ↓", "bits per sample from the model's answers, before the correction"),
    "infinite_rows": ("impossible ↓", "samples whose answer it calls impossible"),
}
"""Readings that come with a score: how a column is headed, and what it says."""


@dataclass(frozen=True)
class Sheet:
    """A table; ``best`` are cells (row, column) to mark, ``text`` the columns of words, set to the left."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()
    note: str = ""
    text: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class _Column:
    """A column of numbers over the rows of a comparison; ``lowest`` marks the smallest."""

    name: str
    value: Callable[[Row], float]
    lowest: bool = True


LAW = (
    _Column("L(1)", lambda r: r.L1),
    _Column("L(10³)", lambda r: r.L1e3),
    _Column("L(10⁶)", lambda r: r.L1e6),
    _Column("rate", lambda r: r.rate),
)
LINES = (
    _Column("parts", lambda r: r.parts, False),
    _Column("support", lambda r: r.support, False),
    _Column("values", lambda r: r.values, False),
    _Column("correction", lambda r: r.correction, False),
    _Column("total", lambda r: r.total),
)


def datum(scope: ScopeRecord) -> str:
    """What N counts: a whole sequence where a mechanism explains a language model, else a sample."""
    return "sequence" if scope.setting == "mechanism" and scope.unit == "token" else scope.unit


def ledger_sheet(comparison: Comparison) -> Sheet:
    """L(N) in bits, and the lines of the ledger in bits per sample."""
    scope, rows = comparison.scope, comparison.rows
    columns = [*LAW, *LINES]
    n = datum(scope)
    told = scope.rows if n == scope.unit else scope.data
    note = (
        f"L(N): bits of a message about N {n}s; rate: bits for each further {n}. "
        f"Parts to total: bits per {scope.unit}, over the {count(told)} {n}s that were scored."
    )
    return _sheet("", columns, rows, note)


def intervals_sheet(comparison: Comparison) -> Sheet:
    """Totals with their intervals, and the readings that come with them."""
    rows = comparison.rows
    readings = [key for key in READINGS if any(key in row.faithfulness for row in rows)]
    cells = tuple(
        (
            row.name,
            amount(row.total),
            span(row.interval),
            *(amount(row.faithfulness.get(key, float("nan"))) for key in readings),
        )
        for row in rows
    )
    columns = ("explanation", f"bits per {comparison.scope.unit}", "95 % interval")
    heads, notes = zip(*(READINGS[key] for key in readings), strict=True) if readings else ((), ())
    note = "; ".join(f"{head.strip(' ↓')}: {note}" for head, note in zip(heads, notes, strict=True))
    return Sheet("Totals and faithfulness", (*columns, *heads), cells, note=note)


def differences_sheet(comparison: Comparison) -> Sheet:
    """Paired differences against the baseline."""
    unit = comparison.scope.unit
    cells = tuple((p.a, signed(p.difference), span(p.interval, signed)) for p in comparison.paired)
    base = comparison.paired[0].b if comparison.paired else ""
    return Sheet(
        f"Differences to {base}, on the same blocks of data",
        ("explanation", f"bits per {unit}", "95 % interval"),
        cells,
    )


def pareto_sheet(comparison: Comparison) -> Sheet:
    """Bits before the correction against faithfulness: who is beaten in both by whom."""
    from assay.mdl.pareto import pareto

    places = pareto(comparison)
    measure = READINGS[places[0].measure][0] if places and places[0].measure else "distortion"
    cells = tuple(
        (p.name, amount(p.bits), amount(p.distortion), ", ".join(p.beaten_by) or "nobody") for p in places
    )
    columns = ("explanation", "bits", measure, "beaten by")
    note = f"Bits per {comparison.scope.unit} of parts, support and values; beaten: no better in either."
    return Sheet("Pareto: fewest bits, most faithful", columns, cells, note=note, text=(0, 3))


def readings_sheet(reports: Sequence[Report]) -> Sheet:
    """Other definitions of description length, beside the total; none of them is a message that decodes."""
    from assay.mdl.compare import distinct_names
    from assay.mdl.readings import READINGS as DEFINITIONS

    shown = [key for key in DEFINITIONS if any(key in r.readings for r in reports)]
    cells = tuple(
        (name, amount(r.ledger.total_per_sample), *(amount(r.readings.get(k, float("nan"))) for k in shown))
        for name, r in zip(distinct_names(reports), reports, strict=True)
    )
    heads = (DEFINITIONS[key][0] for key in shown)
    note = "; ".join(f"{head}: {said}" for head, said in (DEFINITIONS[key] for key in shown))
    columns = ("explanation", f"our total per {reports[0].scope.unit}", *heads)
    return Sheet("Other definitions, read from the same run", columns, cells, note=note)


def trials_sheet(reports: Sequence[Report]) -> Sheet | None:
    """What trials put among the readings, an explanation a column; None where nothing was tried."""
    from assay.mdl.compare import distinct_names

    keys = sorted({key for r in reports for key in r.readings if key.startswith("trial_")})
    if not keys:
        return None
    told = [[r.readings.get(key, float("nan")) for r in reports] for key in keys]
    heads = (key.removeprefix("trial_").replace("_", " ") for key in keys)
    cells = tuple((head, *map(amount, row)) for head, row in zip(heads, told, strict=True))
    return Sheet("Trials: is it true?", ("reading", *distinct_names(reports)), cells, text=(0,))


def span(interval: tuple[float, float], shown: Callable[[float], str] = amount) -> str:
    """An interval."""
    return f"[{shown(interval[0])}, {shown(interval[1])}]"


def _sheet(title: str, columns: Sequence[_Column], rows: Iterable[Row], note: str) -> Sheet:
    rows = tuple(rows)
    best = set()
    for j, column in enumerate(columns, 1):
        values = [column.value(row) for row in rows]
        if column.lowest and len(rows) > 1:
            best |= {(i, j) for i, value in enumerate(values) if value == min(values)}
    cells = tuple((row.name, *(amount(c.value(row)) for c in columns)) for row in rows)
    return Sheet(title, ("explanation", *(c.name for c in columns)), cells, frozenset(best), note)
