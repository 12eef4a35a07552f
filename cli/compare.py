"""``assay compare``: reports side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .failures import Command, Failure
from .options import display_options

if TYPE_CHECKING:
    from assay.mdl.compare import Comparison
    from assay.mdl.report import Report

    from .sheets import Sheet


@click.command(cls=Command)
@click.argument("reports", nargs=-1, required=True, type=click.Path())
@click.option("--baseline", help="Name of the explanation to take differences to; the first one by default.")
@click.option("--readings", is_flag=True, help="Show other definitions of description length, too.")
@click.option("--pareto", is_flag=True, help="Show who is beaten in bits and in faithfulness at once.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page, too.")
@click.option(
    "--fail-if-longer",
    type=float,
    metavar="REL",
    help="Exit with 1 if a later report is longer than (1 + REL) times the first: 0.01 allows one per cent.",
)
@display_options
@click.pass_context
def compare(
    ctx: click.Context,
    reports: tuple[str, ...],
    baseline: str | None,
    readings: bool,
    pareto: bool,
    html: Path | None,
    fail_if_longer: float | None,
    display: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Show reports side by side: totals, lines, L(N), intervals, differences and break-even sizes.

    Reports that are not about the same thing (model, data, setting, target, grid) are refused.
    """
    if fail_if_longer is not None and not fail_if_longer > -1:
        raise click.UsageError(f"--fail-if-longer {fail_if_longer}: expected a number above -1")
    if html is not None and not html.parent.is_dir():
        raise Failure(f"--html {html}: there is no folder {html.parent}")
    from assay.mdl.compare import comparison, longer_than
    from assay.mdl.report import load_report

    from .sheets import pareto_sheet, trials_sheet

    loaded = [load_report(path) for path in reports]
    compared = comparison(loaded, baseline)
    longer = [] if fail_if_longer is None else longer_than(loaded, fail_if_longer)
    screen = Display(display, as_json)
    if html is not None:
        write_page(html, compared, loaded, baseline)
    if as_json:
        screen.document({**document(compared, loaded), "longer": longer})
    else:
        show(screen, compared, baseline)
        if (tried := trials_sheet(loaded)) is not None:
            screen.sheet(tried)
        if pareto:
            screen.sheet(pareto_sheet(compared))
        if readings:
            screen.sheet(readings_of(loaded))
        if html is not None:
            screen.line(f"wrote {html}")
    for line in longer:
        click.echo(f"longer than allowed: {line}", err=True)
    if longer:
        ctx.exit(1)


def show(screen: Display, compared: Comparison, baseline: str | None) -> None:
    """Print every table of a comparison."""
    from .breakeven import sentences
    from .sheets import differences_sheet, intervals_sheet, ledger_sheet

    screen.sheet(ledger_sheet(compared))
    screen.sheet(intervals_sheet(compared))
    if compared.paired:
        screen.sheet(differences_sheet(compared))
        for sentence in sentences(compared, baseline):
            screen.line(sentence)


def readings_of(reports: list[Report]) -> Sheet:
    """The readings of reports that were scored with them."""
    from .sheets import readings_sheet

    missing = [report.explanation.name for report in reports if not report.readings]
    if missing:
        raise Failure(f"no readings in the reports of {', '.join(missing)}: score them with --readings")
    return readings_sheet(reports)


def write_page(path: Path, compared: Comparison, reports: list[Report], baseline: str | None) -> None:
    """Write the comparison as a page of its own."""
    from assay.mdl.report import write_whole

    from .breakeven import sentences
    from .page import Section, page

    section = Section.of(compared, reports, "The same thing, explained", sentences(compared, baseline))
    write_whole(path, page("Explanations, side by side", [section]))


def document(compared: Comparison, reports: Sequence[Report] = ()) -> dict[str, Any]:
    """A comparison as JSON data, with the readings of its reports; infinite and absent numbers are null."""
    from assay.mdl.pareto import pareto

    named = zip(compared.rows, reports, strict=True) if reports else ()
    return {
        "pareto": [_plain(asdict(place)) for place in pareto(compared)],
        "readings": {row.name: _plain(report.readings) for row, report in named},
        "scope": compared.scope.model_dump(),
        "rows": [_plain(asdict(row)) for row in compared.rows],
        "crossings": [_plain(asdict(crossing)) for crossing in compared.crossings],
        "paired": [_plain(asdict(pair)) for pair in compared.paired],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
