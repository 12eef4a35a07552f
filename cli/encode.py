"""``assay encode``: activations at a site, written with an explanation as a real bitstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .display import Display
from .evidence import check_usage, gathered
from .failures import Command, Failure
from .options import display_options, running_options, subject_options


@click.command(cls=Command)
@subject_options
@click.option(
    "--explain", required=True, metavar="KIND[:PATH][,key=value…]", help="The explanation to write with."
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the stream here, for instance a.assay.",
)
@running_options
@display_options
def encode(explain: str, out: Path, display: str, as_json: bool, **rest: Any) -> None:
    """Write the activations at a site as a bitstream that assay decode reads.

    The file holds everything: dictionary, active sets, coefficients, and the residual on the grid.
    """
    screen = Display(display, as_json)
    question = {**rest, "setting": "site", "target": "activations"}
    check_usage(question)
    if not out.parent.is_dir():
        raise Failure(f"--out {out}: there is no folder {out.parent}")
    evidence = gathered(question)
    with screen.progress() as progress:
        from assay.explanations.sending import send

        data, score = send(evidence, explain, progress)
    from assay.mdl.report import write_whole

    write_whole(out, data)
    ledger = score.ledger
    screen.document(
        {"file": str(out), "bytes": len(data), "ledger_bits": ledger.total, "samples": ledger.samples}
    )
    screen.line(
        f"wrote {out}: {len(data):,} bytes for {ledger.samples:,} rows, "
        f"{8 * len(data) / ledger.samples:.2f} bits each (ledger {ledger.per_sample(ledger.total):.2f})"
    )
