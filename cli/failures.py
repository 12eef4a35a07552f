"""What goes wrong, told to a person: one clear error, an exit code, and details only on request.

Errors of our rooms (classes of ``assay`` that derive from ValueError) and of files are bad input, exit
code 2. Anything else is ours to be sorry for: exit code 4.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from typing import IO, Any

import click


class Failure(click.ClickException):
    """Bad input, shown as ``Error: …`` on standard error."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to standard error."""
        click.echo(f"Error: {self.format_message()}", file=file, err=file is None)


class Internal(Failure):
    """A fault of ours."""

    exit_code = 4


class Interrupted(Failure):
    """Stopped by the user."""

    exit_code = 130


class Command(click.Command):
    """A command whose errors become failures; with ``--debug`` the traceback comes along."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted") from error
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise failure(error, details=not ctx.params.get("debug")) from error


def failure(error: Exception, details: bool = True) -> Failure:
    """The failure that stands for an error; an unexpected one leaves its traceback in a file if asked."""
    if is_bad_input(error):
        return Failure(told(error))
    where = f" Details: {_write_details(error)}" if details else ""
    return Internal(f"sorry, this is a fault of assay ({type(error).__name__}).{where}")


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
