"""``--config``: options from a TOML or YAML file, under the same names as on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def read_config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    """Make a file's entries the defaults of a command; the command line and the environment override them.

    The file holds either the options themselves, or a table for each command.
    """
    if value is None:
        return
    path = Path(value)
    document = _parse(path)
    own = document.get(ctx.info_name or "", document)
    if not isinstance(own, dict):
        raise click.UsageError(f"{path}: expected a table of options of {ctx.info_name}", ctx)
    ctx.default_map = {**(ctx.default_map or {}), **_known(ctx, path, own)}


def _parse(path: Path) -> dict[str, Any]:
    readers = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml}
    if path.suffix.lower() not in readers:
        raise click.UsageError(f"{path}: expected a file named .toml, .yaml or .yml")
    try:
        document = readers[path.suffix.lower()](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.UsageError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{path}: expected a table of options, got {type(document).__name__}")
    return document


def _toml(text: str) -> Any:
    import tomllib

    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def _known(ctx: click.Context, path: Path, entries: dict[str, Any]) -> dict[str, Any]:
    """Entries by the names of parameters; every unknown one is told at once."""
    names = {}
    for parameter in ctx.command.params:
        for spelling in (*parameter.opts, parameter.name or ""):
            names[spelling.lstrip("-").replace("-", "_").lower()] = parameter.name
    unknown = [key for key in entries if key.replace("-", "_").lower() not in names]
    if unknown:
        raise click.UsageError(
            f"{path}: {ctx.info_name} has no option {', '.join(map(repr, unknown))}; "
            f"it takes {', '.join(sorted(names))}",
            ctx,
        )
    return {str(names[key.replace("-", "_").lower()]): value for key, value in entries.items()}
