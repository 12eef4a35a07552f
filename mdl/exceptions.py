"""What it costs to be certain and wrong now and then: a list of exceptions, and the list of everything."""

from __future__ import annotations

import math

from .lengths import log2_binomial

__all__ = ["exception_bits", "table_bits"]


def exception_bits(data: int, wrong: int, outcomes: int) -> float:
    """log2(N + 1) for how many of N data are exceptions, log2 C(N, n) for which, log2(K − 1) for each answer.

    >>> round(exception_bits(10_000, 7, 100), 1)
    140.4
    """
    if not 0 <= wrong <= data or outcomes < 2:
        raise ValueError(f"{wrong} exceptions among {data} data with {outcomes} outcomes cannot be")
    return math.log2(data + 1) + float(log2_binomial(data, wrong)) + wrong * math.log2(outcomes - 1)


def table_bits(data: int, outcomes: int) -> float:
    """No rule: how many answers, and one of K for each of N data.

    >>> round(table_bits(10_000, 100))
    66452
    """
    return math.log2(data + 1) + data * math.log2(outcomes)
