"""``assay demo``: the tour over shipped models. What it shows is data: demo.toml and demo.claims.toml."""

from __future__ import annotations

import textwrap
import time
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display, Progress
from .failures import Command
from .options import display_options

if TYPE_CHECKING:
    from assay.mdl.compare import Comparison
    from assay.mdl.report import Report
    from assay.proofs import Outcome

    from .page import Section

TOUR = "demo.toml"
CLAIMS = "demo.claims.toml"
INTRO = (
    "Explanations of really trained networks, weighed in bits: how long is the message from which a receiver "
    "can restore what the network does? And claims about a network, proved or refuted for every input."
)


@dataclass(frozen=True)
class Table:
    """One table of the tour: its reports, side by side, and what is said about them."""

    plan: dict[str, Any]
    reports: list[Report]
    compared: Comparison

    @property
    def findings(self) -> list[str]:
        """Break-even sizes in words, the one the table is about first."""
        from .breakeven import overtaking, sentences, shortest

        first = [overtaking(self.compared, *self.plan["overtakes"])] if "overtakes" in self.plan else []
        return [*first, shortest(self.compared), *sentences(self.compared, self.plan["baseline"])]


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("assay-demo"),
    show_default=True,
    help="Folder for the page, the reports and the certificates.",
)
@click.option(
    "--device", default="auto", show_default=True, envvar="ASSAY_DEVICE", help="auto, cpu or cuda[:i]."
)
@display_options
def demo(out: Path, device: str, display: str, as_json: bool, debug: bool) -> None:
    """Take the tour: score every kind of explanation on shipped models, compare them, verify two claims.

    Writes an HTML page, a report for each score and a certificate for each verdict. About a minute.
    """
    start = time.monotonic()
    screen = Display(display, as_json)
    out.mkdir(parents=True, exist_ok=True)
    tables = []
    for plan in tour():
        with screen.progress() as progress:
            tables.append(table(plan, device, progress))
        save(tables[-1], out)
        show_table(screen, tables[-1])
    outcomes = judge(screen, out)
    page = write_page(out, tables, outcomes)
    screen.document(document(tables, outcomes, page))
    screen.heading(f"The tour took {time.monotonic() - start:.0f} s.")
    screen.line(f"page:    {page}\nreports: {out}/*.report.json (assay compare reads them)")
    screen.line(f"proofs:  {out / 'certificates'} (assay check reads them)")


def tour() -> list[dict[str, Any]]:
    """The plans of the tables, in order."""
    text = resources.files(__package__).joinpath(TOUR).read_text(encoding="utf-8")
    tables: list[dict[str, Any]] = tomllib.loads(text)["table"]
    return tables


def table(plan: dict[str, Any], device: str, progress: Progress | None) -> Table:
    """Score everything that a plan names."""
    from assay.explanations.weighing import Question, gather, weigh
    from assay.mdl.compare import comparison
    from assay.models import best_device, load, load_dataset

    network = load(plan["model"]).to(best_device(device))
    dataset = load_dataset("zoo", network, plan["limit"])
    question = Question(
        plan["setting"], plan["target"], plan.get("site"), plan.get("delta"), plan["part_bits"]
    )
    evidence = gather(question, network, dataset)
    reports = weigh(evidence, plan["explain"], "assay demo", progress)
    return Table(plan, reports, comparison(reports, plan["baseline"]))


def save(table: Table, out: Path) -> None:
    """Write a table's reports."""
    from .score import slug

    for row, report in zip(table.compared.rows, table.reports, strict=True):
        report.save(out / f"{table.plan['name']}.{slug(row.name)}.report.json")


def show_table(screen: Display, table: Table) -> None:
    """Print a table and its findings."""
    from .sheets import ledger_sheet

    screen.heading(table.plan["title"])
    screen.line(textwrap.fill(table.plan["story"], 100))
    screen.sheet(ledger_sheet(table.compared))
    for finding in table.findings:
        screen.line(f"• {finding}")


def judge(screen: Display, out: Path) -> list[Outcome]:
    """Verify the tour's claims."""
    from assay.proofs import verify

    from .outcomes import show

    screen.heading("Two claims about the comparator, which answers |x1 − x2| / 10⁶")
    with resources.as_file(resources.files(__package__).joinpath(CLAIMS)) as path, screen.working() as report:
        outcomes = verify(path, certificates=out / "certificates", progress=report)
    show(screen, outcomes)
    return outcomes


def write_page(out: Path, tables: list[Table], outcomes: list[Outcome]) -> Path:
    """Write the page of the tour."""
    from assay.mdl.report import write_whole

    from .page import Verdict, page

    sections = [section(table) for table in tables]
    path = out / "index.html"
    write_whole(path, page("assay: the tour", sections, [Verdict.of(o) for o in outcomes], INTRO))
    return path


def section(table: Table) -> Section:
    """A table as a section of the page."""
    from .page import Section

    plan = table.plan
    return Section.of(table.compared, table.reports, plan["title"], table.findings, plan["story"])


def document(tables: list[Table], outcomes: list[Outcome], page: Path) -> dict[str, Any]:
    """The tour as JSON data."""
    from .compare import document as compared

    return {
        "tables": {t.plan["name"]: {**compared(t.compared), "findings": t.findings} for t in tables},
        "claims": [outcome.to_dict() for outcome in outcomes],
        "page": str(page),
    }
