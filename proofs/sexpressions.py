"""Texts in parentheses, as SMT-LIB and VNN-LIB write them: nested lists whose words know where they stand."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .faults import Fault, InputError

MAX_DEPTH = 100
MAX_TOKENS = 3_000_000
_TOKEN = re.compile(
    r"\s*(?:;[^\n]*\s*)*"
    r"""(?P<token>[()]|"(?:[^"\\]|\\.)*"|\[[^\[\]()";]*\]|[^\s()\[\]";]+|\S)""",
    re.DOTALL,
)


class Word(NamedTuple):
    """A name, a number, an operator, a text in quotes, or indices in brackets; `at` is its position."""

    text: str
    at: int


class Group(NamedTuple):
    """What stands between two parentheses."""

    parts: list[Node]
    at: int


Node = Word | Group


@dataclass
class Document:
    """A text with its faults, which are told with line and column."""

    text: str
    name: str
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaks = [match.start() for match in re.finditer("\n", self.text)]

    def fault(self, message: str, at: int) -> Fault:
        """A fault at a position."""
        line = bisect_right(self.breaks, at - 1)
        return Fault(message, line + 1, at - (self.breaks[line - 1] if line else -1), self.name)

    def commands(self) -> Iterator[Group]:
        """Top-level lists in order; no recursion, so depth cannot hurt.

        Raises:
            InputError: parentheses that do not match, other words, and more than the limits allow.
        """
        stack: list[Group] = []
        position, count = 0, 0
        while (match := _TOKEN.match(self.text, position)) is not None:
            position, count = match.end(), count + 1
            token, at = match["token"], match.start("token")
            if count > MAX_TOKENS:
                raise InputError([self.fault(f"more than {MAX_TOKENS} words", at)])
            if token == "(":
                stack.append(Group([], at))
                if len(stack) > MAX_DEPTH:
                    raise InputError([self.fault(f"nested more than {MAX_DEPTH} deep", at)])
            elif not stack:
                raise InputError([self.fault(f"expected a command in parentheses, got {token[:40]!r}", at)])
            elif token != ")":
                stack[-1].parts.append(Word(token, at))
            elif len(stack) > 1:
                done = stack.pop()
                stack[-1].parts.append(done)
            else:
                yield stack.pop()
        if stack:
            raise InputError([self.fault("a parenthesis is not closed", stack[0].at)])
