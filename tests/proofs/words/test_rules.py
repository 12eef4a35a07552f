"""Every rule that a strategy cites has a template, and z3 finds each valid within a second."""

from __future__ import annotations

import time

import pytest
import z3
from assay.proofs.words import RULES, Explained


@pytest.mark.parametrize("rule", RULES)
def test_z3_discharges_it(rule):
    assumed, concluded = RULES[rule]()
    solver = z3.Solver()
    solver.set("timeout", 1000)
    solver.add(assumed)
    start = time.process_time()
    assert solver.check() == z3.sat  # not vacuous
    solver.add(z3.Not(concluded))
    assert solver.check() == z3.unsat
    assert time.process_time() - start < 2


def test_what_strategies_cite_is_there():
    cited = {
        rule
        for form in ("fourier", "pairs")
        for rule in Explained(form, 2 * (form == "fourier")).argument.split(", ")
    }
    assert cited | {"float32 step"} == set(RULES)
