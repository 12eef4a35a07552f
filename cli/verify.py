"""``assay verify``: check claims."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .display import Display
from .failures import Command
from .options import display_options, duration, memory_size

if TYPE_CHECKING:
    from assay.proofs import Outcome

REFUTED = 1
UNKNOWN = 3


@click.command(cls=Command)
@click.argument("claims", nargs=-1, required=True, type=click.Path())
@click.option(
    "--certificates",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep certificates and weights in this folder.",
)
@click.option(
    "--budget", type=duration, metavar="TIME", default="60s", show_default=True, help="Time for each claim."
)
@click.option(
    "--memory",
    type=memory_size,
    metavar="SIZE",
    default="4G",
    show_default=True,
    help="Memory limit of the solvers.",
)
@click.option("--allow-unknown", is_flag=True, help="Exit with 0 where a claim stays unknown.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the search for counterexamples."
)
@display_options
@click.pass_context
def verify(
    ctx: click.Context,
    claims: tuple[str, ...],
    certificates: Path | None,
    budget: float,
    memory: int,
    allow_unknown: bool,
    seed: int,
    display: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Check the claims of TOML files: each is proved, refuted by a counterexample, or unknown for a reason.

    Exit codes: 0 all proved, 1 one refuted, 3 none refuted but one unknown.
    """
    from assay import proofs

    from .outcomes import show

    screen = Display(display, as_json)
    files = [proofs.read(path) for path in claims]
    outcomes: list[Outcome] = []
    with screen.working() as report:
        for file in files:
            outcomes += proofs.verify(
                file, budget_s=budget, memory=memory, seed=seed, certificates=certificates, progress=report
            )
    screen.document([outcome.to_dict() for outcome in outcomes])
    show(screen, outcomes)
    ctx.exit(exit_code((outcome.status for outcome in outcomes), allow_unknown))


def exit_code(statuses: Iterable[str], allow_unknown: bool) -> int:
    """The exit code of some verdicts; refuted outweighs unknown."""
    found = set(statuses)
    if "refuted" in found:
        return REFUTED
    return UNKNOWN if "unknown" in found and not allow_unknown else 0
