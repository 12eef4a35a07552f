"""Lemmas: how the explanation says the network works, used to shorten the proof.

`change_of_variables = { d = "x1 - x2", s = "x1 + x2" }` restates a claim in the new variables. The new scope
holds the image of the old one: old ranges become conditions, new ranges are the widest that they allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from .claims import Claim, Lemma, Variable
from .compilation import Forms
from .expressions import Expr, ExpressionError, conjuncts, fold, unfolded
from .faults import Fault, InputError
from .parser import parse
from .program import Free, Program
from .translation import Form

KINDS = ("change_of_variables",)

Row = list[Fraction]


def restated(claim: Claim, lemma: Lemma) -> Claim:
    """The claim in the lemma's variables.

    Raises:
        InputError: the lemma is of an unknown kind, or no invertible linear change of scalar variables.
    """
    if lemma.kind not in KINDS:
        raise _wrong(claim, f"unknown lemma {lemma.kind!r}; known are {', '.join(KINDS)}")
    old = [v for v in claim.variables if v.size is None]
    forms = {name: _form(claim, text, old) for name, text in lemma.arguments.items()}
    used = sorted({i for form in forms.values() for (_, i), _ in form.terms})
    if clash := set(forms) & {v.name for v in claim.variables}:
        raise _wrong(claim, f"the new variables {', '.join(sorted(clash))} are declared already")
    inverse = _inverse([[dict(form.terms).get((0, i), Fraction(0)) for i in used] for form in forms.values()])
    if inverse is None:
        raise _wrong(
            claim, f"{len(forms)} new variables do not determine {', '.join(old[i].name for i in used)}"
        )
    shifted = [_sum({name: Fraction(1)}, -form.const) for name, form in forms.items()]
    solved = {old[i].name: _combination(row, shifted) for i, row in zip(used, inverse, strict=True)}
    ranges = [_within(solved[old[i].name], old[i]) for i in used]
    given = [_replaced(part, solved) for part in conjuncts(claim.given)] + [
        p for pair in ranges for p in pair
    ]
    kept = tuple(v for v in claim.variables if v.name not in solved)
    return replace(
        claim,
        variables=tuple(_variable(name, form, old) for name, form in forms.items()) + kept,
        show=_replaced(claim.show, solved),
        given=Expr("and", tuple(given)) if len(given) > 1 else given[0],
        lemmas=(),
    )


def _wrong(claim: Claim, message: str) -> InputError:
    return InputError([Fault(f"lemma: {message}", where=claim.name)])


def _form(claim: Claim, text: str, old: list[Variable]) -> Form:
    algebra = Forms(Program([Free(len(old))]), {v.name: Form.of(0, i) for i, v in enumerate(old)}, {}, False)
    try:
        value = fold(unfolded(parse(text)), algebra)
    except ExpressionError as error:
        raise _wrong(claim, f"{text!r}: {error}") from error
    if not isinstance(value, Form) or len(algebra.program.steps) > 1:
        raise _wrong(claim, f"{text!r} is not linear in the scalar variables")
    return value


def _inverse(matrix: list[Row]) -> list[Row] | None:
    """Gauss-Jordan over the rationals; None for what is not square or not invertible."""
    n = len(matrix)
    if any(len(row) != n for row in matrix):
        return None
    rows = [[*row, *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(matrix)]
    for k in range(n):
        pivot = next((r for r in range(k, n) if rows[r][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [v / rows[k][k] for v in rows[k]]
        for r in range(n):
            if r != k:
                rows[r] = [a - rows[r][k] * b for a, b in zip(rows[r], rows[k], strict=True)]
    return [row[n:] for row in rows]


def _number(value: Fraction) -> Expr:
    return Expr("number", value=value)


def _sum(terms: Mapping[str, Fraction], const: Fraction) -> Expr:
    parts = [Expr("*", (_number(c), Expr("name", name=name))) for name, c in terms.items()]
    return Expr("+", (*parts, _number(const)))


def _combination(row: Row, parts: list[Expr]) -> Expr:
    return Expr(
        "+",
        (*(Expr("*", (_number(c), part)) for c, part in zip(row, parts, strict=True)), _number(Fraction(0))),
    )


def _within(expr: Expr, variable: Variable) -> tuple[Expr, Expr]:
    return Expr("<=", (_number(variable.lo), expr)), Expr("<=", (expr, _number(variable.hi)))


def _replaced(expr: Expr, solved: Mapping[str, Expr]) -> Expr:
    if expr.op == "name":
        return solved.get(expr.name, expr)
    return replace(expr, args=tuple(_replaced(arg, solved) for arg in expr.args))


def _variable(name: str, form: Form, old: list[Variable]) -> Variable:
    """The new variable over the widest range that the old ones allow; whole where they make it so."""
    ends = [[c * old[i].lo, c * old[i].hi] for (_, i), c in form.terms]
    lo = form.const + sum((min(pair) for pair in ends), Fraction(0))
    hi = form.const + sum((max(pair) for pair in ends), Fraction(0))
    whole = (
        all(old[i].whole and c.denominator == 1 for (_, i), c in form.terms) and form.const.denominator == 1
    )
    return Variable(name, "integer" if whole else "real", lo, hi)
