"""Long scores: what ``--resume``, ``--shard`` and ``--tallies`` ask for, and the tallies that they need."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import F, all_of

if TYPE_CHECKING:
    from assay.explanations.tallies import Tallies
    from assay.explanations.weighing import Evidence


@dataclass(frozen=True)
class Sitting:
    """How much of a score is to be done now, and what was done before."""

    out: Path | None
    resume: bool
    shard: tuple[int, int] | None
    tallies: tuple[str, ...]
    processes: int = 1

    def tallies_for(self, evidence: Evidence, specs: Sequence[str]) -> Tallies | None:
        """Where tallies are kept: beside the report, or in a shard's own file; or what shards have left."""
        if self.out is None and not self.tallies:
            return None
        from assay.explanations.tallies import Tallies
        from assay.mdl.tallying import Shard

        if self.tallies:
            return Tallies.merged(files(self.tallies), evidence, specs)
        assert self.out is not None
        if self.shard is not None:
            return Tallies.begin(self.out, evidence, specs, self.resume, Shard(*self.shard))
        return Tallies.begin(self.out.with_name(f"{self.out.name}.tally"), evidence, specs, self.resume)


def sitting(options: dict[str, Any], out: Path | None) -> Sitting:
    """Take the options out of the others; tell everything that is wrong with them at once."""
    resume, shard, tallies = options.pop("resume"), options.pop("shard"), options.pop("tallies")
    processes = options.pop("processes")
    problems = []
    if out is None and (resume or shard):
        problems.append(f"{'--shard' if shard else '--resume'} needs --out: where tallies are kept")
    if tallies and (shard or resume):
        problems.append("--tallies puts shards together: without --shard and --resume")
    if processes > 1 and (shard or resume or tallies):
        problems.append("--processes tallies and merges: without --shard, --resume and --tallies")
    if problems:
        raise click.UsageError("; ".join(problems))
    return Sitting(out, resume, shard, tallies, processes)


def sharding_options(command: F) -> F:
    """Add ``--resume``, ``--shard``, ``--tallies`` and ``--processes``."""
    options = (
        click.option(
            "--resume",
            is_flag=True,
            help="Go on from the tallies that an interrupted score has left beside --out, if there are any.",
        ),
        click.option(
            "--shard",
            type=shard_of,
            metavar="I/N|auto",
            help="Tally part I (from 0) of N of the data alone, and write the tallies to --out; auto takes "
            "RANK and WORLD_SIZE from the environment, as torchrun sets them.",
        ),
        click.option(
            "--tallies",
            multiple=True,
            metavar="FILE|PATTERN",
            help="Put together what shards have written, and report; may be repeated.",
        ),
        click.option(
            "--processes",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Tally in so many processes on this machine, each a shard of the data.",
        ),
    )
    return all_of(options, command)


def shard_of(value: str) -> tuple[int, int]:
    """Read I/N, or for ``auto`` the environment."""
    text = value
    if value == "auto":
        text = f"{os.environ.get('RANK', '')}/{os.environ.get('WORLD_SIZE', '')}"
        if text == "/":
            raise click.BadParameter("auto needs RANK and WORLD_SIZE in the environment")
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise click.BadParameter(f"{text!r} is no shard; expected I/N with 0 <= I < N, for instance 0/4")
    return int(found[1]), int(found[2])


def files(patterns: Sequence[str]) -> list[Path]:
    """Files of these names; a name with * or ? stands for all that match it."""
    found: list[Path] = []
    for pattern in patterns:
        matching = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not matching:
            raise click.BadParameter(f"no file matches {pattern!r}", param_hint="--tallies")
        found += [Path(name) for name in matching]
    return found
