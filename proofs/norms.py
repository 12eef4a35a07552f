"""Norms and variances, in sums, products and roots.

Kernels of torch have their own ways to a mean and a variance: roundings are counted several times for them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .arithmetic import add, broadcast, multiply, products, rows, total
from .faults import RefusalError
from .ramps import positive, rounded, shifted
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
_LOOSE = 8
"""Times that the roundings of a sum are counted."""


def centred(t: Tracer, ids: Ids) -> Ids:
    """v - mean(v) along the last axis, in whatever order torch subtracts."""
    n = ids.shape[-1]
    copies = _LOOSE if t.rounding else 1
    others = [np.broadcast_to(ids[..., k : k + 1], ids.shape) for k in range(n)]
    factors = (Fraction(1), *[Fraction(-1, n)] * n)
    arrays = [np.ascontiguousarray(a) for a in (ids, *others) for _ in range(copies)]
    told = tuple(str(f / copies) for f in factors for _ in range(copies))
    return t.tape.apply("sum", *arrays, factors=told)


def normalised(t: Tracer, x: Ids, eps: float, centre: bool) -> Ids:
    """v / sqrt(mean(v²) + eps) along the last axis, of v less its mean."""
    v = centred(t, x) if centre else x
    copies = _LOOSE if t.rounding else 1
    spread = total(t, products(t, v, v), -1, Fraction(1, x.shape[-1]), copies)
    scale = t.tape.apply("reciprocal", t.tape.apply("sqrt", shifted(t, spread, float(t.scalar(eps)))))
    return products(t, v, rounded(t, scale, _LOOSE)[..., None])


def layer_norm(
    t: Tracer,
    x: Symbol,
    shape: list[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *rest: Any,
) -> Symbol:
    """Layer norm over the last axes."""
    lead = x.shape[: x.ndim - len(shape)]
    ids = normalised(t, t.ids(x).reshape(*lead, -1), eps, centre=True).reshape(x.shape)
    return _affine(t, ids, weight, bias)


def _affine(t: Tracer, ids: Ids, weight: Any, bias: Any) -> Symbol:
    found = t.symbol(ids)
    found = found if weight is None else multiply(t, found, weight)
    return found if bias is None else add(t, found, bias)


def _native_layer_norm(t: Tracer, *args: Any) -> tuple[Any, ...]:
    return layer_norm(t, *args), None, None


def rms_norm(t: Tracer, x: Symbol, shape: list[int], weight: Any = None, eps: float | None = None) -> Symbol:
    """Division by the root mean square over the last axes."""
    lead = x.shape[: x.ndim - len(shape)]
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    ids = normalised(t, t.ids(x).reshape(*lead, -1), eps, centre=False).reshape(x.shape)
    return _affine(t, ids, weight, None)


def group_norm(
    t: Tracer, x: Symbol, weight: Any, bias: Any, n: int, channels: int, size: int, groups: int, eps: float
) -> tuple[Symbol, None, None]:
    """Layer norm over each group of channels, with a factor and a shift for each channel."""
    ids = normalised(t, t.ids(x).reshape(n, groups, -1), eps, centre=True).reshape(x.shape)
    return _by_channel(t, ids, weight, bias), None, None


def _by_channel(t: Tracer, ids: Ids, weight: Any, bias: Any) -> Symbol:
    """Times a factor, plus a shift that torch may have added to something before."""
    shape = (-1, *[1] * (ids.ndim - 2))
    w = None if weight is None else t.symbol(t.ids(weight).reshape(shape))
    return _affine(
        t, ids, w, None if bias is None else t.symbol(rounded(t, t.ids(bias), _LOOSE).reshape(shape))
    )


def instance_norm(
    t: Tracer,
    x: Symbol,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Symbol:
    """Layer norm over each channel, or with the statistics that were kept."""
    if not use_input_stats:
        return batch_norm(t, x, weight, bias, running_mean, running_var, False, momentum, eps)[0]
    return group_norm(t, x, weight, bias, x.shape[0], x.shape[1], 0, x.shape[1], eps)[0]


def variance(
    t: Tracer, x: Symbol, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> Symbol:
    """Sums of squares around the mean, over n less the correction."""
    ids, axes = rows(t, x, dim)
    below = Fraction(1) / (ids.shape[-1] - Fraction(1 if correction is None else correction))
    v = centred(t, ids)
    found = total(t, products(t, v, v), -1, below, _LOOSE if t.rounding else 1)
    return t.symbol(np.expand_dims(found, axes) if keepdim else found)


def deviation(t: Tracer, x: Symbol, dim: Any = None, **how: Any) -> Symbol:
    """The root of the variance."""
    ids = positive(t, t.ids(variance(t, x, dim, **how)))
    return t.symbol(rounded(t, t.tape.apply("sqrt", ids), _LOOSE))


def _with_mean(spread: Handler) -> Handler:
    """A measure of spread, and the mean."""

    def handler(t: Tracer, x: Symbol, dim: Any = None, *, keepdim: bool = False, **how: Any) -> Any:
        ids, axes = rows(t, x, dim)
        mean = total(t, ids, -1, Fraction(1, ids.shape[-1]), _LOOSE if t.rounding else 1)
        told = t.symbol(np.expand_dims(mean, axes) if keepdim else mean)
        return spread(t, x, dim, keepdim=keepdim, **how), told

    return handler


def batch_norm(
    t: Tracer,
    x: Symbol,
    weight: Any,
    bias: Any,
    mean: Any,
    spread: Any,
    training: bool,
    momentum: float,
    eps: float,
    *rest: Any,
) -> tuple[Symbol, None, None]:
    """(v - mean) / sqrt(variance + eps) by channel, with what was kept of them."""
    if training or mean is None:
        raise RefusalError("statistics of a batch")
    shape = (-1, *[1] * (x.ndim - 2))
    m, s = (t.symbol(t.ids(each).reshape(shape)) for each in (mean, spread))
    scale = t.tape.apply("sqrt", shifted(t, t.ids(s), float(t.scalar(eps))))
    apart = _spread_out(t, t.ids(x), t.ids(m))
    found = products(t, apart, rounded(t, t.tape.apply("reciprocal", scale), _LOOSE))
    return _by_channel(t, found, weight, bias), None, None


def _spread_out(t: Tracer, ids: Ids, mean: Ids) -> Ids:
    """v - mean, in whatever order torch subtracts."""
    a, b = broadcast(ids, mean)
    copies = _LOOSE if t.rounding else 1
    factors = tuple(str(Fraction(sign, copies)) for sign in (1, -1) for _ in range(copies))
    return t.tape.apply("sum", *[a] * copies, *[b] * copies, factors=factors)


NORMS: dict[Any, Handler] = {
    aten.native_layer_norm: _native_layer_norm,
    aten.native_batch_norm: batch_norm,
    aten.native_group_norm: group_norm,
    aten.var: variance,
    aten.std: deviation,
    aten.var_mean: _with_mean(variance),
    aten.std_mean: _with_mean(deviation),
}
WHOLE_NORMS: dict[Any, Handler] = {
    functional.layer_norm: layer_norm,
    functional.rms_norm: rms_norm,
    functional.instance_norm: instance_norm,
}
