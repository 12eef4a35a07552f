"""``assay frontier``: bits against distortion, and explanations at equal distortion."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .evidence import check_usage, gathered
from .failures import Command, Failure
from .options import display_options, explain_option, running_options, setting_option, subject_options

if TYPE_CHECKING:
    from assay.explanations.tradeoff import Tradeoff
    from assay.mdl.frontier import Measure


@click.command(cls=Command)
@subject_options
@explain_option
@setting_option
@click.option(
    "--at",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    metavar="LEVEL",
    help="Compare at this distortion (KL in bits, FVU); may be repeated. By default five that all can meet.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write everything as JSON, too.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with the plots.")
@running_options
@display_options
def frontier(
    explain: tuple[str, ...],
    at: tuple[float, ...],
    out: Path | None,
    html: Path | None,
    display: str,
    as_json: bool,
    **rest: Any,
) -> None:
    """Trace rate–distortion curves: bits before any correction against FVU and downstream KL.

    Each explanation is told at many value steps and precisions, and over its own knob where that holds
    several values (pca,k=4:16:64; sae:PATH,k=8:32 or threshold=0.1:0.5; circuit,keep=0.5:0.7:0.9).

    \b
    assay frontier zoo:byte-lm --site blocks.1.hook_resid_post --limit 8 \\
        --explain neurons --explain pca,k=16:64:128 --html frontier.html
    """
    screen = Display(display, as_json)
    check_usage({**rest, "target": None})
    for path in filter(None, (out, html)):
        if not path.parent.is_dir():
            raise Failure(f"{path}: there is no folder {path.parent}")
    evidence = gathered({**rest, "target": None, "outputs_too": True})
    with screen.progress("points") as progress:
        from assay.explanations.tradeoff import tradeoff

        found = tradeoff(evidence, explain, at, progress)
    report(screen, found, out, html)


def report(screen: Display, found: Tradeoff, out: Path | None, html: Path | None) -> None:
    """Print, and write what was asked for."""
    import json

    from assay.mdl.report import write_whole

    told = document(found)
    screen.document(told)
    for sheet in sheets(found):
        screen.sheet(sheet)
    for sentence in sentences(found):
        screen.line(sentence)
    if out is not None:
        write_whole(out, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        screen.line(f"wrote {out}")
    if html is not None:
        write_whole(html, drawn(found))
        screen.line(f"wrote {html}")


def sheets(found: Tradeoff) -> list[Any]:
    """A table for each measure."""
    from .tradeoffs import equal_sheet

    return [
        equal_sheet(found.frontiers, m, levels, found.unit, found.yardstick if m == "fvu" else ())
        for m, levels in found.levels.items()
    ]


def sentences(found: Tradeoff) -> list[str]:
    """Who needs fewer bits where."""
    from .tradeoffs import crossing_sentences

    return [line for measure in found.levels for line in crossing_sentences(found.frontiers, measure)]


def drawn(found: Tradeoff) -> str:
    """The page."""
    from .page import Section, page
    from .tradeoffs import MEASURES, chart, points_sheet

    charts = tuple(
        (f"Bits against {MEASURES[m]}", chart(curves(found, m), m, found.unit)) for m in found.levels
    )
    tables = (*sheets(found), points_sheet(found.frontiers, found.unit))
    section = Section(
        "Rate and distortion",
        "",
        found.about,
        tables,
        charts,
        tuple(sentences(found)),
        "Who needs fewer bits",
    )
    return page("Explanations at equal distortion", [section])


def curves(found: Tradeoff, measure: Measure) -> list[tuple[str, list[tuple[float, float]]]]:
    """The hulls, and for FVU the Gaussian yardstick."""
    from .tradeoffs import YARDSTICK

    lines = [(f.name, [p.at(measure) for p in f.hull(measure)]) for f in found.frontiers]
    if measure == "fvu" and found.bound:
        lines.append((YARDSTICK, list(found.bound)))
    return lines


def document(found: Tradeoff) -> dict[str, Any]:
    """Everything as JSON data; what was not measured or cannot be reached is null."""
    from assay.mdl.frontier import crossings

    pairs = [(a, b) for i, a in enumerate(found.frontiers) for b in found.frontiers[i + 1 :]]
    return {
        "about": found.about,
        "unit": found.unit,
        "frontiers": [
            {
                "name": f.name,
                "points": [{k: plain(v) for k, v in asdict(p).items()} for p in f.points],
                "hulls": {m: [list(p.at(m)) for p in f.hull(m)] for m in found.levels},
                "bits_at": {
                    m: [plain(f.bits_at(m, level)) for level in levels] for m, levels in found.levels.items()
                },
            }
            for f in found.frontiers
        ],
        "levels": found.levels,
        "crossings": [
            {"a": a.name, "b": b.name, "measure": m, "at": list(crossings(a, b, m))}
            for a, b in pairs
            for m in found.levels
        ],
        "yardstick": [list(point) for point in found.bound],
    }


def plain(value: Any) -> Any:
    """A value that JSON holds."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
