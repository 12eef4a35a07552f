"""Where the keys and values of a TOML text stand: tomllib reads them, and does not tell.

The text is known to be TOML, so that a small scanner is enough. A place is asked for by path, such as
`("claim", 0, "for", "x1")`; tables of arrays are numbered from 0.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column, from 1."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]*")
_SYMBOL = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[ \t]*\r?\n\s*|.)|\r\n|.", re.DOTALL)
_QUOTES = re.compile(r"""\"{3}\r?\n?|'{3}\r?\n?|["']""")


class Places:
    """Places of all keys and values of a TOML text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.breaks = [match.start() for match in re.finditer("\n", text)]
        self.values: dict[KeyPath, int] = {}
        self.keys: dict[KeyPath, int] = {}
        self.counts: dict[KeyPath, int] = {}
        with suppress(RecursionError):  # values beyond this depth are told by the place of the nearest table
            self._document()

    def value(self, path: KeyPath, offset: int = 0) -> Place:
        """Place of a value, or of a text's character `offset`; of the nearest table where it is missing."""
        while path and path not in self.values:
            path, offset = path[:-1], 0
        at = self.values.get(path, 0)
        return self.place(self._within(at, offset) if offset else self._begin(at))

    def key(self, path: KeyPath) -> Place:
        """Place of a key; of the nearest table where it is missing."""
        while path and path not in self.keys:
            path = path[:-1]
        return self.place(self.keys.get(path, 0))

    def place(self, position: int) -> Place:
        """Line and column of a position in the text."""
        line = bisect_right(self.breaks, position - 1)
        start = self.breaks[line - 1] + 1 if line else 0
        return line + 1, position - start + 1

    def _begin(self, at: int) -> int:
        """First character of a value: of a text, the one behind its quotes."""
        quotes = _QUOTES.match(self.text, at)
        return quotes.end() if quotes else at

    def _within(self, at: int, offset: int) -> int:
        """Position of a character of a text, whose escapes stand for one character or none."""
        position = self._begin(at)
        escapes = self.text[at] == '"'
        while offset > 0 and position < len(self.text):
            symbol = _SYMBOL.match(self.text, position)
            if symbol is None:
                break
            escaped = symbol[0].startswith("\\")
            joined = escaped and symbol[0][1:2] in " \t\r\n"
            position = symbol.end() if escapes or not escaped else position + 1
            offset -= not (escapes and joined)
        return position

    def _document(self) -> None:
        table: KeyPath = ()
        position = self._blank(0)
        while position < len(self.text):
            start = position
            if self.text.startswith("[[", position):
                path, position = self._dotted(position + 2, ())
                table, position = self._numbered(path), position + 2
                self.values[table] = self.keys[table] = start
            elif self.text[position] == "[":
                path, position = self._dotted(position + 1, ())
                table, position = self._resolved(path), position + 1
                self.values[table] = self.keys[table] = start
            else:
                position = self._pair(position, table)
            position = self._blank(position)

    def _blank(self, position: int) -> int:
        match = _BLANK.match(self.text, position)
        return match.end() if match else position

    def _dotted(self, position: int, base: KeyPath) -> tuple[KeyPath, int]:
        """The path that a dotted key names, and where it ends."""
        while (match := _KEY.match(self.text, position)) is not None:
            base = (*base, _unquoted(match[1]))
            self.keys.setdefault(base, match.start(1))
            position = match.end()
            if not self.text.startswith(".", position):
                break
            position += 1
        return base, position

    def _resolved(self, path: KeyPath) -> KeyPath:
        """A path whose arrays of tables are entered at their last element."""
        found: KeyPath = ()
        for part in path:
            found = (*found, part)
            if found in self.counts:
                found = (*found, self.counts[found] - 1)
        return found

    def _numbered(self, path: KeyPath) -> KeyPath:
        array = (*self._resolved(path[:-1]), path[-1])
        self.keys.setdefault(array, self.keys.get(path, 0))
        self.counts[array] = self.counts.get(array, 0) + 1
        return (*array, self.counts[array] - 1)

    def _pair(self, position: int, table: KeyPath) -> int:
        path, end = self._dotted(position, table)
        if end == position or not self.text.startswith("=", end):
            return len(self.text)
        return self._value(self._spaces(end + 1), path)

    def _spaces(self, position: int) -> int:
        while position < len(self.text) and self.text[position] in " \t":
            position += 1
        return position

    def _value(self, position: int, path: KeyPath) -> int:
        self.values[path] = position
        if (string := _STRING.match(self.text, position)) is not None:
            return string.end()
        if self.text.startswith("[", position):
            return self._array(position, path)
        if self.text.startswith("{", position):
            return self._inline(position, path)
        plain = _PLAIN.match(self.text, position)
        return plain.end() if plain else position

    def _array(self, position: int, path: KeyPath) -> int:
        position, number = self._blank(position + 1), 0
        while position < len(self.text) and self.text[position] != "]":
            end, number = self._blank(self._value(position, (*path, number))), number + 1
            end = self._blank(end + self.text.startswith(",", end))
            position = end if end > position else len(self.text)
        return position + 1

    def _inline(self, position: int, path: KeyPath) -> int:
        position = self._blank(position + 1)
        while position < len(self.text) and self.text[position] != "}":
            position = self._blank(self._pair(position, path))
            position = self._blank(position + self.text.startswith(",", position))
        return position + 1


def _unquoted(key: str) -> str:
    if key[0] == "'":
        return key[1:-1]
    return next(iter(tomllib.loads(f"{key} = 0"))) if key[0] == '"' else key
