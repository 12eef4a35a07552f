import copy
import itertools
import random
from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.proofs import InputError, Lemma, Proved, Refuted, claim, verify
from assay.proofs.expressions import tree
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
    assert [(name, tree(form)) for name, form in found.definitions] == [
        ("d", ["+", "x1", ["*", "-1", "x2"]]),
        ("s", ["+", "x1", "x2"]),
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
    assert all('"for":[["x1","integer","0","1000000",1],["x2"' in text for text in texts)
    assert any('"definitions":[["d",["+","x1",["*","-1","x2"]]]' in text for text in texts)


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


def copied(module, seed, power):
    """The network with its hidden units permuted and rescaled."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(module)
    linear = [layer for layer in other if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for first, second in itertools.pairwise(linear):
            n = first.out_features
            order = torch.randperm(n, generator=generator)
            scale = torch.rand(n, generator=generator) + 0.5
            scale = 2.0 ** torch.randint(-2, 3, (n,), generator=generator) if power else scale
            first.weight.copy_(first.weight[order] * scale[:, None])
            first.bias.copy_(first.bias[order] * scale)
            second.weight.copy_(second.weight[:, order] / scale)
    return other


@pytest.mark.parametrize(("semantics", "epsilon"), [("real", "1e-5"), ("float32", "1e-3")])
@pytest.mark.parametrize("power", [False, True])
def test_a_permuted_and_rescaled_copy_is_equivalent(random_network, semantics, epsilon, power):
    network = random_network([6, 30, 30, 30, 2], 0)
    other = Network("copy", copied(network.module, 1, power), "regression", "real", (6,))
    asked = claim(
        f"max(abs(f(x) - g(x))) <= {epsilon}",
        {"x[0..5]": "real -1..1"},
        semantics=semantics,
        lemmas=(Lemma("matching", {"matching": "auto"}),),
    )
    (outcome,) = verify([asked], networks={"f": network, "g": other}, budget_s=6)
    assert isinstance(outcome.verdict, Proved), outcome
    assert outcome.verdict.certificate.leaves == 1
    assert any("90 ReLUs" in line for line in outcome.log)


def test_a_copy_that_is_none_is_not_proved(random_network):
    network = random_network([6, 30, 30, 2], 0)
    module = copied(network.module, 1, True)
    with torch.no_grad():
        module[2].weight[3] *= 1.5
    other = Network("copy", module, "regression", "real", (6,))
    asked = claim(
        "max(abs(f(x) - g(x))) <= 1e-5",
        {"x[0..5]": "real -1..1"},
        lemmas=(Lemma("matching", {"matching": "auto"}),),
    )
    (outcome,) = verify([asked], networks={"f": network, "g": other}, budget_s=6)
    assert isinstance(outcome.verdict, Refuted)


def clauses(count, seed):
    """Random clauses of three of 12 bits: (bit, whether it stands for itself)."""
    rng = random.Random(seed)
    return [[(v, rng.random() < 0.5) for v in rng.sample(range(12), 3)] for _ in range(count)]


def formula_network(found):
    """1 where all clauses hold, else 0: a ReLU for each clause that is violated."""
    module = nn.Sequential(nn.Linear(12, len(found)), nn.ReLU(), nn.Linear(len(found), 1), nn.ReLU())
    with torch.no_grad():
        module[0].weight.zero_()
        for k, clause in enumerate(found):
            module[0].bias[k] = 1.0 - sum(not positive for _, positive in clause)
            for v, positive in clause:
                module[0].weight[k, v] += -1.0 if positive else 1.0
        module[2].weight.fill_(-1.0)
        module[2].bias.fill_(1.0)
    return Network("cnf", module, "regression", "integer", (12,))


def satisfiable(found):
    return any(
        all(any(bits[v] == positive for v, positive in clause) for clause in found)
        for bits in itertools.product((False, True), repeat=12)
    )


@pytest.mark.parametrize(("count", "domain"), [(40, "bit"), (60, "bit"), (90, "bit"), (60, "real 0..1")])
def test_a_network_that_computes_clauses_is_decided_over_its_bits(count, domain):
    """Against all 4096 assignments; real inputs are bits by a condition."""
    for seed in range(2):
        found = clauses(count, seed)
        given = " and ".join(f"x[{i}] - max(2*x[{i}] - 1, 0) == 0" for i in range(12))
        asked = claim(
            "f(x)[0] <= 0",
            {"x[0..11]": domain},
            given=None if domain == "bit" else given,
            lemmas=(Lemma("boolean", {"boolean": "x"}),),
        )
        (outcome,) = verify([asked], networks={"f": formula_network(found)}, budget_s=10)
        assert isinstance(outcome.verdict, Refuted if satisfiable(found) else Proved), outcome
        if isinstance(outcome.verdict, Proved):
            assert outcome.lengths.lemma_bits is not None


def test_bits_that_nothing_makes_bits_leave_the_lemma_open():
    asked = claim("f(x)[0] <= 2", {"x[0..11]": "real 0..1"}, lemmas=(Lemma("boolean", {"boolean": "x"}),))
    (outcome,) = verify([asked], networks={"f": formula_network(clauses(60, 0))}, budget_s=6)
    assert any("lemma open" in line for line in outcome.log)


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [("matching", "by hand", 'expected "auto"'), ("boolean", "x, y", "expected names of variables, got y")],
)
def test_lemmas_of_one_argument_say_what_they_expect(kind, given, told):
    asked = claim("f(x)[0] <= 2", {"x[0..11]": "real 0..1"}, lemmas=(Lemma(kind, {kind: given}),))
    with pytest.raises(InputError, match=told):
        verify([asked], networks={"f": formula_network(clauses(5, 0))})
