"""Rules: what is read, what is refused, that a code word comes back, and the published lengths."""

import itertools
import math

import pytest
import torch
from assay.explanations import ExplanationError, Question, Spec, gather, weigh
from assay.explanations.rules import Rule, decode, encode, evaluate, parse, rule_length
from assay.explanations.rules.expressions import ARITY, SYMBOLS, Expression
from assay.mdl import MechanismProblem, score_mechanism
from assay.mdl.target import CategoricalTarget
from assay.models import Dataset, Network, Scope, zoo
from hypothesis import given
from hypothesis import strategies as st

X = torch.randint(-9, 10, (200, 3), generator=torch.Generator().manual_seed(0))


def leaf() -> st.SearchStrategy[str]:
    numbers = st.one_of(st.integers(0, 10**6).map(str), st.sampled_from(["0.5", "2.125", "1000000.25"]))
    return st.one_of(numbers, st.sampled_from(["x[0]", "x[1]", "x[2]", "sum(x)", "argmax(x)"]))


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.sampled_from(["+", "-", "*", "==", "<", ">=", "and", "or"])
    return st.one_of(
        st.tuples(inner, pairs, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"abs(-{t})"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    )


@given(st.recursive(leaf(), larger, max_leaves=12))
def test_a_code_word_comes_back_and_says_the_same(text):
    rule = parse(text, 3)
    assert decode(encode(rule, 3), 3) == rule
    assert parse(str(rule), 3) == rule
    assert torch.equal(evaluate(rule, X), evaluate(decode(encode(rule, 3), 3), X))


def test_code_words_are_prefix_free():
    """Over rules of up to three nodes: the Kraft sum stays below 1, and no word begins another."""
    leaves = [parse(t, 2) for t in ("x", "x[0]", "x[1]", "0", "1", "2", "7", "0.5")]
    ones = [Expression(s, (a,)) for s in SYMBOLS if ARITY[s] == 1 for a in leaves]
    twos = [
        Expression(s, pair) for s in SYMBOLS if ARITY[s] == 2 for pair in itertools.product(leaves, leaves)
    ]
    words = sorted("".join("01"[bit] for bit in encode(rule, 2)) for rule in (*leaves, *ones, *twos))
    assert not any(b.startswith(a) for a, b in itertools.pairwise(words))
    assert sum(2.0 ** -len(word) for word in words) <= 1


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("x1 == x2", lambda a, b, c: a == b),
        ("(a + b) % 100", lambda a, b, c: (a + b) % 100),
        ("max(x)", max),
        ("argmax(x)", lambda *v: v.index(max(v))),
        ("second_max(x)", lambda *v: sorted(v)[-2]),
        ("-x[0] // 2 + x[2] ** 3", lambda a, b, c: -a // 2 + c**3),
        ("0 < a <= b", lambda a, b, c: 0 < a <= b),
        ("min(a, 3) if not b > c else relu(c)", lambda a, b, c: min(a, 3) if not b > c else max(c, 0)),
        ("a or b and c", lambda a, b, c: bool(a or (b and c))),
    ],
)
def test_a_rule_says_what_python_says(text, plain):
    said = evaluate(parse(text, 3), X)[:, 0].tolist()
    assert said == [float(plain(*row)) for row in X.tolist()]


def test_a_rule_may_keep_the_inputs_apart():
    assert torch.equal(evaluate(parse("x + relu(x)", 3), X), (X + X.relu()).double())


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "x.__class__",
        "(lambda: 1)()",
        "[x for x in x]",
        "open(x)",
        "max(x, default=1)",
        "x[0:2]",
        "x[9]",
        "x4",
        "x0",
        "y",
        "'a'",
        "2 ** a",
        "a ** 99",
        "a ** 9 ** 9",
        "1e400",
        "10 ** 13 + 10000000000000",
        "a = 1",
        "",
        "(" * 60 + "a" + ")" * 59,
        "-" * 100 + "a",
        "+".join("a" * 300),
        "a" * 3000,
        "1j",
        "a & b",
    ],
)
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ExplanationError, match="rule"):
        parse(text, 3)


def test_bits_that_are_no_rule_are_refused():
    word = encode(parse("a + 1", 3), 3)
    with pytest.raises(ExplanationError, match="inside the rule"):
        decode(word[:-1], 3)
    with pytest.raises(ExplanationError, match="left behind"):
        decode([*word, False], 3)
    with pytest.raises(ExplanationError, match="nodes"):
        decode([False] * 5000, 3)
    with pytest.raises(ExplanationError, match="no finite value at datum"):
        evaluate(parse("1 / (a - a)", 3), X)


def modular() -> tuple[torch.Tensor, torch.Tensor]:
    pairs = torch.cartesian_prod(torch.arange(100), torch.arange(100))
    return pairs, pairs.sum(1) % 100


def test_the_published_lengths_of_modular_addition():
    """(a + b) mod 100 on all 10⁴ inputs: 53 bits, 180 with seven wrong entries, 66,452 for the list."""
    pairs, answers = modular()
    exact = rule_length("(a + b) % 100", pairs, answers, 100)
    assert (round(exact.total), exact.kl, round(exact.table)) == (53, 0.0, 66_452)
    answers[[3, 99, 500, 1234, 4321, 7777, 9999]] += 1
    wrong = rule_length("(a + b) % 100", pairs, answers % 100, 100)
    assert (wrong.wrong, wrong.kl, round(wrong.total)) == (7, math.inf, 180)


class Certain(torch.nn.Module):
    """Gives one outcome all the probability."""

    def __init__(self, wrong: set[int]) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer = (x.sum(1).long() + sum((x[:, 0] * 100 + x[:, 1] == i).long() for i in self.wrong)) % 100
        return torch.where(torch.nn.functional.one_hot(answer, 100).bool(), 0.0, -math.inf)


def test_a_certain_rule_is_scored_with_its_exceptions():
    pairs, _ = modular()
    pairs = pairs[::5]
    totals = {}
    for wrong in ((), (5, 500, 2005)):
        network = Network("mod", Certain(set(wrong)), "categorical", "integer", (2,))
        outputs = network(pairs)
        rule = Rule(network, "(a + b) % 100", pairs, outputs, certain=True)
        score = score_mechanism(rule, MechanismProblem(pairs, outputs, CategoricalTarget()))
        totals[len(wrong)] = score.ledger.total
        assert score.faithfulness["infinite_rows"] == len(wrong)
    assert totals[0] < 60
    told = math.log2(math.comb(2000, 3)) + 3 * math.log2(100)  # which three, and their answers
    assert told < totals[3] - totals[0] < told + math.log2(2001)  # and at most that there are three


def test_a_rule_about_a_trained_network_beats_the_answers_and_the_network():
    network, data = zoo.load("max-of-4"), zoo.data("max-of-4", 300, 1)
    evidence = gather(Question("mechanism", "outputs"), network, data)
    right, wrong, answers, whole = weigh(evidence, ["rule:max(x)", "rule:min(x)", "answers", "network"])
    assert right.explanation.name == "max(x)"
    assert right.ledger.total < wrong.ledger.total
    assert right.ledger.total < min(answers.ledger.total, whole.ledger.total)
    (certain,) = weigh(evidence, ["rule:max(x),trust=certain,name=sure"])
    assert certain.explanation.name == "sure"
    assert certain.faithfulness["infinite_rows"] == len(data)


def test_a_rule_about_numbers_leaves_a_residual():
    network, data = zoo.load("comparator"), zoo.data("comparator", 200, 1)
    evidence = gather(Question("mechanism", "outputs", delta=1e-4), network, data)
    rule, answers = weigh(evidence, ["rule:abs(x1 - x2) / 1000000", "answers"])
    assert rule.ledger.total < answers.ledger.total / 10


def test_rules_that_do_not_fit_are_refused():
    network, data = zoo.load("boolean"), zoo.data("boolean", 20, 1)
    outputs = network(data.inputs)
    for text, words in {"sum(x)": "number of an outcome, 0 to 1", "x": "says 10 numbers"}.items():
        with pytest.raises(ExplanationError, match=words):
            Rule(network, text, data.inputs, outputs)
    grids = Network("grid", torch.nn.Flatten(), "regression", "real", (2, 3))
    with pytest.raises(ExplanationError, match="a rule reads a row of numbers"):
        Rule(grids, "x", torch.zeros(2, 2, 3), torch.zeros(2, 6))
    evidence = gather(
        Question("mechanism", "outputs"), network, Dataset("d", data.inputs, None, "sample", SCOPE)
    )
    for spec in ("rule", "rule:max(x),trust=blind", "rule:max(x),depth=3"):
        with pytest.raises(ExplanationError):
            weigh(evidence, [spec])


SCOPE = Scope("bits", "uniform")


def test_commas_inside_brackets_belong_to_the_rule():
    spec = Spec.parse("rule:max(a, min(b, 3)),name=clipped")
    assert (spec.path, spec.options) == ("max(a, min(b, 3))", {"name": "clipped"})
    assert Spec.parse("rule:x1 == x2").path == "x1 == x2"
    assert Spec.parse("sae:runs(old,k=4").options == {"k": "4"}
    assert spec.each(["name"])[0].path == spec.path
