"""Lemmas: how the explanation says that the network works, used to shorten the proof.

    change_of_variables = { d = "x1 - x2", s = "x1 + x2" }    further inputs, linear in those there are
    matching = "auto"    ReLUs of one network are multiples of those of another, found from the weights
    boolean = ["x"]    these inputs are 0 or 1; the search goes from value to value

The claim stays as it was stated: a lemma only adds to it what holds anyway, so that the checker needs no
trust in the lemma. Inputs that were declared first are solved for, and the network is read in the new ones;
they need not determine the old ones (`s = "sum(x)"`).
"""

from __future__ import annotations

from collections.abc import Mapping

from .claims import Claim, Lemma
from .expressions import Expr, ExpressionError, unfolded
from .faults import Fault, InputError
from .lowering import Graph
from .matching import matched
from .narrowing import narrowed
from .obligations import Obligation, bind
from .parser import parse

KINDS = ("change_of_variables", "matching", "boolean")


def explained(claim: Claim, graphs: Mapping[str, Graph]) -> Obligation:
    """The claim bound to its networks, with all that its lemmas add.

    Raises:
        InputError: a lemma of an unknown kind, or that makes no sense for the claim.
    """
    definitions: dict[str, Expr] = {}
    for lemma in claim.lemmas:
        if lemma.kind not in KINDS:
            raise _wrong(claim, f"unknown lemma {lemma.kind!r}; known are {', '.join(KINDS)}")
        if lemma.kind != "change_of_variables":
            _sensible(claim, lemma)
            continue
        definitions |= {name: _form(claim, lemma, name) for name in lemma.arguments}
        try:
            bind(claim, graphs, definitions)
        except InputError:
            raise
        except ValueError as error:
            raise _wrong(claim, f"{', '.join(lemma.arguments.values())}: {error}") from error
    found = narrowed(bind(claim, graphs, definitions))
    return matched(found) if any(lemma.kind == "matching" for lemma in claim.lemmas) else found


def _sensible(claim: Claim, lemma: Lemma) -> None:
    given = lemma.arguments.get(lemma.kind, "")
    if lemma.kind == "matching" and given != "auto":
        raise _wrong(claim, f'matching: expected "auto", got {dict(lemma.arguments)}')
    unknown = {name.strip() for name in given.split(",")} - {v.name for v in claim.variables}
    if lemma.kind == "boolean" and unknown:
        raise _wrong(
            claim, f"boolean: expected names of variables, got {', '.join(sorted(unknown)) or given}"
        )


def _form(claim: Claim, lemma: Lemma, name: str) -> Expr:
    text = lemma.arguments[name]
    if not name.isascii() or not name.isidentifier():
        raise _wrong(claim, f"{name!r} is no name of a variable")
    try:
        return unfolded(parse(text))
    except ExpressionError as error:
        raise _wrong(claim, f"{text!r}: {error}") from error


def _wrong(claim: Claim, message: str) -> InputError:
    return InputError([Fault(f"lemma: {message}", where=claim.name)])
