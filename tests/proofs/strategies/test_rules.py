from __future__ import annotations

import re
import time
from fractions import Fraction

import pytest
from assay.proofs.strategies import RULES, UnsoundRule, apply, named, proved, refuted, strategies

RELEASED = "mean and difference, as released"


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != RELEASED])
def test_every_rule_is_discharged_within_a_second(rule):
    start = time.process_time()
    assert proved(rule)
    assert time.process_time() - start < 1
    with pytest.raises(ValueError, match="no counterexample"):
        refuted(rule)


def test_the_released_rule_has_a_counterexample_that_is_one():
    assert not proved(RELEASED)
    found = {name: Fraction(value) for name, value in re.findall(r"(\w+) = ([-\d/]+)", refuted(RELEASED))}
    b1, b2, x1, x2, w, w0 = (found.get(name, Fraction(0)) for name in ("b1", "b2", "x1", "x2", "w", "w0"))
    assert max(b1 + w * x1, b2 + w * x2) > max(b1 + w0 * x1, b2 + w0 * x2) + (w - w0) * max(x1, x2)
    assert 0 <= w <= 1
    assert 0 <= w0 <= 1


def test_the_released_form_is_rejected_and_says_why(trained):
    with pytest.raises(UnsoundRule, match=r"mean and difference, as released.*w0?"):
        apply(named("sub-cubic-released"), trained(3, 9))
    assert "sub-cubic-released" not in strategies()


def test_every_argument_is_made_of_rules():
    for strategy in strategies().values():
        if strategy.name in ("brute-force",):
            continue
        for rule in strategy.argument.split(", "):
            assert rule in RULES, (strategy.name, rule)
