"""An HTML page that stands alone: no script, no font, no file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from .charts import bars, curves
from .sheets import Sheet, datum, intervals_sheet, ledger_sheet, trials_sheet
from .version import installed_version

if TYPE_CHECKING:
    from assay.mdl.compare import Comparison
    from assay.mdl.report import Report
    from assay.proofs import Outcome
    from markupsafe import Markup

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Section:
    """A part of the page: tables, charts (heading, drawing) and what is said under ``heading``."""

    title: str
    story: str
    about: str
    sheets: tuple[Sheet, ...]
    charts: tuple[tuple[str, Markup], ...]
    findings: tuple[str, ...]
    heading: str = "Break-even"

    @classmethod
    def of(
        cls,
        compared: Comparison,
        reports: Sequence[Report],
        title: str,
        findings: Sequence[str],
        story: str = "",
    ) -> Section:
        """The section of a comparison; ``findings`` are sentences about it."""
        names, laws = [row.name for row in compared.rows], [report.law.law() for report in reports]
        unit = datum(compared.scope)
        tried = trials_sheet(reports)
        sheets = (ledger_sheet(compared), intervals_sheet(compared), *([tried] if tried else []))
        charts = (
            (f"Bits per {unit} for a message about N {unit}s", curves(names, laws, unit)),
            ("Where the bits go", bars(compared.rows, compared.scope.unit)),
        )
        return cls(title, story, about(compared), sheets, charts, tuple(findings))


@dataclass(frozen=True)
class Verdict:
    """What came of a claim, on the page."""

    status: str
    name: str
    details: tuple[str, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> Verdict:
        """The lines of an outcome."""
        from .outcomes import details

        return cls(outcome.status, outcome.name, tuple(details(outcome)))


def about(compared: Comparison) -> str:
    """What is compared, on what, in a line."""
    scope = compared.scope
    where = f" at {scope.site}" if scope.site and scope.setting == "site" else ""
    grid = f", grid {scope.delta:g}" if scope.delta is not None else ""
    data = f"{scope.rows:,} {datum(compared.scope)}s of {scope.dataset or 'unnamed data'}"
    return f"{scope.setting}: {scope.target} of {scope.model or 'cached activations'}{where}{grid} · {data}"


def page(title: str, sections: Sequence[Section], verdicts: Sequence[Verdict] = (), intro: str = "") -> str:
    """The page as HTML."""
    from jinja2 import Environment

    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    return template.render(
        title=title, sections=sections, verdicts=verdicts, intro=intro, made_by=f"assay {installed_version()}"
    )
