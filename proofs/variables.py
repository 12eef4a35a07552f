"""The inputs that a claim quantifies over: names and domains, as `for` declares them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, cast, get_args

from .expressions import CONNECTIVES, FUNCTIONS, ExpressionError
from .faults import InputError
from .parser import exact_value

VariableKind = Literal["real", "integer", "token", "bit"]

MAX_VARIABLES = 4096
MAX_LISTED = 256
_KEY = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:\[0\.\.(?P<last>\d{1,6})\])?", re.ASCII)
_DOMAIN = re.compile(r"\s*(?P<kind>[a-z]+)\s*(?P<rest>.*?)\s*", re.ASCII | re.DOTALL)
_EXPECTED = "'integer LO..HI', 'integer {A, B, …}' (or real, or token), or 'bit'"


@dataclass(frozen=True)
class Variable:
    """A quantified input: a scalar, or a vector `x[0..n]` where `size` is n + 1.

    `lo` and `hi` are inclusive; for all kinds but "real" the values are whole numbers. Where `listed` is not
    empty, its numbers are the only values.
    """

    name: str
    kind: VariableKind
    lo: Fraction
    hi: Fraction
    size: int | None = None
    listed: tuple[Fraction, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return self.kind != "real"

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the scalars: `x`, or `x[0]`, `x[1]`, …"""
        if self.size is None:
            return (self.name,)
        return tuple(f"{self.name}[{i}]" for i in range(self.size))

    @property
    def key(self) -> str:
        """The variable as it is declared in `for`."""
        return self.name if self.size is None else f"{self.name}[0..{self.size - 1}]"

    def __str__(self) -> str:
        if self.listed:
            return f"{self.kind} {{{', '.join(map(str, self.listed))}}}"
        return "bit" if self.kind == "bit" else f"{self.kind} {self.lo}..{self.hi}"


def parse_key(key: str) -> tuple[str, int | None]:
    """Name and number of components of a key of `for`, such as `x1` or `x[0..4]`."""
    name = _KEY.fullmatch(key)
    if name is None or name["name"] in FUNCTIONS | CONNECTIVES:
        raise InputError(f"variable {key[:60]!r}: expected a name such as x1, or a vector such as x[0..4]")
    size = None if name["last"] is None else int(name["last"]) + 1
    if size is not None and size > MAX_VARIABLES:
        raise InputError(f"variable {key!r}: {size} components, at most {MAX_VARIABLES} are allowed")
    return name["name"], size


def parse_variable(key: str, domain: str) -> Variable:
    """Read one entry of `for`, such as `x1`, `integer 0..1000000` or `x[0..4]`, `real -1..1`.

    >>> parse_variable("x[0..4]", "real -0.5..1e-3").hi
    Fraction(1, 1000)
    >>> parse_variable("x", "integer {1, 5, 7}").hi
    Fraction(7, 1)
    """
    name, size = parse_key(key)
    where = f"domain {domain[:60]!r} of {key[:60]}"
    found = _DOMAIN.fullmatch(domain)
    kind = found["kind"] if found else ""
    if found is None or kind not in get_args(VariableKind) or (kind == "bit") != (found["rest"] == ""):
        raise InputError(f"{where}: expected {_EXPECTED}")
    try:
        values = _values(kind, found["rest"])
    except ExpressionError as error:
        raise InputError(f"{where}: {error}") from error
    if values is None:
        raise InputError(f"{where}: expected {_EXPECTED}")
    lo, hi, listed = values
    if lo > hi:
        raise InputError(f"{where} is empty: {lo} > {hi}")
    if kind != "real" and any(v.denominator != 1 for v in (lo, hi, *listed)):
        raise InputError(f"{where}: the bounds of a {kind} must be whole numbers")
    return Variable(name, cast(VariableKind, kind), lo, hi, size, listed)


def _values(kind: str, text: str) -> tuple[Fraction, Fraction, tuple[Fraction, ...]] | None:
    """Least and greatest value, and all of them where they are listed; None for another text."""
    if kind == "bit":
        return Fraction(0), Fraction(1), ()
    if text.startswith("{") and text.endswith("}"):
        words = text[1:-1].split(",")
        if len(words) > MAX_LISTED:
            raise ExpressionError(f"{len(words)} values, at most {MAX_LISTED} are listed", 0)
        listed = tuple(sorted({exact_value(word) for word in words}))
        return listed[0], listed[-1], listed if len(listed) > 1 else ()
    lo, dots, hi = text.partition("..")
    return (exact_value(lo), exact_value(hi), ()) if dots else None
