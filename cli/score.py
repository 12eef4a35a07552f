"""``assay score``: weigh explanations of a network, or of cached activations."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .failures import Command, Failure
from .options import count_or_auto, display_options, running_options

if TYPE_CHECKING:
    from assay.explanations.weighing import Evidence, Question, TargetName
    from assay.mdl.report import Report

SILENT = {"out", "display", "as_json", "debug", "config"}
"""Parameters that do not change what is scored."""


@click.command(cls=Command)
@click.argument("model", required=False)
@click.option("--data", help="zoo, an array or table file, or a text; for zoo:NAME models zoo by default.")
@click.option(
    "--activations", type=click.Path(), help="Score these cached activations, instead of MODEL and --data."
)
@click.option("--site", help="Hook point, for instance blocks.1.hook_resid_post.")
@click.option(
    "--explain",
    multiple=True,
    required=True,
    metavar="KIND[:PATH][,key=value…]",
    help="An explanation; may be repeated. Kinds: neurons, pca, rotation, sae, lookup, network, answers, "
    "circuit, components, and those of plug-ins.",
)
@click.option(
    "--setting",
    type=click.Choice(["site", "mechanism"]),
    default="site",
    show_default=True,
    help="Explain the activations at a site, or how inputs become outputs.",
)
@click.option(
    "--target",
    type=click.Choice(["activations", "outputs"]),
    help="What the receiver restores; by default activations at a site, outputs of a mechanism.",
)
@click.option("--delta", type=float, help="Step of the grid on which the target is told.")
@click.option(
    "--part-bits",
    type=count_or_auto,
    metavar="B|auto",
    default="auto",
    show_default=True,
    help="Bits of each number of a part; auto takes the shortest total.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report here; with several explanations report.json becomes report.NAME.json for each.",
)
@running_options
@display_options
@click.pass_context
def score(
    ctx: click.Context,
    /,
    explain: tuple[str, ...],
    out: Path | None,
    display: str,
    as_json: bool,
    **rest: Any,
) -> None:
    """Weigh one or several explanations in bits, in one pass over the model.

    MODEL is zoo:NAME, a network file, or python:module:factory.

    \b
    assay score zoo:byte-lm --site blocks.1.hook_resid_post --delta 0.5 --limit 16 \\
        --explain neurons --explain pca
    """
    screen = Display(display, as_json)
    check_usage(rest)
    if out is not None and not out.parent.is_dir():
        raise Failure(f"--out {out}: there is no folder {out.parent}")
    evidence = gathered(rest)
    with screen.progress() as progress:
        from assay.explanations.weighing import weigh

        reports = weigh(evidence, explain, command_line(ctx), progress)
    files = save(reports, out) if out is not None else []
    show(screen, reports, files)


def check_usage(options: dict[str, Any]) -> None:
    """Tell everything at once that is wrong with how the options fit together."""
    problems = []
    if options["activations"]:
        if options["model"] or options["data"]:
            problems.append("--activations stands instead of MODEL and --data")
        if options["setting"] == "mechanism" or options["target"] == "outputs":
            problems.append(
                "cached activations come without a network: only --setting site "
                "--target activations can be scored"
            )
    else:
        if not options["model"]:
            problems.append("expected MODEL, or --activations FILE")
        elif not options["data"] and not options["model"].startswith("zoo:"):
            problems.append("expected --data")
        if options["setting"] == "site" and not options["site"]:
            problems.append("the site setting needs --site")
    if options["setting"] == "mechanism" and options["target"] == "activations":
        problems.append("a mechanism explains outputs: --target outputs")
    if problems:
        raise click.UsageError("; ".join(problems))


def gathered(options: dict[str, Any]) -> Evidence:
    """Read what is scored, and run the model over it."""
    from assay.explanations.weighing import Question, gather

    target: TargetName = options["target"] or ("activations" if options["setting"] == "site" else "outputs")
    question = Question(
        options["setting"], target, options["site"], options["delta"], options["part_bits"], options["seed"]
    )
    if options["activations"]:
        return cached(question, options["activations"], options["limit"])
    from assay.models import load_dataset

    network = loaded_network(options["model"], options["device"], options["dtype"])
    dataset = load_dataset(options["data"] or "zoo", network, options["limit"], options["seed"])
    return gather(question, network, dataset, options["batch_size"])


def loaded_network(model: str, device: str, dtype: str | None) -> Any:
    """A network on its device, in its type."""
    import torch
    from assay.models import best_device, load

    return load(model).to(best_device(device), None if dtype is None else getattr(torch, dtype))


def cached(question: Question, path: str, limit: int | None) -> Evidence:
    """Evidence from a file of activations; ``limit`` counts data, each with all its positions."""
    from dataclasses import replace

    from assay.explanations.weighing import Evidence
    from assay.models import Activations

    found = Activations.load(path)
    if limit is not None:
        found = replace(found, values=found.values[: limit * found.positions])
    site = question.site or found.site
    return Evidence(replace(question, site=site), None, None, found, None)


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

    from .sheets import intervals_sheet, ledger_sheet

    if screen.as_json:
        documents = [report.model_dump(mode="json", by_alias=True) for report in reports]
        screen.document(documents[0] if len(documents) == 1 else documents)
        return
    compared = comparison(reports)
    screen.sheet(ledger_sheet(compared))
    screen.sheet(intervals_sheet(compared))
    for path in files:
        screen.line(f"wrote {path}")
