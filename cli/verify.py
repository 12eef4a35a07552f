"""``assay verify``: check claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from . import github
from .display import Display
from .failures import Command
from .judged import Judged, Source, claim_source, property_sources
from .junit import junit as junit_xml
from .options import display_options, duration, memory_size
from .sarif import sarif as sarif_log

REFUTED = 1
UNKNOWN = 3


@click.command(cls=Command)
@click.argument("claims", nargs=-1, type=click.Path())
@click.option(
    "--onnx", type=click.Path(path_type=Path), help="Verify this network, against the properties of --vnnlib."
)
@click.option(
    "--vnnlib",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A VNN-LIB property of the network of --onnx; may be repeated.",
)
@click.option(
    "--certificates",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep certificates and weights in this folder.",
)
@click.option(
    "--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the verdicts as JUnit XML."
)
@click.option(
    "--sarif",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what is refuted or unknown as SARIF 2.1.0.",
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
    onnx: Path | None,
    vnnlib: tuple[Path, ...],
    certificates: Path | None,
    junit: Path | None,
    sarif: Path | None,
    budget: float,
    memory: int,
    allow_unknown: bool,
    seed: int,
    display: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Check the claims of TOML files: each is proved, refuted by a counterexample, or unknown for a reason.

    In a GitHub workflow (GITHUB_ACTIONS=true), claims that are not proved are annotated where they stand,
    and all are listed in the summary of the job.

    Exit codes: 0 all proved, 1 one refuted, 3 none refuted but one unknown.
    """
    from assay import proofs

    from .outcomes import show

    screen = Display(display, as_json)
    found: list[Judged] = []
    with _faults_annotated(as_json):
        sources = _sources(claims, onnx, vnnlib)
        for report_file in filter(None, (junit, sarif)):
            report_file.parent.mkdir(parents=True, exist_ok=True)
        with screen.working() as report:
            for source in sources:
                outcomes = proofs.verify(
                    source.claims,
                    budget_s=budget,
                    memory=memory,
                    seed=seed,
                    certificates=certificates,
                    progress=report,
                    networks=source.networks,
                )
                found += source.judged(outcomes)
    screen.document([judged.outcome.to_dict() for judged in found])
    show(screen, [judged.outcome for judged in found])
    _publish(found, junit, sarif, allow_unknown, as_json)
    ctx.exit(exit_code((judged.status for judged in found), allow_unknown))


def _sources(claims: Sequence[str], onnx: Path | None, vnnlib: Sequence[Path]) -> list[Source]:
    """Read everything before anything is verified."""
    if (onnx is None) != (not vnnlib):
        raise click.UsageError("--onnx and --vnnlib go together: a network, and properties of it")
    if not claims and onnx is None:
        raise click.UsageError("expected CLAIMS, or --onnx with --vnnlib")
    named = [claim_source(path) for path in claims]
    return named if onnx is None else [*named, *property_sources(onnx, vnnlib)]


@contextmanager
def _faults_annotated(as_json: bool) -> Iterator[None]:
    """Within a GitHub workflow, annotate the faults of a claim file before they end the command."""
    from assay.proofs import InputError

    try:
        yield
    except InputError as error:
        if github.running():
            _annotate(github.fault_annotations(error), as_json)
        raise


def _annotate(commands: Iterable[str], as_json: bool) -> None:
    """Say workflow commands; GitHub reads both streams, and JSON wants standard output for itself."""
    for command in commands:
        click.echo(command, err=as_json)


def _publish(
    found: Sequence[Judged], junit: Path | None, sarif: Path | None, allow_unknown: bool, as_json: bool
) -> None:
    """Write the verdicts for other people's tools."""
    from assay.mdl.report import write_whole

    if junit is not None:
        write_whole(junit, junit_xml(found, allow_unknown))
    if sarif is not None:
        write_whole(sarif, sarif_log(found))
    if github.running():
        _annotate(github.claim_annotations(found, allow_unknown), as_json)
    github.append_summary(found)


def exit_code(statuses: Iterable[str], allow_unknown: bool) -> int:
    """The exit code of some verdicts; refuted outweighs unknown."""
    found = set(statuses)
    if "refuted" in found:
        return REFUTED
    return UNKNOWN if "unknown" in found and not allow_unknown else 0
