"""Logarithms and what is made of them, in sums, exp and log.

What torch computes in float32 is written so that its result lies within the enclosures of the parts: more
roundings are counted where it goes another way.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch

from .arithmetic import broadcast, multiply, one_at_a_time, products, scaled, total
from .faults import RefusalError
from .functions import clipped, tanh
from .ramps import below_zero, largest, less, more, positive, rounded, shifted
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
_LOOSE = 8
_VECTORS = 64
"""Roundings of exponentials of vectors: good to 20 units in the last place."""
_LEAST = 1 - 2.0**-10


def _bend(t: Tracer, ids: Ids) -> Ids:
    """log(1 + exp(-|v|)): what softplus has more than ReLU."""
    size = more(t, positive(t, ids), positive(t, scaled(t, ids, Fraction(-1))))
    raised = shifted(t, t.tape.apply("exp", scaled(t, size, Fraction(-1))), 1.0)
    return t.tape.apply("log", raised)


def softplus(t: Tracer, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Symbol:
    """relu(v) + log(1 + exp(-|beta v|)) / beta; torch leaves out the second where float32 has none."""
    if threshold < 20:
        raise RefusalError(f"a threshold of {threshold}: from there on it would be another function")
    ids = scaled(t, t.ids(x), t.scalar(beta), 2)
    found = rounded(t, more(t, positive(t, ids), _bend(t, ids)), _LOOSE)
    return t.symbol(scaled(t, found, Fraction(1) / Fraction(t.scalar(beta)), 2))


def log_sigmoid(t: Tracer, x: Any) -> Symbol:
    """min(v, 0) - log(1 + exp(-|v|))."""
    ids = t.ids(x)
    return t.symbol(rounded(t, less(t, below_zero(t, ids), _bend(t, ids)), _LOOSE))


def mish(t: Tracer, x: Any) -> Symbol:
    """v tanh(softplus(v))."""
    return t.symbol(rounded(t, t.ids(multiply(t, x, tanh(t, softplus(t, x)))), _LOOSE))


def _raised(t: Tracer, rows: Ids) -> tuple[Ids, Ids]:
    """v - max along the last axis, and log Σ exp of it; one of the terms is 1."""
    down = below_zero(t, less(t, *broadcast(rows, largest(t, rows)[..., None])))
    terms = rounded(t, t.tape.apply("exp", t.tape.units(down)), _VECTORS)
    beyond = positive(t, shifted(t, total(t, terms, -1), -_LEAST))
    return down, t.tape.apply("log", shifted(t, beyond, _LEAST))


def log_softmax(t: Tracer, x: Symbol, dim: int, *rest: Any) -> Symbol:
    """v - max - log Σ exp(v - max) along an axis."""
    down, mass = _raised(t, np.moveaxis(t.ids(x), dim, -1))
    found = rounded(t, less(t, *broadcast(down, mass[..., None])), _LOOSE)
    return t.symbol(np.moveaxis(found, -1, dim))


def log_sum_exp(t: Tracer, x: Symbol, dim: Any, keepdim: bool = False) -> Symbol:
    """max + log Σ exp(v - max) along axes."""
    axes = [dim] if isinstance(dim, int) else list(dim)
    rows = np.moveaxis(t.ids(x), axes, range(-len(axes), 0))
    rows = rows.reshape(*rows.shape[: rows.ndim - len(axes)], -1)
    _, mass = _raised(t, rows)
    found = rounded(t, more(t, largest(t, rows), mass), _LOOSE)
    return t.symbol(np.expand_dims(found, tuple(a % x.ndim for a in axes)) if keepdim else found)


def log_add_exp(t: Tracer, x: Any, y: Any) -> Symbol:
    """log(exp(v) + exp(w))."""
    return log_sum_exp(t, t.symbol(np.stack(broadcast(t.ids(x), t.ids(y)), -1)), -1)


def _running(t: Tracer, x: Symbol, dim: int) -> Symbol:
    """log Σ exp of all up to each."""
    if t.rounding:
        raise RefusalError("logarithms of sums of exponentials, one after the other in float32")
    ids = np.moveaxis(t.ids(x), dim, -1)
    found = [t.ids(log_sum_exp(t, t.symbol(ids[..., : k + 1]), -1)) for k in range(ids.shape[-1])]
    return t.symbol(np.moveaxis(np.stack(found, -1), -1, dim))


def _logit(t: Tracer, x: Any, eps: float | None = None) -> Symbol:
    """log(v / (1 - v))."""
    ids = t.ids(x) if eps is None else t.ids(clipped(t, x, eps, 1 - eps))
    below = t.tape.apply("reciprocal", shifted(t, scaled(t, ids, Fraction(-1)), 1.0))
    return t.symbol(t.tape.apply("log", products(t, ids, below)))


def _complementary(t: Tracer, x: Any) -> Symbol:
    """1 - erf(v)."""
    return t.symbol(shifted(t, scaled(t, t.tape.apply("erf", t.ids(x)), Fraction(-1)), 1.0))


def _log1p(t: Tracer, x: Any) -> Symbol:
    return t.symbol(t.tape.apply("log", shifted(t, t.ids(x), 1.0)))


def _expm1(t: Tracer, x: Any) -> Symbol:
    return t.symbol(shifted(t, t.tape.apply("exp", t.ids(x)), -1.0))


LOGARITHMS: dict[Any, Handler] = {
    aten.log: one_at_a_time("log"),
    aten.log1p: _log1p,
    aten.expm1: _expm1,
    aten.erf: one_at_a_time("erf"),
    aten.erfc: _complementary,
    aten.softplus: softplus,
    aten.log_sigmoid: log_sigmoid,
    aten.log_sigmoid_forward: lambda t, x: (log_sigmoid(t, x), None),
    aten.mish: mish,
    aten._log_softmax: log_softmax,
    aten.log_softmax: log_softmax,
    aten.logsumexp: log_sum_exp,
    aten.logaddexp: log_add_exp,
    aten.logcumsumexp: _running,
    aten.logit: _logit,
}
