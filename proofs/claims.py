"""Claims: for all inputs in a scope, under a condition, something is shown of a network.

A `Claim` is text that has been read and checked, before any network is loaded; `obligation` binds it to
networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, cast, get_args

from .expressions import (
    MAX_WRITTEN,
    Expr,
    ExpressionError,
    networks_called,
    nodes,
    unfolded,
    written_size,
)
from .faults import Fault, InputError
from .parser import parse
from .remainders import Range, without_remainders
from .variables import MAX_VARIABLES, Variable, VariableKind, parse_key, parse_variable

Semantics = Literal["real", "float32"]


@dataclass(frozen=True)
class Lemma:
    """How the explanation says the network works: `kind` and its arguments as they were written."""

    kind: str
    arguments: Mapping[str, str]


@dataclass(frozen=True)
class Circuit:
    """A model of which some units are held at a number.

    Attributes:
        model: the model's spec.
        units: modules and places in their outputs; a place of None is the whole output.
        kept: whether these units are what is left of their modules, or what is held.
        value: where units are held.
    """

    model: str
    units: tuple[tuple[str, int | None], ...]
    kept: bool
    value: Fraction


@dataclass(frozen=True)
class Claim:
    """A claim in our language; `given` is None where nothing is conditioned on.

    `models` are specs of networks by the name that the claim calls them, `circuits` those that are made of
    a model. For an accuracy, `show` has to be true on the share `at_least` of the scope; where an explanation
    is within `epsilon` of the model, that is it.
    """

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
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    at_least: Fraction | None = None
    epsilon: Fraction | None = None

    @property
    def text(self) -> str:
        """The claim in one line."""
        scope = ", ".join(f"{v.key} in {v}" for v in self.variables)
        condition = f" given {self.given_text}" if self.given_text else ""
        share = "" if self.at_least is None else f"on a share of at least {self.at_least}, "
        return f"for {scope}{condition}: {share}{self.show_text} [{self.semantics}]"

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks the claim speaks about, sorted."""
        called = networks_called(self.show) | (networks_called(self.given) if self.given else set())
        return tuple(sorted(called))


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
    circuits: Mapping[str, Circuit] | None = None,
    at_least: Fraction | None = None,
    epsilon: Fraction | None = None,
) -> Claim:
    """Make a claim from text.

    Raises:
        InputError: with all faults at once.

    >>> claim("f(x)[0] >= 0", {"x": "real 0..1"}).text
    'for x in real 0..1: f(x)[0] >= 0 [real]'
    """
    faults: list[Fault] = []
    declared = _declared(variables, name, faults)
    if semantics not in get_args(Semantics):
        message = f"semantics {semantics[:40]!r}: expected 'real' or 'float32'"
        faults.append(Fault(message, where=name, key=("semantics",)))
    texts = {"given": given, "show": show}
    found = {key: _parsed(text, key, name, faults) for key, text in texts.items() if text is not None}
    faults += _unknown_names(found, variables, name)
    if not faults:
        found = {key: _lowered(expr, declared, key, name, faults) for key, expr in found.items()}
    if faults:
        raise InputError(faults)
    return Claim(
        name=name,
        variables=tuple(declared),
        show=cast(Expr, found["show"]),
        show_text=show,
        given=_conjunction([found.get("given"), *map(_listed, declared)]),
        given_text=given,
        semantics=cast(Semantics, semantics),
        models=dict(models or {}),
        lemmas=lemmas,
        kind=kind,
        circuits=dict(circuits or {}),
        at_least=at_least,
        epsilon=epsilon,
    )


def _declared(variables: Mapping[str, str], name: str, faults: list[Fault]) -> list[Variable]:
    declared: list[Variable] = []
    for key, domain in variables.items():
        try:
            declared.append(parse_variable(key, domain))
        except InputError as error:
            faults.append(Fault(str(error), where=name, key=("for", key)))
    if not variables:
        faults.append(Fault("`for` declares no variable", where=name, key=("for",)))
    names = [variable.name for variable in declared]
    faults += [
        Fault(f"variable {v.name!r} is declared twice", where=name, key=("for", v.key))
        for k, v in enumerate(declared)
        if v.name in names[:k]
    ]
    if sum(variable.size or 1 for variable in declared) > MAX_VARIABLES:
        faults.append(Fault(f"more than {MAX_VARIABLES} variables", where=name, key=("for",)))
    return declared


def _parsed(text: str, key: str, name: str, faults: list[Fault]) -> Expr | None:
    try:
        expr = parse(text)
        if (size := written_size(expr)) > MAX_WRITTEN:
            raise ExpressionError(f"{size} operations when written out, at most {MAX_WRITTEN} are read", 0)
        return unfolded(expr)
    except ExpressionError as error:
        faults.append(_fault(error, key, name))
        return None


def _fault(error: ExpressionError, key: str, name: str) -> Fault:
    return Fault(f"{key}: {error}", None, error.at + 1, name, (key,))


def _lowered(
    expr: Expr | None, declared: list[Variable], key: str, name: str, faults: list[Fault]
) -> Expr | None:
    """Without remainders, which need the ranges."""
    ranges = {v.name: Range(v.lo, v.hi, v.whole, v.size) for v in declared}
    try:
        return None if expr is None else without_remainders(expr, ranges)
    except ExpressionError as error:
        faults.append(_fault(error, key, name))
        return None


def _unknown_names(found: Mapping[str, Expr | None], variables: Mapping[str, str], name: str) -> list[Fault]:
    """The first use of every name that is not declared."""
    known = set(map(_name_of, variables))
    faults = []
    for key, expr in found.items():
        for node in nodes(expr) if expr is not None and known else ():
            if node.op == "name" and node.name not in known:
                known.add(node.name)
                told = ", ".join(sorted(map(_name_of, variables)))[:200]
                message = f"{key}: unknown name {node.name[:60]!r}; `for` declares {told}"
                faults.append(Fault(message, None, node.at + 1, name, (key,)))
    return faults


def _name_of(key: str) -> str:
    """The name that an entry of `for` means to declare, which may itself be at fault."""
    try:
        return parse_key(key)[0]
    except InputError:
        return key.partition("[")[0].strip()


def _listed(variable: Variable) -> Expr | None:
    """That every component has one of the listed values."""
    if not variable.listed:
        return None
    base = Expr("name", name=variable.name)
    size = variable.size
    parts = [base] if size is None else [Expr("index", (base,), value=Fraction(i)) for i in range(size)]
    each = [
        Expr("or", tuple(Expr("==", (part, Expr("number", value=v))) for v in variable.listed))
        for part in parts
    ]
    return _conjunction(each)


def _conjunction(parts: Sequence[Expr | None]) -> Expr | None:
    kept = [part for part in parts if part is not None]
    return None if not kept else kept[0] if len(kept) == 1 else Expr("and", tuple(kept))


__all__ = [
    "Circuit",
    "Claim",
    "Lemma",
    "Semantics",
    "Variable",
    "VariableKind",
    "claim",
    "parse_variable",
]
