from fractions import Fraction

import pytest
from assay.proofs import InputError, Lemma, Proved, claim, verify
from assay.proofs.lemmas import restated

PAIR = {"x1": "integer 0..1000000", "x2": "integer 0..1000000"}
CHANGE = Lemma("change_of_variables", {"d": "x1 - x2", "s": "x1 + x2"})


def test_the_restated_scope_holds_the_image_of_the_old_one():
    found = restated(claim("f(x1, x2)[0] <= 1", PAIR), CHANGE)
    assert [(v.name, v.lo, v.hi, v.kind) for v in found.variables] == [
        ("d", Fraction(-(10**6)), Fraction(10**6), "integer"),
        ("s", Fraction(0), Fraction(2 * 10**6), "integer"),
    ]
    assert found.given is not None


def test_proof_lengths_with_and_without_the_lemma(distance):
    asked = claim("abs(f(x1, x2)[0] - abs(x1 - x2) / 1e6) <= 1e-3", PAIR, lemmas=(CHANGE,))
    (outcome,) = verify([asked], networks={"f": distance})
    assert isinstance(outcome.verdict, Proved)
    assert outcome.verdict.trusted == ()
    assert outcome.lengths.lemma_operations is not None
    assert outcome.lengths.operations is not None


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        ("induction", {"n": "x1"}, "unknown lemma"),
        ("change_of_variables", {"d": "x1 - x2"}, "do not determine"),
        ("change_of_variables", {"d": "x1 - x2", "s": "2*x1 - 2*x2"}, "do not determine"),
        ("change_of_variables", {"d": "abs(x1)", "s": "x2"}, "not linear"),
        ("change_of_variables", {"x1": "x1 - x2", "s": "x2"}, "declared already"),
        ("change_of_variables", {"d": "x1 - x9", "s": "x2"}, "x9"),
    ],
)
def test_lemmas_that_make_no_sense_are_refused(distance, kind, arguments, told):
    asked = claim("f(x1, x2)[0] <= 1", PAIR, lemmas=(Lemma(kind, arguments),))
    with pytest.raises(InputError, match=told):
        verify([asked], networks={"f": distance})
