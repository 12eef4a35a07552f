"""What goes wrong, told to a person: one clear error, an exit code, and details only on request.

Errors of our rooms (classes of ``assay`` that derive from ValueError) and of files are bad input: exit code 2.
Anything else is ours to be sorry for: exit code 4.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from typing import IO, Any

import click

BAD_INPUT = 2
INTERNAL = 4
INTERRUPTED = 130


class Failure(click.ClickException):
    """An error with its exit code, shown as ``Error: …`` on standard error."""

    def __init__(self, message: str, exit_code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to standard error."""
        click.echo(f"Error: {self.format_message()}", file=file, err=file is None)


class Command(click.Command):
    """A command whose errors become failures; with ``--debug`` the traceback comes along."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            raise Failure("interrupted", INTERRUPTED) from error
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise failure(error, details=not ctx.params.get("debug")) from error


def failure(error: Exception, details: bool = True) -> Failure:
    """The failure that stands for an error; an unexpected one leaves its traceback in a file if asked."""
    if is_bad_input(error):
        return Failure(told(error))
    where = f" Details: {_write_details(error)}" if details else ""
    return Failure(f"sorry, this is a fault of assay: {type(error).__name__}.{where}", INTERNAL)


def is_bad_input(error: BaseException) -> bool:
    """Whether the user can mend it: an error of our rooms, or of a file that has a name."""
    if isinstance(error, OSError):
        return error.filename is not None
    ours = any(cls.__module__.startswith("assay.") for cls in type(error).__mro__)
    return isinstance(error, ValueError) and ours


def told(error: BaseException) -> str:
    """The text of an error."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _write_details(error: Exception) -> str:
    handle, path = tempfile.mkstemp(prefix="assay-error-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    return path
