from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.proofs import InputError, Lemma, Proved, Refuted, claim, verify
from assay.proofs.expressions import canonical
from assay.proofs.lemmas import explained
from assay.proofs.lowering import lower
from torch import nn

PAIR = {"x1": "integer 0..1000000", "x2": "integer 0..1000000"}
CHANGE = Lemma("change_of_variables", {"d": "x1 - x2", "s": "x1 + x2"})
SUM = Lemma("change_of_variables", {"s": "sum(x)"})


def bound(asked, network):
    return explained(asked, {"f": lower(network.module, network.in_shape)})


def test_the_new_inputs_range_over_the_image_of_the_old_ones(distance):
    found = bound(claim("f(x1, x2)[0] <= 1 or x1 <= 3", PAIR, lemmas=(CHANGE,)), distance)
    assert found.free == ("d", "s")
    assert found.lo == (Fraction(-(10**6)), Fraction(0))
    assert found.hi == (Fraction(10**6), Fraction(2 * 10**6))
    assert found.whole == (True, True)
    assert [(name, canonical(form)) for name, form in found.definitions] == [
        ("d", "(x1 - x2)"),
        ("s", "(x1 + x2)"),
    ]
    assert found.declared([Fraction(3), Fraction(7)]) == {"x1": 5, "x2": 2}


def test_what_is_not_read_is_left_out(distance):
    """The network reads the difference alone."""
    found = bound(claim("f(x1, x2)[0] <= 1", PAIR, lemmas=(CHANGE,)), distance)
    assert found.free == ("d",)


def test_proof_lengths_with_and_without_the_lemma(distance):
    asked = claim("abs(f(x1, x2)[0] - abs(x1 - x2) / 1e6) <= 1e-3", PAIR, lemmas=(CHANGE,))
    (outcome,) = verify([asked], networks={"f": distance})
    assert isinstance(outcome.verdict, Proved)
    assert outcome.verdict.trusted == ()
    assert outcome.lengths.lemma_operations is not None
    assert outcome.lengths.operations is not None


def test_the_certificate_is_about_the_claim_as_it_was_stated(distance, tmp_path):
    asked = claim("f(x1, x2)[0] <= 2", PAIR, lemmas=(CHANGE,))
    verify([asked], networks={"f": distance}, certificates=tmp_path)
    texts = [path.read_text() for path in tmp_path.glob("*.json")]
    assert len(texts) == 2
    assert all('"for":[["x1","integer","0","1000000",null],["x2"' in text for text in texts)
    assert any('"definitions":[["d","(x1 - x2)"]' in text for text in texts)


def staircase(n, shift=0.0):
    """The parity of n bits: a zigzag of their sum."""
    module = nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, 1))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.copy_(-torch.arange(n))
        module[2].weight.copy_(torch.tensor([[1.0, *((2.0, -2.0)[k % 2] for k in range(1, n))]]))
        module[2].bias.fill_(shift)
    return Network("parity", module, "regression", "integer", (n,))


PARITY = "abs(f(x)[0] - (1 - abs(abs(abs(abs(abs(abs(sum(x) - 32) - 16) - 8) - 4) - 2) - 1))) <= 1e-3"


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_parity_of_64_bits_is_proved_through_their_sum(shift):
    asked = claim(PARITY, {"x[0..63]": "bit"}, lemmas=(SUM,))
    (outcome,) = verify([asked], networks={"f": staircase(64, shift)}, budget_s=8)
    assert isinstance(outcome.verdict, Refuted if shift else Proved), outcome
    assert outcome.lengths.box_inputs == 2**64


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        ("induction", {"n": "x1"}, "unknown lemma"),
        ("change_of_variables", {"d": "abs(x1)", "s": "x2"}, "not one number that is linear"),
        ("change_of_variables", {"d": "x1 * x2"}, "not linear"),
        ("change_of_variables", {"d": "f(x1, x2)[0]"}, "f is no function"),
        ("change_of_variables", {"d": "x1 <= x2"}, "expected a number"),
        ("change_of_variables", {"x1": "x1 - x2", "s": "x2"}, "declared already"),
        ("change_of_variables", {"d": "x1 - x9", "s": "x2"}, "x9"),
        ("change_of_variables", {"d": "x1 -"}, "'x1 -'"),
        ("change_of_variables", {"d e": "x1"}, "no name"),
    ],
)
def test_lemmas_that_make_no_sense_are_refused(distance, kind, arguments, told):
    asked = claim("f(x1, x2)[0] <= 1", PAIR, lemmas=(Lemma(kind, arguments),))
    with pytest.raises(InputError, match=told):
        verify([asked], networks={"f": distance})
