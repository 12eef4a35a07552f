"""What `assay verify` says of lemmas."""

from assay.cli.outcomes import details
from assay.proofs import Outcome
from assay.proofs.verdicts import Certificate, Lengths, Proved


def told(stage: str, plain: int, lemma: int | None) -> list[str]:
    certificate = Certificate("d", plain, 1, 10)
    lengths = Lengths(plain, 10, 4, 4, None, lemma, None if lemma is None else 7)
    return details(Outcome("n", "the claim", Proved(certificate), 0.1, stage, lengths))


def test_both_lengths_are_told() -> None:
    lines = told("bounds and splitting", 900, 500)
    assert any("900 bits" in line for line in lines)
    assert any("with its lemmas: 500 bits, checked with 7 multiplications" in line for line in lines)


def test_a_proof_that_only_lemmas_gave_says_so() -> None:
    lines = told("lemmas", 500, 500)
    assert "without its lemmas no certified proof was found" in lines
    assert not any("with its lemmas:" in line for line in lines)


def test_nothing_is_told_of_lemmas_where_there_are_none() -> None:
    assert not any("lemma" in line for line in told("bounds and splitting", 900, None))
