"""``assay check``: the independent checkers, run as the stand-alone files they are."""

from __future__ import annotations

import importlib.util
import json
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

    The checkers are single files of Python's standard library: ``python check.py CERTIFICATE`` does the same
    for claims, ``python check_bound.py CERTIFICATE`` for accuracy bounds of max-of-K, ``python check_words.py
    CERTIFICATE`` for those of products. A folder stands for the certificates in it (*.json).
    """
    certificates = tuple(path for given in certificates for path in in_folder(given))
    missing = [path for path in (*certificates, *weights) if not Path(path).is_file()]
    if missing:
        raise Failure("\n".join(f"{path}: there is no such file" for path in missing))
    given = ["--weights", *weights] if weights else []
    by_checker: dict[str, list[str]] = {}
    for path in certificates:
        by_checker.setdefault(checker_of(Path(path)), []).append(path)
    codes = [
        runpy.run_path(str(checker_path(name)))["main"]([*paths, *given])
        for name, paths in by_checker.items()
    ]
    ctx.exit(max(codes))


def in_folder(path: str) -> list[str]:
    """The certificates of a folder in order; a file is itself."""
    if not Path(path).is_dir():
        return [path]
    if not (found := sorted(map(str, Path(path).glob("*.json")))):
        raise Failure(f"{path}: there is no certificate (*.json) in this folder")
    return found


def checker_of(path: Path) -> str:
    """Which checker a certificate is for, by its format."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return "check.py"  # which says what is wrong with it
    head = str(content.get("format")) if isinstance(content, dict) else ""
    by_format = {"assay.bound": "check_bound.py", "assay.words": "check_words.py"}
    return by_format.get(head.partition("/")[0], "check.py")


def checker_path(name: str = "check.py") -> Path:
    """Where a checker lies; found without importing the room it lies in, nor torch."""
    room = importlib.util.find_spec("assay.proofs")
    if room is None or not room.submodule_search_locations:
        raise Failure("assay.proofs is not installed")
    return Path(next(iter(room.submodule_search_locations)), name)
