"""``assay score``: weigh explanations of a network, or of cached activations."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .evidence import check_usage, gathered
from .failures import Command, Failure
from .options import display_options, explain_option, running_options, setting_options, subject_options
from .processes import side_by_side
from .sharding import sharding_options, sitting

if TYPE_CHECKING:
    from assay.explanations.tallies import Tallies
    from assay.explanations.weighing import Evidence
    from assay.mdl.report import Report

SILENT = {"out", "display", "as_json", "debug", "config", "resume", "shard", "tallies", "processes"}
"""Parameters that do not change what is scored."""


@click.command(cls=Command)
@subject_options
@explain_option
@setting_options
@click.option(
    "--audit/--no-audit",
    help="Write the real bitstream, read it back, and measure it against the ledger and against xz and zstd; "
    "of KL, code outcomes that are drawn with --seed.",
)
@click.option(
    "--held-out/--no-held-out",
    help="Fit explanation, steps and codes on the first half of the data, and tell the second half.",
)
@click.option(
    "--readings/--no-readings",
    help="Also read the same run by other definitions of description length, and by the loss of the model's "
    "own task.",
)
@click.option(
    "--compute-curve",
    type=click.Path(dir_okay=False),
    help="Read, too, how much training compute is recovered: CSV or JSON of compute and loss (nats).",
)
@click.option(
    "--robust/--no-robust",
    help="Score again at delta × 2 and / 2, with parts one bit more and less precise, and with each donor "
    "that a kind has, and say which of these choices would change the ranking.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report here; with several explanations report.json becomes report.NAME.json for each.",
)
@sharding_options
@running_options
@display_options
@click.pass_context
def score(
    ctx: click.Context,
    /,
    explain: tuple[str, ...],
    out: Path | None,
    robust: bool,
    display: str,
    as_json: bool,
    **rest: Any,
) -> None:
    """Weigh one or several explanations in bits, in one pass over the model.

    MODEL is zoo:NAME, a network file, or python:module:factory.

    \b
    assay score zoo:byte-lm --site blocks.1.hook_resid_post --delta 0.5 --limit 16 \\
        --explain neurons --explain pca

    A long score leaves tallies beside --out, and goes on from them with --resume. Shards of the data are
    tallied apart (--shard 0/4 --out 0.tally, …) and put together (--tallies '*.tally' --out report.json), or
    side by side in one go (--processes 4).
    """
    screen = Display(display, as_json)
    check_usage(rest)
    if out is not None and not out.parent.is_dir():
        raise Failure(f"--out {out}: there is no folder {out.parent}")
    now = sitting(rest, out)
    evidence = gathered(rest)
    with ExitStack() as running:
        if now.processes > 1:
            words = shlex.split(command_line(ctx))[1:]
            now = replace(now, tallies=running.enter_context(side_by_side(words, now.processes)))
        tallies = now.tallies_for(evidence, explain)
    if now.shard is not None:
        assert tallies is not None
        tally_shard(screen, evidence, explain, tallies)
        return
    with screen.progress() as progress, tallies.saved_when_cut_short() if tallies else nullcontext():
        from assay.explanations.weighing import weigh

        reports = weigh(evidence, explain, command_line(ctx), progress, tallies)
        if robust:
            from assay.explanations.robustness import marked, variations

            varied = variations(evidence, explain, reports, progress)
            reports = marked(reports, varied)
    files = save(reports, out) if out is not None else []
    if tallies is not None:
        tallies.drop()
    show(screen, reports, files)


def tally_shard(screen: Display, evidence: Evidence, explain: tuple[str, ...], tallies: Tallies) -> None:
    """Tally part of the data, and say where the tallies are."""
    from assay.explanations.weighing import tally

    with screen.progress() as progress:
        tally(evidence, explain, tallies, progress)
    screen.line(f"wrote {tallies.path}")


def command_line(ctx: click.Context) -> str:
    """The command that asks the same again, wherever its options came from."""
    words = [ctx.command_path]
    for parameter in ctx.command.params:
        name, value = parameter.name or "", ctx.params.get(parameter.name or "")
        source = ctx.get_parameter_source(name)
        if name in SILENT or value is None or source is None or source.name == "DEFAULT":
            continue
        values = value if isinstance(value, tuple) else (value,)
        for one in values:
            words += [str(one)] if isinstance(parameter, click.Argument) else [parameter.opts[0], str(one)]
    return shlex.join(words[0].split() + words[1:])


def save(reports: list[Report], out: Path) -> list[Path]:
    """Write each report whole: one to ``out``, several to names beside it."""
    from assay.mdl.compare import distinct_names

    slugs = [slug(name) for name in distinct_names(reports)]
    paths = [out] if len(reports) == 1 else [out.with_name(f"{out.stem}.{s}{out.suffix}") for s in slugs]
    for report, path in zip(reports, paths, strict=True):
        report.save(path)
    return paths


def slug(name: str) -> str:
    """A name as it may stand in a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def show(screen: Display, reports: list[Report], files: list[Path]) -> None:
    """Print the reports side by side, and where they were written."""
    from assay.mdl.compare import comparison

    from .audits import audit_lines, flip_lines, held_out_lines
    from .sheets import intervals_sheet, ledger_sheet, readings_sheet

    if screen.as_json:
        documents = [report.model_dump(mode="json", by_alias=True) for report in reports]
        screen.document(documents[0] if len(documents) == 1 else documents)
        return
    compared = comparison(reports)
    screen.sheet(ledger_sheet(compared))
    screen.sheet(intervals_sheet(compared))
    if any(report.readings for report in reports):
        screen.sheet(readings_sheet(reports))
    for line in (*audit_lines(reports), *held_out_lines(reports), *flip_lines(reports)):
        screen.line(line)
    for path in files:
        screen.line(f"wrote {path}")
