"""Differences, maxima and roundings of cells, of which functions are made."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch

from .arithmetic import add, broadcast, scaled, subtract
from .symbols import Tracer
from .tape import Ids


def less(t: Tracer, a: Ids, b: Ids) -> Ids:
    """a - b."""
    return np.asarray(subtract(t, t.symbol(a), t.symbol(b)).ids.numpy())


def more(t: Tracer, a: Ids, b: Ids) -> Ids:
    """a + b."""
    return np.asarray(add(t, t.symbol(a), t.symbol(b)).ids.numpy())


def shifted(t: Tracer, ids: Ids, number: float) -> Ids:
    """Cells plus a number."""
    return np.asarray(add(t, t.symbol(ids), number).ids.numpy())


def positive(t: Tracer, ids: Ids) -> Ids:
    """max(v, 0)."""
    found = np.where(ids < 0, t.tape.constant_ids(torch.as_tensor(t.tape.values(ids)).clamp(min=0)), ids)
    computed = ids >= 0
    if computed.any():
        found[computed] = t.tape.apply("relu", ids[computed])
    return found


def below_zero(t: Tracer, ids: Ids) -> Ids:
    """min(v, 0)."""
    return scaled(t, positive(t, scaled(t, ids, Fraction(-1))), Fraction(-1))


def larger(t: Tracer, a: Ids, b: Ids) -> Ids:
    """max(a, b) = b + relu(a - b); -inf, which stands for nothing, is never the larger."""
    found, nothing = np.where(_lowest(t, a), b, a), _lowest(t, a) | _lowest(t, b)
    if not nothing.all():
        one, other = a[~nothing], b[~nothing]
        found[~nothing] = more(t, other, positive(t, less(t, one, other)))
    return found


def smaller(t: Tracer, a: Ids, b: Ids) -> Ids:
    """min(a, b)."""
    one, other = (scaled(t, each, Fraction(-1)) for each in (a, b))
    return scaled(t, larger(t, one, other), Fraction(-1))


def _lowest(t: Tracer, ids: Ids) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which are the constant -inf."""
    return np.asarray((ids < 0) & np.isneginf(t.tape.values(ids)))


def largest(t: Tracer, ids: Ids) -> Ids:
    """The maximum along the last axis, as a tournament."""
    while ids.shape[-1] > 1:
        half = ids.shape[-1] // 2
        won = larger(t, *broadcast(ids[..., :half], ids[..., half : 2 * half]))
        ids = np.concatenate([won, ids[..., 2 * half :]], -1)
    return ids[..., 0]


def rounded(t: Tracer, ids: Ids, times: int) -> Ids:
    """The same with so many float32 roundings more (none for 1)."""
    if not t.rounding or times < 2:
        return ids
    return t.tape.apply("sum", *[ids] * times, factors=(str(Fraction(1, times)),) * times)
