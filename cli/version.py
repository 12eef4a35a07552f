"""Which assay this is."""

from __future__ import annotations

import click


def installed_version() -> str:
    """The version that is installed, or "source" where none is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("assay-nn")
    except PackageNotFoundError:
        return "source"


def show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and stop: the callback of ``--version``."""
    if wanted:
        click.echo(f"assay {installed_version()}")
        ctx.exit()
