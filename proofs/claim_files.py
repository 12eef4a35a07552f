"""Claim files (TOML): `model`, `[[claim]]` tables; every fault of a file at once, with line and column.

A name in `show` that is called is a network: `f` is the file's `model`, others are listed under `models`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from .claims import Claim, Lemma, claim
from .expressions import nodes
from .faults import Fault, InputError
from .kinds import KINDS, Piece, Written, origin, spelled, write_out
from .places import KeyPath, Places

MAX_FILE = 2_000_000
MAX_CLAIMS = 10_000
MAX_TOLD = 100
_FILE_KEYS = {"model", "models", "data", "claim", "semantics"}
_CLAIM_KEYS = {"name", "for", "given", "show", "semantics", "lemma", "model", *KINDS}


@dataclass(frozen=True)
class Source:
    """Where a claim stands: the number of its table, and the author's text in `given` and `show`."""

    index: int
    texts: Mapping[str, tuple[Piece, ...]]


@dataclass(frozen=True)
class ClaimFile:
    """What a claim file says; `base` is the folder its paths are relative to.

    `text` and `sources` (by the claims' names) tell where faults stand that show once networks are loaded.
    """

    path: Path
    claims: tuple[Claim, ...]
    data: str | None = None
    text: str = ""
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        """Folder of the file."""
        return self.path.parent

    def located(self, claim: Claim, faults: list[Fault]) -> list[Fault]:
        """Faults of a claim, with their lines and columns."""
        source = self.sources.get(claim.name)
        if source is None:
            return faults
        places = Places(self.text)
        return [_located(fault, source, places, str(self.path)) for fault in faults]


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
        document = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        place = re.search(r"line (\d+), column (\d+)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (1, 1)
        told = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise InputError([Fault(f"not TOML: {told}", line, column, str(path))]) from error
    reader = _Reader(document, text, str(path))
    claims = reader.claims()
    data = reader.text(document, "data", ())
    if reader.faults:
        raise InputError(reader.told())
    return ClaimFile(path, tuple(claims), data, text, reader.sources)


def _located(fault: Fault, source: Source, places: Places, path: str) -> Fault:
    """A fault of a claim at its place in the file."""
    table: KeyPath = ("claim", source.index)
    word = re.match(r"(show|given|lemma)\b", fault.message)
    key: KeyPath = fault.key or ((word[1],) if word else ())
    offset = (fault.column or 1) - 1
    if key and key[0] in source.texts:
        key, offset = origin(source.texts[str(key[0])], offset)
    if key[:1] in (("model",), ("models",)) and (*table, *key) not in places.values:
        table = ()
    line, column = places.value((*table, *key), offset) if key else places.key(table)
    return replace(fault, line=line, column=column, where=path, key=())


class _Reader:
    def __init__(self, document: dict[str, Any], text: str, path: str) -> None:
        self.document = document
        self.places = Places(text)
        self.path = path
        self.faults: list[Fault] = []
        self.sources: dict[str, Source] = {}

    def told(self) -> list[Fault]:
        """All faults in the order of the file, each once."""
        ordered = sorted(set(self.faults), key=lambda fault: (fault.line or 0, fault.column or 0))
        more = len(ordered) - MAX_TOLD
        return ordered[:MAX_TOLD] + ([Fault(f"{more} more faults", where=self.path)] if more > 0 else [])

    def fault(self, message: str, path: KeyPath, key: bool = False) -> None:
        """Something wrong with the value at a path, or with its key."""
        line, column = self.places.key(path) if key else self.places.value(path)
        self.faults.append(Fault(message, line, column, self.path))

    def text(self, table: Mapping[str, Any], key: str, base: KeyPath) -> str | None:
        value = table.get(key)
        if value is not None and not isinstance(value, str):
            self.fault(f"{key}: expected text, got {type(value).__name__}", (*base, key))
            return None
        return value

    def claims(self) -> list[Claim]:
        self.reject_unknown(self.document, _FILE_KEYS, ())
        tables = self.document.get("claim", [])
        if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
            self.fault("expected at least one [[claim]] table", ("claim",))
            return []
        if len(tables) > MAX_CLAIMS:
            self.fault(f"{len(tables)} claims, at most {MAX_CLAIMS} are read", ("claim",))
            return []
        self.named_models()
        return [made for k, table in enumerate(tables) if (made := self.claim(table, k)) is not None]

    def reject_unknown(self, table: Mapping[str, Any], known: set[str], base: KeyPath) -> None:
        for key in table.keys() - known:
            told = f"unknown key {key[:60]!r}; known are {', '.join(sorted(known))}"
            self.fault(told, (*base, key), key=True)

    def named_models(self) -> dict[str, str]:
        named = self.document.get("models", {})
        if not isinstance(named, dict):
            self.fault("models: expected a table of names and models", ("models",))
            return {}
        for key, value in named.items():
            if not isinstance(value, str):
                self.fault(f"models: expected text, got {type(value).__name__}", ("models", key))
        return {key: value for key, value in named.items() if isinstance(value, str)}

    def models(self, table: Mapping[str, Any], base: KeyPath) -> dict[str, str]:
        main = self.text(table, "model", base) or self.text(self.document, "model", ())
        return {**self.named_models(), **({"f": main} if main else {})}

    def claim(self, table: dict[str, Any], index: int) -> Claim | None:
        base: KeyPath = ("claim", index)
        self.reject_unknown(table, _CLAIM_KEYS, base)
        name = self.text(table, "name", base) or f"claim {index + 1}"
        if name in self.sources:
            self.fault(f"two claims are named {name[:60]!r}", (*base, "name"))
        semantics = self.text(table, "semantics", base) or self.text(self.document, "semantics", ()) or "real"
        variables, lemmas = self.variables(table, base), self.lemmas(table, base)
        models = self.models(table, base)
        given = self.text(table, "given", base)
        before = len(self.faults)
        kind, written = self.statement(table, index, name, variables, models.get("f"))
        texts = _texts(given, written)
        self.sources[name] = Source(index, texts)
        if written is None and len(self.faults) == before:
            return None
        try:
            made = claim(
                spelled(texts["show"]) or "0 < 1",
                {**variables, **(written.variables if written else {})},
                given=spelled(texts["given"]) or None,
                semantics=semantics,
                name=name,
                models={**models, **(written.models if written else {})},
                lemmas=lemmas,
                kind=kind,
                circuits=written.circuits if written else {},
                at_least=written.at_least if written else None,
                epsilon=written.epsilon if written else None,
            )
        except InputError as error:
            self.place(list(error.faults), name)
            return None
        return self.networks_named(made, written)

    def networks_named(self, made: Claim, written: Written | None) -> Claim | None:
        """The claim, unless it calls networks that nothing names."""
        missing = sorted(set(made.networks) - set(made.models) - set(made.circuits))
        for name in missing:
            told = f"network {name[:60]!r} is called, but neither `model` nor `models` names it"
            self.place([Fault(told, column=_called_at(made, name) + 1, key=("show",))], made.name)
        return None if missing or written is None else made

    def statement(
        self, table: dict[str, Any], index: int, name: str, variables: Mapping[str, str], model: str | None
    ) -> tuple[str, Written | None]:
        """The kind of a claim, and what it shows."""
        kinds = [key for key in ("show", *KINDS) if key in table]
        base: KeyPath = ("claim", index)
        if len(kinds) != 1:
            told = f"shows {' and '.join(kinds)}" if kinds else "shows nothing"
            told = f"claim {name[:60]!r} {told}: expected one of show, {', '.join(KINDS)}"
            self.fault(told, (*base, kinds[1]) if kinds else base, key=True)
            return "show", None
        if kinds == ["show"]:
            show = self.text(table, "show", base)
            return "show", None if show is None else Written((Piece(show, ("show",)),))
        written, faults = write_out(kinds[0], table, variables, model)
        for fault in faults:
            self.fault(fault.message, (*base, *fault.key))
        return kinds[0], written

    def place(self, faults: list[Fault], name: str) -> None:
        """Move the faults of one claim to their lines."""
        self.faults += [_located(fault, self.sources[name], self.places, self.path) for fault in faults]

    def variables(self, table: Mapping[str, Any], base: KeyPath) -> dict[str, str]:
        declared = table.get("for")
        if not isinstance(declared, dict):
            self.fault('`for`: expected a table such as { x1 = "integer 0..10" }', (*base, "for"))
            return {}
        for key, value in declared.items():
            if not isinstance(value, str):
                told = f"`for`: expected a domain as text, got {type(value).__name__}"
                self.fault(told, (*base, "for", key))
        return {key: value for key, value in declared.items() if isinstance(value, str)}

    def lemmas(self, table: Mapping[str, Any], base: KeyPath) -> tuple[Lemma, ...]:
        given = table.get("lemma", [])
        if not isinstance(given, list) or not all(
            isinstance(entry, dict) and len(entry) == 1 for entry in given
        ):
            self.fault("lemma: expected [[claim.lemma]] tables of one key each", (*base, "lemma"))
            return ()
        found = []
        for number, entry in enumerate(given):
            ((kind, arguments),) = entry.items()
            if isinstance(arguments, str | list):  # one argument, which goes by the name of its kind
                arguments = {
                    kind: arguments if isinstance(arguments, str) else ", ".join(map(str, arguments))
                }
            if not isinstance(arguments, dict):
                told = f"lemma {kind[:60]}: expected a table of arguments"
                self.fault(told, (*base, "lemma", number, kind))
                continue
            found.append(Lemma(kind, {key: str(value) for key, value in arguments.items()}))
        return tuple(found)


def _texts(given: str | None, written: Written | None) -> dict[str, tuple[Piece, ...]]:
    """The author's condition with what the kind adds to it, and what is shown."""
    own = (Piece(given, ("given",)),) if given else ()
    if written is None:
        return {"given": own, "show": ()}
    if own and written.given:
        both = (Piece("("), *own, Piece(") and ("), *written.given, Piece(")"))
        return {"given": both, "show": written.show}
    return {"given": own or written.given, "show": written.show}


def _called_at(made: Claim, name: str) -> int:
    """Where `show` calls a network first; 0 where it does not."""
    return min((n.at for n in nodes(made.show) if n.op == "call" and n.name == name), default=0)
