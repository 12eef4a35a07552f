"""What came of claims, in words that fit on a screen."""

from fractions import Fraction

from assay.cli.outcomes import LONGEST_SHOWN, MOST_SHOWN, abridged, counterexample
from assay.proofs import Witness


def test_a_long_claim_keeps_what_it_shows():
    text = (
        "for " + ", ".join(f"x{i} in real 0..1" for i in range(400)) + ": there is no counterexample [real]"
    )
    shown = abridged(text)
    assert len(shown) < LONGEST_SHOWN + 9
    assert shown.endswith(": there is no counterexample [real]")
    assert abridged("short") == "short"


def test_a_counterexample_of_many_inputs_shows_some_and_counts_the_others():
    inputs = {f"x{i}": Fraction(i) for i in range(400)}
    line, *_ = counterexample(Witness(inputs, {}, {}))
    assert f"x{MOST_SHOWN - 1} = {MOST_SHOWN - 1} and {400 - MOST_SHOWN} more inputs" in line
    few = dict(list(inputs.items())[:MOST_SHOWN])
    assert "more" not in counterexample(Witness(few, {}, {}))[0]
