"""What float32 may do to a max-of-K transformer: how far computed logit differences and attention can be off.

Every product and sum that torch rounds multiplies a term by 1 + r with |r| <= u = 2^-24, and may lose 2^-126
where it underflows (flushed to zero or not); overflow and TF32 are excluded. A term that is rounded n times
is off by at most g(n) = n u / (1 - n u) of its size, whatever the order of summation, with or without FMA
(Higham 2002, section 3.1). To let that cover underflow as well, 2^-51 is added to the size of every weight
and of every result: then u times the size of any product is at least 2^-126. With sizes so understood, X the
largest |E| + |P| of each coordinate, M the largest X |U| + X |V| |O| |U|, and S = (X |Q|) (X |K|)' / sqrt(e):

- logit differences, for given attention, are off by at most 4 g(2d + e + K + 24) M: twice what one logit is,
and as
  much again because attention may not add up to one;
- exp(score) is off by at most a factor exp(t), t = g(2d + e + 28) S + 8 u, where 2 ulp are granted to exp.
Softmax
  divides all positions by the same computed number, so only that factor matters; exp(t) - 1 is at most t (1 +
  t).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isqrt

import numpy as np
from assay.proofs.faults import InputError

from .max_of_k import Exact, MaxOfK

__all__ = ["EXACT", "SPREAD_BITS", "Slack", "float32_slack"]

SPREAD_BITS, ROUNDING = 30, 1 << 24
MARGIN_BITS, UNDERFLOW = 30, 51


@dataclass(frozen=True)
class Slack:
    """What a bound has to leave free: `margin` in units of 2^-places, `spread` of exp in units of 2^-30."""

    margin: int = 0
    spread: int = 0


EXACT = Slack()


def float32_slack(model: MaxOfK, places: int) -> Slack:
    """Enough for float32 as torch computes it.  Raises `InputError` where that would be too much."""
    if any("float32" not in str(t.dtype) for t in model.network.module.state_dict().values()):
        raise InputError(f"network {model.network.name!r}: semantics float32 needs weights of float32 alone")
    shape = model.shape
    unit = max(model.shift, UNDERFLOW)
    w = {name: _size(getattr(model, name), unit - model.shift, unit) for name in "QKVOU"}
    X = _size(abs(model.E).max(0) + abs(model.P).max(0), unit - model.shift, unit)
    mixed = _size(X.dot(w["V"]), 0, 2 * unit)
    values = _size(mixed.dot(w["O"]), 0, 3 * unit).dot(w["U"]) + X.dot(w["U"]) * (1 << 2 * unit)
    query, key = _size(X.dot(w["Q"]), 0, 2 * unit), _size(X.dot(w["K"]), 0, 2 * unit)
    logit_roundings, score_roundings = 2 * shape.d + shape.e + shape.K + 24, 2 * shape.d + shape.e + 28
    margin = _growth(4 * logit_roundings * int(max(values)), logit_roundings)
    margin *= Fraction(2) ** (places - 4 * unit)
    attention = _growth(score_roundings * int(query.dot(key)), score_roundings)
    t = attention / (isqrt(shape.e) << 4 * unit) + Fraction(8, ROUNDING)
    if t > Fraction(1, 4) or margin >= 1 << MARGIN_BITS:
        raise InputError(
            f"network {model.network.name!r}: float32 may change attention by a factor {1 + float(t):.3g} "
            f"(expected at most 1.25) and logits by {float(margin) / 2.0**MARGIN_BITS:.3g} of the largest "
            "(expected less than 1); semantics real has no such limit"
        )
    return Slack(1 + ceil(margin), ceil(t * (1 + t) * (1 << SPREAD_BITS)))


def _size(table: Exact, finer: int, places: int) -> Exact:
    """Absolute values in units of 2^-places, and 2^-51 for what may underflow."""
    sizes: Exact = np.abs(table) * (1 << finer) + (1 << places - UNDERFLOW)
    return sizes


def _growth(terms: int, n: int) -> Fraction:
    return Fraction(terms, ROUNDING - n)
