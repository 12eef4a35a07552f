"""Other kinds of claim, written out in the language of `show`.

Each kind is one key of a `[[claim]]` table in the place of `show`; x stands for all variables in order:

    equivalent = "SPEC"                                     f(x) == g(x), a rewrite
    within     = { explanation = "SPEC", epsilon = 1e-3 }   abs(f(x) - g(x)) <= 1e-3
    sufficient = "SPEC", or { parts = ["SITE[3]", …] }      argmax(f(x)) == argmax(g(x)), g being a circuit
    necessary  = the same                                   somewhere argmax(f(x)) != argmax(g(x))
    fires      = { unit = "SITE[3]", exactly_when = "…" }   (unit > 0) == (…)
    monotone   = { output = 0, in = "x1" }                  f never falls as x1 grows (`falling`: never rises)
    unique     = "…"                                        at most one input of the scope makes it true
    accuracy   = { correct = "…", at_least = 0.99 }         it is true on at least that share of the scope

A circuit of parts is the model in which the other units of the same modules are held at a number (`held`, 0
by default); where `necessary` names parts, it is these that are held. With `epsilon` the circuit has to
agree within it, instead of in the argmax.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .claims import Circuit
from .expressions import ExpressionError
from .faults import Fault, InputError
from .parser import exact_value, renamed
from .places import KeyPath
from .variables import parse_key

_UNIT = re.compile(r"([\w.]+)\[(\d{1,6})\]", re.ASCII)
_MODULE = re.compile(r"[\w.]+", re.ASCII)


@dataclass(frozen=True)
class Piece:
    """Text of a claim: an author's, with its place below the claim's table, or ours (`path` is empty)."""

    text: str
    path: KeyPath = ()


@dataclass(frozen=True)
class Written:
    """A claim of another kind as `show`, with what it adds to the rest of the table."""

    show: tuple[Piece, ...]
    models: Mapping[str, str] = field(default_factory=dict)
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    given: tuple[Piece, ...] = ()
    at_least: Fraction | None = None
    epsilon: Fraction | None = None


def spelled(pieces: tuple[Piece, ...]) -> str:
    """The whole text."""
    return "".join(piece.text for piece in pieces)


def origin(pieces: tuple[Piece, ...], offset: int) -> tuple[KeyPath, int]:
    """The author's value in which a character of the whole text stands, and its place there."""
    start = 0
    nearest: KeyPath = ()
    for piece in pieces:
        end = start + len(piece.text)
        if piece.path and start <= offset <= end:
            return piece.path, offset - start
        nearest, start = piece.path or nearest, end
    return nearest[:1], 0


def write_out(
    kind: str, table: Mapping[str, Any], variables: Mapping[str, str], model: str | None
) -> tuple[Written | None, list[Fault]]:
    """Write a claim of some kind in the language of `show`.

    Args:
        kind: one of KINDS.
        table: the claim's table.
        variables: `for` of the claim.
        model: the model f, of which units are parts.

    Returns:
        the claim, or None; and everything that is wrong with what the file says under that key.
    """
    reading = _Reading(kind, table[kind], variables, model, str(table.get("given") or ""))
    written = _WRITERS[kind](reading)
    return (None if reading.faults else written), reading.faults


class _Reading:
    """The argument of a kind: its entries by type; collects what is wrong."""

    def __init__(
        self, kind: str, argument: Any, variables: Mapping[str, str], model: str | None, given: str
    ) -> None:
        self.kind = kind
        self.argument = argument
        self.variables = variables
        self.model = model
        self.given = given
        self.faults: list[Fault] = []

    def fault(self, message: str, *path: str | int) -> None:
        self.faults.append(Fault(f"{self.kind}: {message}", key=(self.kind, *path)))

    def entries(self, *known: str) -> dict[str, Any]:
        """The argument as a table of known keys."""
        if not isinstance(self.argument, dict):
            self.fault(f"expected a table of {', '.join(known)}, got {type(self.argument).__name__}")
            return {}
        for key in sorted(self.argument.keys() - set(known)):
            self.fault(f"unknown key {key[:60]!r}; known are {', '.join(known)}", key)
        return self.argument

    def text(self, table: Mapping[str, Any], key: str) -> Piece:
        value = table.get(key)
        if not isinstance(value, str):
            self.fault(f"expected text under {key!r}, got {_told(value)}", key)
            return Piece("0 < 1")
        return Piece(value, (self.kind, key))

    def number(self, table: Mapping[str, Any], key: str, default: str | None = None) -> Fraction:
        value = table.get(key, default)
        try:
            if isinstance(value, int | Decimal | str | float) and not isinstance(value, bool):
                return exact_value(str(value))
        except ExpressionError:
            pass
        self.fault(f"expected a number under {key!r}, got {_told(value)}", key)
        return Fraction(0)

    def arguments(self, instead: Mapping[str, str] | None = None) -> str:
        """All inputs as arguments of a network; components that `instead` names are replaced."""
        words = []
        for key in self.variables:
            name, size = _key(key)
            parts = [name] if size is None else [f"{name}[{i}]" for i in range(size)]
            changed = any(part in (instead or {}) for part in parts)
            words += [(instead or {}).get(part, part) for part in parts] if changed else [name]
        return ", ".join(words)


def _told(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _ours(text: str) -> Piece:
    return Piece(text)


def _equivalent(r: _Reading) -> Written:
    x = r.arguments()
    return Written((_ours(f"f({x}) == other_model({x})"),), {"other_model": _spec(r)})


def _spec(r: _Reading) -> str:
    if not isinstance(r.argument, str):
        r.fault(f"expected the other model, got {_told(r.argument)}")
    return str(r.argument)


def _within(r: _Reading) -> Written:
    table, x = r.entries("explanation", "epsilon"), r.arguments()
    spec, epsilon = r.text(table, "explanation"), r.number(table, "epsilon")
    if epsilon < 0:
        r.fault("epsilon has to be at least 0", "epsilon")
    show = (_ours(f"abs(f({x}) - explanation({x})) <= {epsilon}"),)
    return Written(show, {"explanation": spec.text}, epsilon=epsilon)


def _circuit(r: _Reading) -> Written:
    x = r.arguments()
    if isinstance(r.argument, str):
        return Written((_ours(f"argmax(f({x})) == argmax(circuit({x}))"),), {"circuit": r.argument})
    table = r.entries("circuit", "parts", "held", "epsilon")
    show = f"argmax(f({x})) == argmax(circuit({x}))"
    if "epsilon" in table:
        show = f"abs(f({x}) - circuit({x})) <= {r.number(table, 'epsilon')}"
    if ("circuit" in table) == ("parts" in table):
        r.fault("expected either 'circuit', a model, or 'parts' of the model")
        return Written((_ours(show),))
    if "circuit" in table:
        return Written((_ours(show),), {"circuit": r.text(table, "circuit").text})
    units = _units(r, table["parts"])
    kept = r.kind == "sufficient"
    made = Circuit(r.model or "", units, kept, r.number(table, "held", "0"))
    return Written((_ours(show),), circuits={"circuit": made})


def _units(r: _Reading, parts: Any) -> tuple[tuple[str, int | None], ...]:
    if not isinstance(parts, list) or not parts:
        r.fault("expected a list of units such as [\"layers.1[3]\"] under 'parts'", "parts")
        return ()
    found: list[tuple[str, int | None]] = []
    for number, part in enumerate(parts):
        unit = _UNIT.fullmatch(part) if isinstance(part, str) else None
        if unit is not None:
            found.append((unit[1], int(unit[2])))
        elif isinstance(part, str) and _MODULE.fullmatch(part):
            found.append((part, None))
        else:
            r.fault(f"expected a unit such as layers.1[3], or a module, got {_told(part)}", "parts", number)
    if r.model is None:
        r.fault("parts of what? no `model` is named", "parts")
    return tuple(found)


def _fires(r: _Reading) -> Written:
    table = r.entries("unit", "exactly_when")
    name, when = r.text(table, "unit"), r.text(table, "exactly_when")
    unit = _UNIT.fullmatch(name.text)
    if unit is None or r.model is None:
        if name.path:
            r.fault("expected a unit of the model such as layers.1[3]", "unit")
        return Written(())
    show = (_ours(f"(unit({r.arguments()})[{unit[2]}] > 0) == ("), when, _ours(")"))
    return Written(show, {"unit": f"{r.model}#{unit[1]}"})


def _monotone(r: _Reading) -> Written:
    table = r.entries("output", "in", "falling")
    piece, output, falling = r.text(table, "in"), table.get("output", 0), table.get("falling", False)
    if not isinstance(output, int) or isinstance(output, bool) or output < 0:
        r.fault(f"expected the number of an output under 'output', got {_told(output)}", "output")
    if not isinstance(falling, bool):
        r.fault(f"expected true or false under 'falling', got {_told(falling)}", "falling")
    domain = _domain(piece.text, r.variables)
    if domain is None:
        r.fault(f"expected a scalar of `for` under 'in', got {piece.text[:60]!r}", "in")
        return Written(())
    larger = re.sub(r"\W", "_", piece.text) + "_larger"
    sides = [f"f({r.arguments()})[{output}]", f"f({r.arguments({piece.text: larger})})[{output}]"]
    low, high = sides[::-1] if falling else sides
    order = (_ours(f"{piece.text} <= {larger}"),)
    return Written((_ours(f"{low} <= {high}"),), variables={larger: domain}, given=order)


def _domain(name: str, variables: Mapping[str, str]) -> str | None:
    """Domain of a scalar, `x` or `x[2]`; None where there is none."""
    for key, domain in variables.items():
        base, size = _key(key)
        if name in ([base] if size is None else [f"{base}[{i}]" for i in range(size)]):
            return domain
    return None


def _key(key: str) -> tuple[str, int | None]:
    """As `variables.parse_key`, which tells elsewhere what is wrong with a key."""
    try:
        return parse_key(key)
    except InputError:
        return key, None


def _unique(r: _Reading) -> Written:
    if not isinstance(r.argument, str):
        r.fault(f"expected a statement, got {_told(r.argument)}")
        return Written(())
    names = [key.partition("[")[0] for key in r.variables]
    other = {name: f"{name}_other" for name in names}
    twice = {
        key.replace(name, other[name], 1): r.variables[key]
        for key, name in zip(r.variables, names, strict=True)
    }
    same = " and ".join(f"{name} == {other[name]}" for name in names) or "0 < 1"
    copy = renamed(r.argument, other)
    show = (_ours("("), Piece(r.argument, (r.kind,)), _ours(f") and ({copy}) => {same}"))
    given = (_ours(renamed(r.given, other)),) if r.given else ()
    return Written(show, variables=twice, given=given)


def _accuracy(r: _Reading) -> Written:
    table = r.entries("correct", "at_least")
    share = r.number(table, "at_least")
    if not 0 <= share <= 1:
        r.fault(f"at_least: expected a share from 0 to 1, got {share}", "at_least")
    return Written((r.text(table, "correct"),), at_least=share)


_WRITERS: dict[str, Callable[[_Reading], Written]] = {
    "equivalent": _equivalent,
    "within": _within,
    "sufficient": _circuit,
    "necessary": _circuit,
    "fires": _fires,
    "monotone": _monotone,
    "unique": _unique,
    "accuracy": _accuracy,
}

KINDS = tuple(_WRITERS)
