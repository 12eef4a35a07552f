"""Tables and progress bars for a terminal, and plain aligned text for everything else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .sheets import Sheet

if TYPE_CHECKING:
    from rich.progress import TaskID
    from rich.table import Table

    from .display import Progress


def plain(sheet: Sheet) -> str:
    """A table as aligned text; the smallest number of a column carries a star."""
    starred = bool(sheet.best)
    grid = [[name + " " * (starred and j not in sheet.text) for j, name in enumerate(sheet.columns)]]
    for i, row in enumerate(sheet.rows):
        grid.append([_marked(sheet, i, j, cell) if starred else cell for j, cell in enumerate(row)])
    widths = [max(len(row[j]) for row in grid) for j in range(len(sheet.columns))]
    lines = ["  ".join(_aligned(sheet, j, cell, widths[j]) for j, cell in enumerate(row)) for row in grid]
    return "\n".join(part.rstrip() for part in (sheet.title, *lines, sheet.note) if part)


def _marked(sheet: Sheet, i: int, j: int, cell: str) -> str:
    if j in sheet.text:
        return cell
    return cell + ("*" if (i, j) in sheet.best else " ")


def _aligned(sheet: Sheet, j: int, cell: str, width: int) -> str:
    return cell.ljust(width) if j in sheet.text else cell.rjust(width)


def table(sheet: Sheet) -> Table:
    """A table for a terminal; the smallest number of a column is green."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=sheet.title or None,
        title_justify="left",
        title_style="bold",
        caption=sheet.note or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for j, name in enumerate(sheet.columns):
        made.add_column(Text(name), justify="left" if j in sheet.text else "right", overflow="fold")
    for i, row in enumerate(sheet.rows):
        made.add_row(
            *(Text(cell, style="bold green" if (i, j) in sheet.best else "") for j, cell in enumerate(row))
        )
    return made


@contextmanager
def progress_bar(unit: str) -> Iterator[Progress]:
    """A bar for each thing that is under way, with its speed and the time left, on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "", style="cyan")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    shared = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=shared) as bar:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, total=total, visible=done < total)

        yield report
