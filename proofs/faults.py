"""What is wrong with an input, and where: every fault of a file is told at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        message: what was got and what was expected.
        line: line in the file, from 1; None where no file is involved.
        column: column in that line, from 1.
        where: name of the file or of the claim.
        key: where in the table of a claim it stands, such as `("for", "x1")`; `column` then counts the
            characters of that value.
    """

    message: str
    line: int | None = None
    column: int | None = None
    where: str = ""
    key: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        place = self.where
        if self.line is not None:
            place += f":{self.line}:{self.column or 1}"
        return f"{place}: {self.message}" if place else self.message


class InputError(ValueError):
    """A claim, a file or a network that cannot be read; `faults` lists everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault] | str) -> None:
        self.faults: tuple[Fault, ...] = (Fault(faults),) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class RefusalError(Exception):
    """One operation that has no exact form; those of a network are collected."""
