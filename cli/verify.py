"""``assay verify``: check claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import click

from . import github
from .display import Display
from .failures import Command
from .judged import Judged, Source, claim_source, property_sources
from .junit import junit as junit_xml
from .options import count_or_auto, display_options, duration, memory_size
from .sarif import sarif as sarif_log

if TYPE_CHECKING:
    from assay.mdl import Report
    from assay.proofs import Outcome
    from assay.proofs.claims import Semantics

REFUTED = 1
UNKNOWN = 3


@click.command(cls=Command)
@click.argument("claims", nargs=-1, type=click.Path())
@click.option(
    "--onnx",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Verify this network, against the properties of --vnnlib; several where a property names them.",
)
@click.option(
    "--vnnlib",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A VNN-LIB property (1.0 or 2.0) of the network of --onnx; may be repeated.",
)
@click.option(
    "--semantics",
    type=click.Choice(["real", "float32"]),
    help="Of which arithmetic properties are meant; by default float32, or what the tensors of 2.0 say.",
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
@click.option(
    "--no-cache",
    is_flag=True,
    help="Search anew, even where a certificate of the same claim and weights lies in --certificates.",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Note the verdicts about this report's model in it, with what they prove of its correction; may be "
    "repeated.",
)
@click.option(
    "--explain-plan",
    is_flag=True,
    help="Show which stages would be tried on each claim, in which order and why; try none.",
)
@click.option(
    "--device", default="cpu", show_default=True, help="Where bounds are computed: cpu, cuda or cuda:i."
)
@click.option(
    "--jobs",
    type=count_or_auto,
    metavar="N|auto",
    default="1",
    show_default=True,
    envvar="ASSAY_JOBS",
    help="Judge so many claims side by side, never more than there are cores; auto is one for each core.",
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
    onnx: tuple[str, ...],
    vnnlib: tuple[Path, ...],
    semantics: Semantics | None,
    certificates: Path | None,
    junit: Path | None,
    sarif: Path | None,
    budget: float,
    memory: int,
    no_cache: bool,
    reports: tuple[Path, ...],
    explain_plan: bool,
    device: str,
    jobs: int | Literal["auto"],
    allow_unknown: bool,
    seed: int,
    display: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Check the claims of TOML files: each is proved, refuted by a counterexample, or unknown for a reason.

    A certificate in --certificates of an unchanged claim about unchanged weights is checked again, not
    searched for again.

    In a GitHub workflow (GITHUB_ACTIONS=true), claims that are not proved are annotated where they stand,
    and all are listed in the summary of the job.

    Exit codes: 0 all proved, 1 one refuted, 3 none refuted but one unknown.
    """
    from .proved import read_report

    screen = Display(display, as_json)
    with _faults_annotated(as_json):
        sources = _sources(claims, onnx, vnnlib, semantics)
        ways: Ways = {"budget_s": budget, "certificates": certificates, "recall": not no_cache}
        if explain_plan:
            _explain(screen, sources, ways)
            return
        weighed = [read_report(path) for path in reports]
        for report_file in filter(None, (junit, sarif)):
            report_file.parent.mkdir(parents=True, exist_ok=True)
        found = _verified(screen, sources, ways, memory, seed, device, jobs)
    _tell(screen, [judged.outcome for judged in found], weighed)
    _publish(found, junit, sarif, allow_unknown, as_json)
    ctx.exit(exit_code((judged.status for judged in found), allow_unknown))


class Ways(TypedDict):
    """What `proofs.verify` and `proofs.plan` are both told."""

    budget_s: float
    certificates: Path | None
    recall: bool


def _verified(
    screen: Display,
    sources: Sequence[Source],
    ways: Ways,
    memory: int,
    seed: int,
    device: str,
    jobs: int | Literal["auto"],
) -> list[Judged]:
    """Verify all claims of all sources, and show how that goes."""
    from assay import proofs

    with screen.working() as progress:
        outcomes = proofs.verify_all(
            (proofs.Asked(source.claims, source.networks) for source in sources),
            **ways,
            memory=memory,
            seed=seed,
            progress=progress,
            device=device,
            jobs=jobs,
        )
    return [judged for source, each in zip(sources, outcomes, strict=True) for judged in source.judged(each)]


def _tell(screen: Display, outcomes: list[Outcome], weighed: Sequence[tuple[Path, Report]]) -> None:
    """Show the verdicts, and note them in the reports about the same model."""
    from .outcomes import show
    from .proved import noted

    screen.document([outcome.to_dict() for outcome in outcomes])
    show(screen, outcomes)
    for path, report in weighed:
        noted(screen, path, report, outcomes)


def _explain(screen: Display, sources: Sequence[Source], ways: Ways) -> None:
    """Show the plan of every claim."""
    from assay import proofs

    from .plans import show_plans

    made = [plan for s in sources for plan in proofs.plan(s.claims, **ways, networks=s.networks)]
    screen.document([plan.to_dict() for plan in made])
    show_plans(screen, made)


def _sources(
    claims: Sequence[str], onnx: Sequence[str], vnnlib: Sequence[Path], semantics: Semantics | None
) -> list[Source]:
    """Read everything before anything is verified."""
    if bool(onnx) != bool(vnnlib):
        raise click.UsageError("--onnx and --vnnlib go together: a network, and properties of it")
    if not claims and not onnx:
        raise click.UsageError("expected CLAIMS, or --onnx with --vnnlib")
    named = [claim_source(path) for path in claims]
    return [*named, *property_sources(onnx, vnnlib, semantics)]


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
    from assay.models.storage import write_whole

    if junit is not None:
        write_whole(junit, junit_xml(found, allow_unknown))
    if sarif is not None:
        write_whole(sarif, sarif_log(found).encode())
    if github.running():
        _annotate(github.claim_annotations(found, allow_unknown), as_json)
    github.append_summary(found)


def exit_code(statuses: Iterable[str], allow_unknown: bool) -> int:
    """The exit code of some verdicts; refuted outweighs unknown."""
    found = set(statuses)
    if "refuted" in found:
        return REFUTED
    return UNKNOWN if "unknown" in found and not allow_unknown else 0
