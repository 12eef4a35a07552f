"""``assay check``: the independent checker, run as the stand-alone file it is."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import click

from .failures import Command, Failure


@click.command(cls=Command)
@click.argument("certificates", nargs=-1, required=True, type=click.Path())
@click.option(
    "--weights",
    multiple=True,
    type=click.Path(),
    metavar="SAFETENSORS",
    help="Weights that certificates name by their digest; those beside a certificate are found anyway.",
)
@click.option("--debug", is_flag=True, envvar="ASSAY_DEBUG", help="Show tracebacks of errors.")
@click.pass_context
def check(ctx: click.Context, certificates: tuple[str, ...], weights: tuple[str, ...], debug: bool) -> None:
    """Check certificates with exact integer arithmetic: exit 0 if all are accepted, 1 if one is rejected.

    The checker is one file of Python's standard library; ``python check.py CERTIFICATE`` does the same.
    """
    missing = [path for path in (*certificates, *weights) if not Path(path).is_file()]
    if missing:
        raise Failure("\n".join(f"{path}: there is no such file" for path in missing))
    checker = runpy.run_path(str(checker_path()))
    arguments = [*certificates, *(["--weights", *weights] if weights else [])]
    ctx.exit(checker["main"](arguments))


def checker_path() -> Path:
    """Where the checker lies; found without importing the room it lies in, nor torch."""
    room = importlib.util.find_spec("assay.proofs")
    if room is None or not room.submodule_search_locations:
        raise Failure("assay.proofs is not installed")
    return Path(next(iter(room.submodule_search_locations)), "check.py")
