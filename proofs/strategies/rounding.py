"""What float32 may do to a max-of-K transformer: how far computed logit differences and attention can be off.

Every product and sum that torch rounds multiplies a term by 1 + r with |r| <= u = 2^-24 (overflow and TF32
excluded). A term that is rounded n times is off by at most g(n) = n u / (1 - n u) of its size, whatever the
order of summation, with or without FMA (Higham 2002, section 3.1). With X the largest |E| + |P| of each
coordinate, M the largest X |U| + X |V| |O| |U|, and S = X |Q| |K|' X' / sqrt(e):

- logit differences, for given attention, are off by at most 4 g(2d + e + K + 8) M: twice what one logit is,
  and as much again because attention may not add up to one;
- exp(score) is off by at most a factor exp(t), t = g(2d + e + 12) S + 8 u, where 2 ulp are granted to exp.
  Softmax divides all positions by the same computed number, so only that factor matters; exp(t) - 1 is at
  most t (1 + t).

What underflows is smaller than one step of the grid, which is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isqrt

from assay.proofs.faults import InputError

from .max_of_k import MaxOfK

__all__ = ["EXACT", "SPREAD_BITS", "Slack", "float32_slack"]

SPREAD_BITS, ROUNDING = 30, 1 << 24
MARGIN_BITS = 30


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
    w = {name: abs(getattr(model, name)) for name in "EPQKVOU"}
    X = w["E"].max(0) + w["P"].max(0)
    values = (X.dot(w["U"]) << 2 * model.shift) + X.dot(w["V"]).dot(w["O"]).dot(w["U"])
    M, S = int(max(values)), int(X.dot(w["Q"]).dot(w["K"].T).dot(X))
    logit_roundings, score_roundings = 2 * shape.d + shape.e + shape.K + 8, 2 * shape.d + shape.e + 12
    margin = _growth(4 * logit_roundings * M, logit_roundings) * Fraction(2) ** (places - 4 * model.shift)
    attention = _growth(score_roundings * S, score_roundings) / (isqrt(shape.e) << 4 * model.shift)
    t = attention + Fraction(8, ROUNDING)
    if t > Fraction(1, 4) or margin >= 1 << MARGIN_BITS:
        raise InputError(
            f"network {model.network.name!r}: weights so large that float32 may change attention by a "
            f"factor {1 + float(t):.3g}, expected at most 1.25; semantics real has no such limit"
        )
    return Slack(1 + ceil(margin), ceil(t * (1 + t) * (1 << SPREAD_BITS)))


def _growth(terms: int, n: int) -> Fraction:
    return Fraction(terms, ROUNDING - n)
