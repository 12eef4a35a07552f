"""``assay schema``: the JSON Schema of reports."""

from __future__ import annotations

import json

import click

from .failures import Command


@click.command(cls=Command)
@click.option("--debug", is_flag=True, envvar="ASSAY_DEBUG", help="Show tracebacks of errors.")
def schema(debug: bool) -> None:
    """Print the JSON Schema of a report."""
    from assay.mdl.report import json_schema

    click.echo(json.dumps(json_schema(), indent=1))
