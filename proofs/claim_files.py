"""Claim files (TOML): `model`, `[[claim]]` tables; every fault of a file at once, with line and column.

A name in `show` that is called is a network: `f` is the file's `model`, others are listed under `models`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .claims import Claim, Lemma, claim
from .faults import Fault, InputError
from .kinds import KINDS, Written, write_out

MAX_FILE = 2_000_000
_FILE_KEYS = {"model", "models", "data", "claim", "semantics"}
_CLAIM_KEYS = {"name", "for", "given", "show", "semantics", "lemma", "model", *KINDS}


@dataclass(frozen=True)
class ClaimFile:
    """What a claim file says; `base` is the folder its paths are relative to."""

    path: Path
    claims: tuple[Claim, ...]
    data: str | None = None

    @property
    def base(self) -> Path:
        """Folder of the file."""
        return self.path.parent


class _Places:
    """Where the keys of a TOML text stand: tomllib does not tell."""

    def __init__(self, text: str) -> None:
        self.keys: dict[tuple[int, str], tuple[int, int]] = {}
        self.starts = {-1: 1}
        current = -1
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(r"\s*\[\[\s*claim\s*\]\]", line):
                current += 1
                self.starts[current] = number
            for match in re.finditer(
                r"""(?:^\s*|[{,]\s*)"?([A-Za-z_][\w.\[\]]*)"?\s*=\s*(?:['"]{1,3})?""", line
            ):
                self.keys.setdefault((current, match[1]), (number, match.end() + 1))

    def of(self, index: int, key: str) -> tuple[int, int]:
        """Line and column of the value of `key` in claim number `index` (-1: the head of the file)."""
        return self.keys.get((index, key), (self.starts.get(index, 1), 1))


def read(path: str | Path) -> ClaimFile:
    """Read a claim file.

    Raises:
        InputError: the file is missing, too large, not TOML, or holds claims that are not in the language.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path}: more than {MAX_FILE} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read as a claim file: {reason}") from error
    return parse_file(text, path)


def parse_file(text: str, path: Path) -> ClaimFile:
    """Read the text of a claim file that lies, or would lie, at `path`."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = re.search(r"line (\d+), column (\d+)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (1, 1)
        raise InputError([Fault(f"not TOML: {error}", line, column, str(path))]) from error
    reader = _Reader(document, _Places(text), str(path))
    claims = reader.claims()
    if reader.faults:
        raise InputError(sorted(reader.faults, key=lambda fault: (fault.line or 0, fault.column or 0)))
    return ClaimFile(path, tuple(claims), reader.text(document, "data", -1))


class _Reader:
    def __init__(self, document: dict[str, Any], places: _Places, path: str) -> None:
        self.document = document
        self.places = places
        self.path = path
        self.faults: list[Fault] = []

    def fault(self, message: str, index: int, key: str, shift: int = 0) -> None:
        line, column = self.places.of(index, key)
        self.faults.append(Fault(message, line, column + shift, self.path))

    def text(self, table: Mapping[str, Any], key: str, index: int) -> str | None:
        value = table.get(key)
        if value is not None and not isinstance(value, str):
            self.fault(f"{key}: expected text, got {type(value).__name__}", index, key)
            return None
        return value

    def claims(self) -> list[Claim]:
        self.reject_unknown(self.document, _FILE_KEYS, -1)
        tables = self.document.get("claim", [])
        if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
            self.fault("expected at least one [[claim]] table", -1, "claim")
            return []
        made = [self.claim(table, index) for index, table in enumerate(tables)]
        names = [c.name for c in made if c]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self.fault(f"two claims are named {name!r}", -1, "claim")
        return [c for c in made if c]

    def reject_unknown(self, table: Mapping[str, Any], known: set[str], index: int) -> None:
        for key in table.keys() - known:
            self.fault(f"unknown key {key!r}; known are {', '.join(sorted(known))}", index, key)

    def models(self, table: Mapping[str, Any], index: int) -> dict[str, str]:
        named = self.document.get("models", {})
        if not isinstance(named, dict) or not all(isinstance(v, str) for v in named.values()):
            self.fault("models: expected a table of names and models", -1, "models")
            named = {}
        main = self.text(table, "model", index) or self.text(self.document, "model", -1)
        return {**named, **({"f": main} if main else {})}

    def claim(self, table: dict[str, Any], index: int) -> Claim | None:
        self.reject_unknown(table, _CLAIM_KEYS, index)
        name = self.text(table, "name", index) or f"claim {index + 1}"
        variables = self.variables(table, index)
        models = self.models(table, index)
        kind, written = self.statement(table, index, name, variables, models.get("f"))
        if written is None:
            return None
        given = [text for text in (self.text(table, "given", index), written.given) if text]
        try:
            made = claim(
                written.show,
                {**variables, **written.variables},
                given=" and ".join(f"({text})" for text in given)
                if len(given) > 1
                else next(iter(given), None),
                semantics=self.text(table, "semantics", index)
                or self.text(self.document, "semantics", -1)
                or "real",
                name=name,
                models={**models, **written.models},
                lemmas=self.lemmas(table, index),
                kind=kind,
            )
        except InputError as error:
            self.place(error, index)
            return None
        for missing in set(made.networks) - set(made.models):
            self.fault(
                f"network {missing!r} is called, but neither `model` nor `models` names it", index, "show"
            )
        return made

    def statement(
        self, table: dict[str, Any], index: int, name: str, variables: Mapping[str, str], model: str | None
    ) -> tuple[str, Written | None]:
        """The kind of a claim, and what it shows."""
        kinds = [key for key in ("show", *KINDS) if key in table]
        if len(kinds) != 1:
            told = f"shows {' and '.join(kinds)}" if kinds else "shows nothing"
            self.fault(f"claim {name!r} {told}: expected one of show, {', '.join(KINDS)}", index, "show")
            return "show", None
        if kinds == ["show"]:
            show = self.text(table, "show", index)
            return "show", None if show is None else Written(show)
        try:
            return kinds[0], write_out(kinds[0], table[kinds[0]], variables, model)
        except ValueError as error:
            self.fault(str(error), index, kinds[0])
            return kinds[0], None

    def place(self, error: InputError, index: int) -> None:
        """Move the faults of one claim to their lines."""
        for fault in error.faults:
            head = re.match(r"\w+", fault.message)
            named = re.match(r"(?:domain .* of |variable ')([\w.\[\]]+)", fault.message)
            key = named[1] if named else head[0] if head else "name"
            self.fault(fault.message, index, key, (fault.column or 1) - 1)

    def variables(self, table: Mapping[str, Any], index: int) -> dict[str, str]:
        declared = table.get("for")
        if not isinstance(declared, dict) or not all(isinstance(v, str) for v in declared.values()):
            self.fault('`for`: expected a table such as { x1 = "integer 0..10" }', index, "for")
            return {}
        return declared

    def lemmas(self, table: Mapping[str, Any], index: int) -> tuple[Lemma, ...]:
        given = table.get("lemma", [])
        if not isinstance(given, list) or not all(
            isinstance(entry, dict) and len(entry) == 1 for entry in given
        ):
            self.fault("lemma: expected [[claim.lemma]] tables of one key each", index, "lemma")
            return ()
        found = []
        for entry in given:
            ((kind, arguments),) = entry.items()
            if not isinstance(arguments, dict):
                self.fault(f"lemma {kind}: expected a table of arguments", index, kind)
                continue
            found.append(Lemma(kind, {key: str(value) for key, value in arguments.items()}))
        return tuple(found)
