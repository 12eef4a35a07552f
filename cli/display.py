"""Where text goes: a terminal with colours and progress bars, plain aligned text, or JSON alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from .sheets import Sheet

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Display:
    """How a command speaks; with ``as_json`` it prints one JSON document and nothing else."""

    style: str = "auto"
    as_json: bool = False

    @property
    def rich(self) -> bool:
        """Whether standard output gets colours."""
        return not self.as_json and (self.style == "rich" or (self.style == "auto" and sys.stdout.isatty()))

    def heading(self, text: str) -> None:
        """Print a heading."""
        self._print(f"\n[bold]{_escaped(text)}[/bold]" if self.rich else f"\n{text}")

    def line(self, text: str, style: str = "") -> None:
        """Print a line."""
        styled = f"[{style}]{_escaped(text)}[/{style}]" if self.rich and style else None
        self._print(styled or (_escaped(text) if self.rich else text))

    def sheet(self, sheet: Sheet) -> None:
        """Print a table."""
        if self.as_json:
            return
        from .render import plain, table

        if self.rich:
            self._print(table(sheet))
        else:
            click.echo(plain(sheet))

    def document(self, value: Any) -> None:
        """Print JSON, where JSON was asked for."""
        if self.as_json:
            click.echo(json.dumps(value, indent=1, ensure_ascii=False))

    def _print(self, what: Any) -> None:
        if self.as_json:
            return
        if not self.rich:
            click.echo(what)
            return
        from rich.console import Console

        Console(highlight=False, soft_wrap=isinstance(what, str)).print(what)

    @contextmanager
    def progress(self, unit: str = "rows") -> Iterator[Progress | None]:
        """A progress bar on standard error, where that is a terminal; else None."""
        if not self.rich or not sys.stderr.isatty():
            yield None
            return
        from .render import progress_bar

        with progress_bar(unit) as report:
            yield report

    @contextmanager
    def working(self) -> Iterator[Callable[[str, str], None] | None]:
        """Lines on standard error that say what is being done to what, where that is a terminal.

        Each thing has its line until it is told that nothing is being done to it any more.
        """
        if not self.rich or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console

        underway: dict[str, str] = {}

        def report(name: str, what: str) -> None:
            underway[name] = what
            lines = (f"{_escaped(name)}: {_escaped(what)}" for name, what in underway.items() if what)
            status.update("\n  ".join(lines))
            if not what:
                del underway[name]

        with Console(stderr=True).status("") as status:
            yield report


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
