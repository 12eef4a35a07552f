"""Other kinds of claim, written out in the language of `show`.

Each kind is one key of a `[[claim]]` table in the place of `show`; x stands for all variables in order:

    equivalent = "SPEC"                                     f(x) == g(x), a rewrite
    within     = { explanation = "SPEC", epsilon = 1e-3 }   abs(f(x) - g(x)) <= 1e-3
    sufficient = "SPEC"                                     argmax(f(x)) == argmax(g(x)), for a circuit
    necessary  = "SPEC"                                     somewhere argmax(f(x)) != argmax(g(x))
    fires      = { unit = "SITE[3]", exactly_when = "…" }   (unit > 0) == (…)
    monotone   = { output = 0, in = "x1" }                  f never falls as x1 grows (`falling`: never rises)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("equivalent", "within", "sufficient", "necessary", "fires", "monotone")


@dataclass(frozen=True)
class Written:
    """A claim of another kind as `show`, with what it adds to the rest of the table."""

    show: str
    models: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    given: str | None = None


def write_out(kind: str, argument: Any, variables: Mapping[str, str], model: str | None) -> Written:
    """Write a claim of some kind in the language of `show`.

    Args:
        kind: one of KINDS.
        argument: what the file says under that key.
        variables: `for` of the claim.
        model: the model f, of which units are parts.

    Raises:
        ValueError: the argument does not have the form of the kind.
    """
    return _WRITERS[kind](argument, variables, model)


def _args(variables: Mapping[str, str]) -> str:
    return ", ".join(key.partition("[")[0] for key in variables)


def _text(table: Any, key: str, kind: str) -> str:
    value = table.get(key) if isinstance(table, dict) else None
    if not isinstance(value, str):
        raise ValueError(f"{kind}: expected text under {key!r}")
    return value


def _other(argument: Any, kind: str) -> Written:
    if not isinstance(argument, str):
        raise ValueError(f"{kind}: expected the other model, got {type(argument).__name__}")
    return Written("", {"other_model": argument})


def _equivalent(argument: Any, variables: Mapping[str, str], model: str | None) -> Written:
    x = _args(variables)
    return Written(f"f({x}) == other_model({x})", _other(argument, "equivalent").models)


def _within(argument: Any, variables: Mapping[str, str], model: str | None) -> Written:
    x, spec = _args(variables), _text(argument, "explanation", "within")
    epsilon = argument.get("epsilon")
    if not isinstance(epsilon, int | float | str) or isinstance(epsilon, bool):
        raise ValueError("within: expected a number under 'epsilon'")
    return Written(f"abs(f({x}) - explanation({x})) <= {epsilon}", {"explanation": spec})


def _sufficient(argument: Any, variables: Mapping[str, str], model: str | None) -> Written:
    x = _args(variables)
    return Written(f"argmax(f({x})) == argmax(other_model({x}))", _other(argument, "sufficient").models)


def _fires(argument: Any, variables: Mapping[str, str], model: str | None) -> Written:
    unit = re.fullmatch(r"([\w.]+)\[(\d+)\]", _text(argument, "unit", "fires"))
    if unit is None or model is None:
        raise ValueError("fires: expected a unit of the model such as layers.1[3]")
    when = _text(argument, "exactly_when", "fires")
    return Written(f"(unit({_args(variables)})[{unit[2]}] > 0) == ({when})", {"unit": f"{model}#{unit[1]}"})


def _monotone(argument: Any, variables: Mapping[str, str], model: str | None) -> Written:
    name = _text(argument, "in", "monotone")
    output = argument.get("output", 0)
    if name not in variables or not isinstance(output, int):
        raise ValueError(f"monotone: expected a scalar variable of `for` under 'in', got {name!r}")
    x = _args(variables)
    larger = ", ".join(f"{part}_larger" if part == name else part for part in x.split(", "))
    sides = [f"f({x})[{output}]", f"f({larger})[{output}]"]
    show = f"{sides[1]} <= {sides[0]}" if argument.get("falling") else f"{sides[0]} <= {sides[1]}"
    return Written(show, {}, {f"{name}_larger": variables[name]}, f"{name} <= {name}_larger")


_WRITERS: dict[str, Callable[[Any, Mapping[str, str], str | None], Written]] = {
    "equivalent": _equivalent,
    "within": _within,
    "sufficient": _sufficient,
    "necessary": _sufficient,
    "fires": _fires,
    "monotone": _monotone,
}
