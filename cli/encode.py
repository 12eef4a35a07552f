"""``assay encode``: a target, written with an explanation as a real bitstream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .display import Display
from .evidence import check_usage, gathered
from .failures import Command, Failure
from .options import display_options, running_options, setting_options, subject_options


@click.command(cls=Command)
@subject_options
@click.option(
    "--explain", required=True, metavar="KIND[:PATH][,key=value…]", help="The explanation to write with."
)
@setting_options
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
    """Write a target as a bitstream that assay decode reads.

    For activations at a site the file holds everything. For outputs it holds all but what the receiver
    knows: the network after the site, or the inputs of a mechanism. Of a distribution over outcomes, outcomes
    that are drawn with --seed are told.
    """
    screen = Display(display, as_json)
    check_usage(rest)
    if not out.parent.is_dir():
        raise Failure(f"--out {out}: there is no folder {out.parent}")
    evidence = gathered(rest)
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
