"""Claims: for all inputs in a scope, under a condition, something is shown of a network.

A `Claim` is text that has been read and checked, before any network is loaded; `obligation` binds it to
networks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, cast, get_args

from .expressions import CONNECTIVES, FUNCTIONS, Expr, ExpressionError, networks_called, nodes, unfolded
from .faults import Fault, InputError
from .parser import exact_number, parse

Semantics = Literal["real", "float32"]
VariableKind = Literal["real", "integer", "token", "bit"]

MAX_VARIABLES = 4096
_KEY = re.compile(r"(?P<name>[A-Za-z_]\w*)(?:\[0\.\.(?P<last>\d{1,6})\])?", re.ASCII)
_RANGE = re.compile(r"\s*(?P<kind>[a-z]+)(?:\s+(?P<lo>[^\s.](?:[^.]|\.(?!\.))*)\.\.(?P<hi>.+))?\s*")


@dataclass(frozen=True)
class Variable:
    """A quantified input: a scalar, or a vector `x[0..n]` where `size` is n + 1.

    `lo` and `hi` are inclusive; for all kinds but "real" the values are whole numbers.
    """

    name: str
    kind: VariableKind
    lo: Fraction
    hi: Fraction
    size: int | None = None

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
        return "bit" if self.kind == "bit" else f"{self.kind} {self.lo}..{self.hi}"


@dataclass(frozen=True)
class Lemma:
    """How the explanation says the network works: `kind` and its arguments as they were written."""

    kind: str
    arguments: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """A claim in our language; `given` is None where nothing is conditioned on."""

    name: str
    variables: tuple[Variable, ...]
    show: Expr
    show_text: str
    given: Expr | None = None
    given_text: str | None = None
    semantics: Semantics = "real"
    models: Mapping[str, str] = field(default_factory=dict)
    lemmas: tuple[Lemma, ...] = ()
    kind: str = "show"

    @property
    def text(self) -> str:
        """The claim in one line."""
        scope = ", ".join(f"{v.key} in {v}" for v in self.variables)
        condition = f" given {self.given_text}" if self.given_text else ""
        return f"for {scope}{condition}: {self.show_text} [{self.semantics}]"

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks the claim speaks about, sorted."""
        called = networks_called(self.show) | (networks_called(self.given) if self.given else set())
        return tuple(sorted(called))


def parse_variable(key: str, domain: str) -> Variable:
    """Read one entry of `for`, such as `x1`, `integer 0..1000000` or `x[0..4]`, `real -1..1`.

    >>> parse_variable("x[0..4]", "real -0.5..1e-3").hi
    Fraction(1, 1000)
    """
    name = _KEY.fullmatch(key)
    if name is None or name["name"] in FUNCTIONS | CONNECTIVES:
        raise InputError(f"variable {key!r}: expected a name such as x1, or a vector such as x[0..4]")
    size = None if name["last"] is None else int(name["last"]) + 1
    if size is not None and size > MAX_VARIABLES:
        raise InputError(f"variable {key!r}: {size} components, at most {MAX_VARIABLES} are allowed")
    found = _RANGE.fullmatch(domain)
    kind = found["kind"] if found else ""
    if found is None or kind not in get_args(VariableKind) or (kind != "bit") != (found["lo"] is not None):
        raise InputError(
            f"domain {domain!r} of {key}: expected 'integer LO..HI', 'real LO..HI', 'token LO..HI' or 'bit'"
        )
    lo, hi = (_bound(found["lo"]), _bound(found["hi"])) if kind != "bit" else (Fraction(0), Fraction(1))
    if lo > hi:
        raise InputError(f"domain {domain!r} of {key} is empty: {lo} > {hi}")
    if kind != "real" and (lo.denominator != 1 or hi.denominator != 1):
        raise InputError(f"domain {domain!r} of {key}: the bounds of a {kind} must be whole numbers")
    return Variable(name["name"], cast(VariableKind, kind), lo, hi, size)


def _bound(text: str) -> Fraction:
    body = text.strip().replace(" ", "")
    sign = -1 if body.startswith("-") else 1
    numerator, slash, denominator = body.lstrip("+-").partition("/")
    for part in (numerator, denominator if slash else "1"):
        if not re.fullmatch(r"(\d[\d_]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?", part, re.ASCII):
            raise InputError(f"bound {text.strip()!r}: expected a decimal number or a fraction")
    below = exact_number(denominator) if slash else Fraction(1)
    if below == 0:
        raise InputError(f"bound {text.strip()!r} divides by zero")
    return sign * exact_number(numerator) / below


def claim(
    show: str,
    variables: Mapping[str, str],
    *,
    given: str | None = None,
    semantics: str = "real",
    name: str = "claim",
    models: Mapping[str, str] | None = None,
    lemmas: tuple[Lemma, ...] = (),
    kind: str = "show",
) -> Claim:
    """Make a claim from text.

    Raises:
        InputError: with all faults at once.

    >>> claim("f(x)[0] >= 0", {"x": "real 0..1"}).text
    'for x in real 0..1: f(x)[0] >= 0 [real]'
    """
    faults: list[Fault] = []
    declared: list[Variable] = []
    for key, domain in variables.items():
        try:
            declared.append(parse_variable(key, domain))
        except (InputError, ExpressionError) as error:
            faults.append(Fault(str(error), where=name))
    if not variables:
        faults.append(Fault("`for` declares no variable", where=name))
    if semantics not in get_args(Semantics):
        faults.append(Fault(f"semantics {semantics!r}: expected 'real' or 'float32'", where=name))
    texts = {"given": given, "show": show}
    parsed = {key: _parsed(text, key, name, faults) for key, text in texts.items() if text is not None}
    if not faults:
        faults += _unknown_names(parsed, declared, name)
    faults += _repeated(declared, name)
    if faults:
        raise InputError(faults)
    return Claim(
        name=name,
        variables=tuple(declared),
        show=cast(Expr, parsed["show"]),
        show_text=show,
        given=parsed.get("given"),
        given_text=given,
        semantics=cast(Semantics, semantics),
        models=dict(models or {}),
        lemmas=lemmas,
        kind=kind,
    )


def _parsed(text: str, key: str, name: str, faults: list[Fault]) -> Expr | None:
    try:
        return unfolded(parse(text))
    except ExpressionError as error:
        faults.append(Fault(f"{key}: {error}", column=error.at + 1, where=name))
        return None


def _unknown_names(parsed: Mapping[str, Expr | None], declared: list[Variable], name: str) -> list[Fault]:
    known = {variable.name for variable in declared}
    return [
        Fault(
            f"{key}: unknown name {node.name!r}; `for` declares {', '.join(sorted(known))}",
            None,
            node.at + 1,
            name,
        )
        for key, expr in parsed.items()
        if expr is not None
        for node in nodes(expr)
        if node.op == "name" and node.name not in known
    ]


def _repeated(declared: list[Variable], name: str) -> list[Fault]:
    names = [variable.name for variable in declared]
    faults = [
        Fault(f"variable {n!r} is declared twice", where=name) for n in set(names) if names.count(n) > 1
    ]
    if sum(variable.size or 1 for variable in declared) > MAX_VARIABLES:
        faults.append(Fault(f"more than {MAX_VARIABLES} variables", where=name))
    return faults
