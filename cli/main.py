"""The group of commands; each command is imported when it is asked for."""

from __future__ import annotations

import difflib
import gc
import importlib
import os
from collections.abc import Sequence

import click

from .version import show_version

COMMANDS = (
    "demo",
    "score",
    "compare",
    "frontier",
    "encode",
    "decode",
    "verify",
    "check",
    "bound",
    "trial",
    "anomalies",
    "zoo",
    "schema",
)


class Lazy(click.Group):
    """A group whose commands live in modules of their own names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f".{cmd_name}", __package__), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the near ones."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Lazy, context_settings={"auto_envvar_prefix": "ASSAY", "help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version.",
)
def assay() -> None:
    """Weigh explanations of neural networks in bits, and prove what is claimed of them.

    Every option can also be set by an environment variable, ASSAY_COMMAND_OPTION (ASSAY_SCORE_DELTA=0.1),
    and by a file given with --config.

    Exit codes: 0 well, 1 refuted or longer than allowed, 2 usage or bad input, 3 unknown, 4 internal error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: the console script ``assay``."""
    # Idle OpenMP threads that spin take the cores from everything else; to be said before torch comes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # torch and its like make a million objects that stay: to look for garbage among them takes a tenth of
    # the time of a short command.
    gc.set_threshold(50_000, 20, 20)
    assay.main(args=None if arguments is None else list(arguments), prog_name="assay")


if __name__ == "__main__":
    main()
