"""A rule that is certain: its bits, its exceptions, and the list of all answers that it has to undercut."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assay.explanations.errors import ExplanationError
from assay.mdl.exceptions import exception_bits, table_bits
from torch import Tensor

from .code import encode
from .evaluation import evaluate
from .parser import parse

__all__ = ["RuleLength", "rule_length"]


@dataclass(frozen=True)
class RuleLength:
    """Bits of a rule on N data with K outcomes: ``rule`` for the expression, ``exceptions`` for the rest.

    ``kl`` is the mean divergence from a certain rule, in bits: infinite as soon as it is ``wrong`` once.
    ``table`` is the length of the list of all answers.
    """

    rule: float
    exceptions: float
    wrong: int
    table: float

    @property
    def total(self) -> float:
        """Bits of the rule and its exceptions."""
        return self.rule + self.exceptions

    @property
    def kl(self) -> float:
        """KL(answers ‖ rule alone)."""
        return math.inf if self.wrong else 0.0


def rule_length(text: str, inputs: Tensor, answers: Tensor, outcomes: int) -> RuleLength:
    """The length of answers [N] in 0 … K − 1 to inputs [N, d] under a rule with exceptions.

    Raises `ExplanationError` for a rule that cannot be read, or gives several numbers for one datum.
    """
    rule = parse(text, inputs.shape[1])
    said = evaluate(rule, inputs)
    if said.shape[1] != 1:
        raise ExplanationError(f"rule {text!r} says {said.shape[1]} numbers for each datum, expected one")
    wrong = int((said[:, 0] != answers.double()).sum())
    data = len(inputs)
    return RuleLength(
        float(len(encode(rule, inputs.shape[1]))),
        exception_bits(data, wrong, outcomes),
        wrong,
        table_bits(data, outcomes),
    )
