import time
from fractions import Fraction

import pytest
from assay.proofs.expressions import ExpressionError, nodes, tree
from assay.proofs.parser import parse
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("abs(f(x1, x2)[0]) <= 1e-6", ["<=", ["abs", ["[]", ["f", "x1", "x2"], 0]], "1/1000000"]),
        ("a - b - c < 0.1", ["<", ["+", "a", ["neg", "b"], ["neg", "c"]], "1/10"]),
        ("-x**2 <= 3", ["<=", ["neg", ["**", "x"]], "3"]),
        ("0 <= x < 1", ["and", ["<=", "0", "x"], ["<", "x", "1"]]),
        ("not a < b and c < d", ["and", ["not", ["<", "a", "b"]], ["<", "c", "d"]]),
        ("a < 1 => b < 1 => c < 1", ["=>", ["<", "a", "1"], ["=>", ["<", "b", "1"], ["<", "c", "1"]]]),
        ("x[3] * 2 / 4 == .5", ["==", ["/", ["*", ["[]", "x", 3], "2"], "4"], "1/2"]),
        ("argmax(x, y) == 1", ["argmax", 1, "x", "y"]),
    ],
)
def test_precedence_and_exact_numbers(text, meaning):
    assert tree(parse(text)) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9**9",
        "9**99999",
        "1e999999999",
        "1" * 5000,
        "(" * 5000,
        "not " * 5000 + "a",
        "-" * 15000 + "a",
        "__import__('os').system('true')",
        "x.__class__",
        "lambda: 1",
        "f(x)[-1] < 0",
        "f(x)[i] < 0",
        "a = 1",
        "x < 1;",
        "f()",
        "'a' < 'b'",
        "",
        "1 +",
        "x y",
        "x < \x00",
    ],
)
def test_what_is_outside_the_language_fails_at_once_and_tells_where(text):
    start = time.process_time()
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert time.process_time() - start < 0.5
    assert 0 <= caught.value.at <= len(text)


def test_long_sums_are_flat():
    found = parse(" + ".join(["x"] * 3000) + " < 1")
    assert len(found.args[0].args) == 3000


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**9, places=7))
def test_decimals_are_exact(value):
    text = format(value, "f")
    assert parse(text).value == Fraction(text)


@given(st.text(alphabet="ab01.+-*/<>=()[], notr", max_size=60))
def test_no_text_crashes_the_parser(text):
    try:
        found = parse(text)
    except ExpressionError:
        return
    assert all(0 <= node.at <= len(text) for node in nodes(found))
