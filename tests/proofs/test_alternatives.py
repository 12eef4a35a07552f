"""Cases of a counterexample: together they say what the formula says, in the order of the checker."""

from fractions import Fraction
from itertools import product

import pytest
from assay.proofs.formulas import Atom, Both, Either, flat
from assay.proofs.stages.alternatives import MAX_CASES, Cases
from assay.proofs.translation import Form
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = 6
atoms = st.integers(0, NUMBERS - 1).map(lambda i: Atom(Form.of(1, i), strict=False))
formulas = st.recursive(
    atoms,
    lambda inner: st.builds(
        lambda kind, parts: kind(tuple(parts)),
        st.sampled_from([Both, Either]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=10,
)


def true(formula, values):
    """Truth where atom i has values[i]."""
    if isinstance(formula, Atom):
        return values[formula.form.terms[0][0][1]]
    return (all if isinstance(formula, Both) else any)(true(part, values) for part in formula.parts)


def walked(formula, cases):
    """The atoms of every leaf as the checker comes to them, taking disjunctions apart as it is told."""
    stack, found = [flat(formula)], []
    for case in cases:
        for _, k in case.head:
            parts = stack.pop()
            assert isinstance(parts[k], Either)
            others = parts[:k] + parts[k + 1 :]
            options = [p for part in parts[k].parts for p in unnested(part)]
            stack += reversed([others + flat(part) for part in options])
        parts = stack.pop()
        assert all(parts[number] == atom for number, atom in case.atoms)
        found.append(parts)
    assert not stack
    return found


def unnested(formula):
    return [p for part in formula.parts for p in unnested(part)] if isinstance(formula, Either) else [formula]


@given(formula=formulas, fully=st.booleans())
def test_cases_are_the_formula(formula, fully):
    cases = Cases(formula, all=fully)
    leaves = walked(formula, cases.listed)
    for values in product([False, True], repeat=NUMBERS):
        assert true(formula, values) == any(all(true(part, values) for part in leaf) for leaf in leaves)


def test_all_disjunctions_of_a_conjunction_are_taken_apart():
    pair = [Either((Atom(Form.of(1, 2 * k), True), Atom(Form.of(1, 2 * k + 1), False))) for k in range(3)]
    assert [len(case.atoms) for case in Cases(Both(tuple(pair)), all=True).listed] == [3] * 8
    assert [case.own for case in Cases(Both(tuple(pair))).listed] == [1, 1]
    assert Cases(Both(tuple(pair)), all=True).listed[0].strict == (True, True, True)


@pytest.mark.parametrize("fully", [False, True])
def test_too_many_cases_are_not_taken_apart(fully):
    pair = Either((Atom(Form.of(1, 0), True), Atom(Form(const=Fraction(1)), False)))
    formula = Both((pair,) * MAX_CASES)
    cases = Cases(formula, all=fully)
    assert len(cases.listed) == 2
    assert cases.few
