"""``assay demo``: the tour over shipped models. What it shows is data: demo.toml and demo.claims.toml."""

from __future__ import annotations

import textwrap
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .failures import Command
from .options import display_options
from .tour import Table, read_tour, tables

if TYPE_CHECKING:
    from assay.proofs import Outcome

    from .page import Section

CLAIMS = "demo.claims.toml"
INTRO = (
    "Explanations of really trained networks, weighed in bits: how long is the message from which a receiver "
    "can restore what the network does? And claims about a network, proved or refuted for every input."
)


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
    done = []
    with screen.progress() as progress:
        for table in tables(read_tour(), device, progress):
            save(table, out)
            show_table(screen, table)
            done.append(table)
    outcomes = judge(screen, out)
    page = write_page(out, done, outcomes)
    screen.document(document(done, outcomes, page))
    screen.heading(f"The tour took {time.monotonic() - start:.0f} s.")
    screen.line(f"page:    {page}\nreports: {out}/*.report.json (assay compare reads them)")
    screen.line(f"proofs:  {out / 'certificates'} (assay check reads them)")


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


def write_page(out: Path, done: list[Table], outcomes: list[Outcome]) -> Path:
    """Write the page of the tour."""
    from assay.mdl.report import write_whole

    from .page import Verdict, page

    sections = [section(table) for table in done]
    path = out / "index.html"
    write_whole(path, page("assay: the tour", sections, [Verdict.of(o) for o in outcomes], INTRO))
    return path


def section(table: Table) -> Section:
    """A table as a section of the page."""
    from .page import Section

    plan = table.plan
    return Section.of(table.compared, table.reports, plan["title"], table.findings, plan["story"])


def document(done: list[Table], outcomes: list[Outcome], page: Path) -> dict[str, Any]:
    """The tour as JSON data."""
    from .compare import document as compared

    return {
        "tables": {t.plan["name"]: {**compared(t.compared), "findings": t.findings} for t in done},
        "claims": [outcome.to_dict() for outcome in outcomes],
        "page": str(page),
    }
