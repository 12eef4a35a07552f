"""What holds of both stand-alone checkers of bounds: integers alone, short, and no file breaks them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from assay.proofs import check_bound, check_words

CHECKERS = pytest.mark.parametrize("checker", [check_bound, check_words], ids=lambda c: c.__name__)


@CHECKERS
def test_a_checker_computes_with_integers_and_is_short(checker):
    source = Path(checker.__file__).read_text()
    constants = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
    assert not [value for value in constants if isinstance(value, float)]
    assert len(source.splitlines()) <= 400


@CHECKERS
@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", '{"format": 1e999}', "\x00"])
def test_files_that_are_no_certificates_are_rejected(tmp_path, checker, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    assert checker.main([str(path)]) == 1
