"""What a rule says about a batch of inputs: float64, in which whole numbers below 2⁵³ are exact."""

from __future__ import annotations

from collections.abc import Callable

import torch
from assay.explanations.errors import ExplanationError
from torch import Tensor

from .expressions import INPUT, LEAVES, WHOLE, Expression

__all__ = ["evaluate"]

PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "//": torch.floor_divide,
    "%": torch.remainder,
    "**": torch.pow,
    "==": torch.eq,
    "!=": torch.ne,
    "<": torch.lt,
    "<=": torch.le,
    ">": torch.gt,
    ">=": torch.ge,
    "and": lambda a, b: (a != 0) & (b != 0),
    "or": lambda a, b: (a != 0) | (b != 0),
    "min": torch.minimum,
    "max": torch.maximum,
}
SINGLES: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg,
    "not": lambda a: a == 0,
    "abs": torch.abs,
    "relu": torch.relu,
    "largest": lambda a: a.amax(-1, keepdim=True),
    "smallest": lambda a: a.amin(-1, keepdim=True),
    "sum": lambda a: a.sum(-1, keepdim=True),
    "argmax": lambda a: a.argmax(-1, keepdim=True),
    "argmin": lambda a: a.argmin(-1, keepdim=True),
    "second_max": lambda a: _second(a),
}


def evaluate(rule: Expression, x: Tensor) -> Tensor:
    """Values [n, 1], or [n, d] where the rule keeps the inputs apart, for inputs [n, d].

    Truth is 1, falsehood 0; the second largest counts equal ones apart; of equal ones the first is the
    argmax.  Raises `ExplanationError` where a value is not finite, such as behind a division by 0.
    """
    values = _evaluate(rule, x.double())
    if not bool((finite := values.isfinite().all(-1)).all()):
        where = int((~finite).nonzero()[0])
        raise ExplanationError(f"rule {rule}: no finite value at datum {where}, {x[where].tolist()[:8]}")
    return values.expand(len(x), -1)


def _evaluate(rule: Expression, x: Tensor) -> Tensor:
    if rule.symbol in LEAVES:
        return _leaf(rule, x)
    below = [_evaluate(child, x) for child in rule.below]
    if rule.symbol == "if":
        return torch.where(below[1] != 0, below[0], below[2])
    if len(below) == 1:
        return SINGLES[rule.symbol](below[0]).double()
    return PAIRS[rule.symbol](*below).double()


def _leaf(rule: Expression, x: Tensor) -> Tensor:
    if rule.symbol == WHOLE:
        return x
    assert rule.number is not None
    if rule.symbol == INPUT:
        return x[:, int(rule.number), None]
    return x.new_full((1, 1), float(rule.number))


def _second(a: Tensor) -> Tensor:
    if a.shape[-1] < 2:
        raise ExplanationError("second_max of fewer than two numbers")
    return a.topk(2, dim=-1).values[:, 1:]
