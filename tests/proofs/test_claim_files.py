from fractions import Fraction
from pathlib import Path

import pytest
from assay.proofs import InputError, claim, read
from assay.proofs.claim_files import parse_file

GOOD = """
model = "zoo:comparator"
[[claim]]
name  = "equal inputs cancel"
for   = { x1 = "integer 0..1000000", x2 = "integer 0..1000000" }
given = "x1 == x2"
show  = "abs(f(x1, x2)[0]) <= 1e-6"
semantics = "float32"
  [[claim.lemma]]
  change_of_variables = { d = "x1 - x2", s = "x1 + x2" }
"""


def test_a_claim_file_is_read_whole():
    file = parse_file(GOOD, Path("a.claims.toml"))
    (found,) = file.claims
    assert found.models == {"f": "zoo:comparator"}
    assert found.semantics == "float32"
    assert found.lemmas[0].arguments == {"d": "x1 - x2", "s": "x1 + x2"}
    assert [v.hi for v in found.variables] == [Fraction(10**6)] * 2


def test_all_faults_are_told_at_once_with_line_and_column():
    text = (
        'model = "m"\n'
        "[[claim]]\n"
        'name = "one"\n'
        'for = { x = "real 1..0" }\n'
        'show = "f(x)[0] <"\n'
        "[[claim]]\n"
        'name = "two"\n'
        'for = { y = "integer 0..1" }\n'
        'show = "f(z)[0] < 1"\n'
        'colour = "red"\n'
    )
    with pytest.raises(InputError) as caught:
        parse_file(text, Path("bad.toml"))
    faults = caught.value.faults
    assert [(f.line, f.column) for f in faults][:2] == [(4, 14), (5, 18)]
    assert {f.line for f in faults} == {4, 5, 9, 10}
    assert str(faults[0]).startswith("bad.toml:4:14: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("claim = 3", "claim"),
        ("[[claim]]\nfor = {x = 'bit'}", "show"),
        ("[[claim]]\nfor = {x = 'bit'}\nshow = 'f(x)[0] < 1'", "`model`"),
        ("model = 1\n[[claim]]\nfor = {x = 'bit'}\nshow = 'f(x)[0] < 1'", "expected text"),
        ("model = ", "TOML"),
        ("model = 'm'\n[[claim]]\nfor = {x = 'complex 0..1'}\nshow = 'f(x)[0] < 1'", "domain"),
        ("model = 'm'\n[[claim]]\nfor = {x = 'integer 0.5..1'}\nshow = 'f(x)[0] < 1'", "whole"),
        ("model = 'm'\n[[claim]]\nfor = {x = 'bit'}\nshow = 'f(x)[0] < 1'\nsemantics = 'bf16'", "bf16"),
    ],
)
def test_a_bad_file_is_one_clear_error(text, told):
    with pytest.raises(InputError, match=told):
        parse_file(text, Path("bad.toml"))


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.toml"):
        read(tmp_path / "nothing.toml")


def test_vectors_and_their_components():
    found = claim("f(x)[0] < 1", {"x[0..2]": "real -1e-1..1/3"})
    assert found.variables[0].components == ("x[0]", "x[1]", "x[2]")
    assert found.variables[0].lo == Fraction(-1, 10)
    assert found.variables[0].hi == Fraction(1, 3)
