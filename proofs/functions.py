"""Softmax, norms, activations and maxima, in sums, products, exp, 1/v and roots.

What torch computes in one go is written out so that its float32 result lies within the enclosures of the
parts: functions of exp get no argument above 0, and where torch may add in another way, roundings are
counted for it.
"""

from __future__ import annotations

from fractions import Fraction
from math import pi, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .arithmetic import add, broadcast, multiply, products, reduced, scaled, subtract, total
from .faults import RefusalError
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
_LOOSE = 8
"""Times that the roundings of a sum are counted where a kernel of torch has its own way to it."""
_FUSED_ROUNDINGS = 64
"""Of fused attention: its exponential is good to 20 units in the last place."""
_FUSED_KEYS = 512
_PAIRED = 8
"""Numbers whose softmax is written in differences."""
_LEAST = 1 - 2.0**-10


def positive(t: Tracer, ids: Ids) -> Ids:
    """max(v, 0)."""
    found = np.where(ids < 0, t.tape.constant_ids(torch.as_tensor(t.tape.values(ids)).clamp(min=0)), ids)
    computed = ids >= 0
    if computed.any():
        found[computed] = t.tape.apply("relu", ids[computed])
    return found


def _less(t: Tracer, a: Ids, b: Ids) -> Ids:
    return np.asarray(subtract(t, t.symbol(a), t.symbol(b)).ids.numpy())


def _more(t: Tracer, a: Ids, b: Ids) -> Ids:
    return np.asarray(add(t, t.symbol(a), t.symbol(b)).ids.numpy())


def larger(t: Tracer, a: Ids, b: Ids) -> Ids:
    """max(a, b) = b + relu(a - b)."""
    return _more(t, b, positive(t, _less(t, a, b)))


def largest(t: Tracer, ids: Ids) -> Ids:
    """The maximum along the last axis, as a tournament."""
    while ids.shape[-1] > 1:
        half = ids.shape[-1] // 2
        won = larger(t, *broadcast(ids[..., :half], ids[..., half : 2 * half]))
        ids = np.concatenate([won, ids[..., 2 * half :]], -1)
    return ids[..., 0]


def below_zero(t: Tracer, ids: Ids) -> Ids:
    """min(v, 0)."""
    return scaled(t, positive(t, scaled(t, ids, Fraction(-1))), Fraction(-1))


def softmax(t: Tracer, x: Symbol, dim: int, *rest: Any, extra: int = 1) -> Symbol:
    """exp / sum of exp along an axis; -inf takes no part.

    Over the reals and of few numbers 1 / Σ_j exp(x_j - x_i), which differences bound tightly. Otherwise as
    torch computes it: exp(x - max), each with `extra` float32 roundings more, summed and divided.
    """
    ids = np.moveaxis(t.ids(x), dim, -1)
    rows, where = np.unique(ids.reshape(-1, ids.shape[-1]), axis=0, return_inverse=True)
    found = np.full(rows.shape, -1)
    hidden = (rows < 0) & np.isneginf(t.tape.values(rows))
    for pattern in np.unique(hidden, axis=0):
        here = (hidden == pattern).all(1)
        if pattern.all():
            raise RefusalError("softmax of nothing but -inf")
        kept = np.ix_(here, ~pattern)
        plain = t.rounding or rows[kept].shape[-1] > _PAIRED
        found[kept] = _as_torch(t, rows[kept], extra) if plain else _by_differences(t, rows[kept])
    return t.symbol(np.moveaxis(found[where.ravel()].reshape(ids.shape), -1, dim))


def _by_differences(t: Tracer, rows: Ids) -> Ids:
    n = rows.shape[-1]
    apart = np.stack([np.delete(rows, i, -1) for i in range(n)], -2)  # [..., i, j of the others]
    if n == 1:
        return np.full_like(rows, t.tape.constant(1.0))
    terms = t.tape.apply("exp", _less(t, *broadcast(apart, rows[..., None])))
    return t.tape.apply("reciprocal", _shift(t, total(t, terms, -1), 1.0))


def _shift(t: Tracer, ids: Ids, number: float) -> Ids:
    return np.asarray(add(t, t.symbol(ids), number).ids.numpy())


def _as_torch(t: Tracer, rows: Ids, extra: int) -> Ids:
    down = below_zero(t, _less(t, *broadcast(rows, largest(t, rows)[..., None])))
    terms = rounded(t, t.tape.apply("exp", t.tape.units(down)), extra)
    beyond = positive(t, _shift(t, total(t, terms, -1), -_LEAST))  # one of the terms is about 1
    return products(t, terms, t.tape.apply("reciprocal", _shift(t, beyond, _LEAST))[..., None])


def rounded(t: Tracer, ids: Ids, times: int) -> Ids:
    """The same with so many float32 roundings more (none for 1)."""
    if not t.rounding or times < 2:
        return ids
    return t.tape.apply("sum", *[ids] * times, factors=(str(Fraction(1, times)),) * times)


def attention(
    t: Tracer,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(scale Q Kᵀ + mask) V; torch scales before or after, and has exponentials of its own for it."""
    tensors: list[Any] = [t.symbol(t.ids(each)) for each in (query, key, value)]
    q, k, v = tensors
    if enable_gqa and q.shape[-3] != k.shape[-3]:
        k, v = (each.repeat_interleave(q.shape[-3] // each.shape[-3], -3) for each in (k, v))
    if t.rounding and k.shape[-2] > _FUSED_KEYS:
        raise RefusalError(f"float32 attention over more than {_FUSED_KEYS} keys")
    factor = Fraction(scale if scale is not None else 1 / sqrt(q.shape[-1]))
    scores: Any = t.symbol(scaled(t, t.ids(q), factor, _LOOSE)) @ k.transpose(-1, -2)
    if is_causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, -torch.inf)
    if attn_mask is not None:
        is_bool = isinstance(attn_mask, Tensor) and attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_bool else scores + attn_mask
    pattern: Any = softmax(t, scores, -1, extra=_FUSED_ROUNDINGS)
    return pattern @ v


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
    scale = t.tape.apply("reciprocal", t.tape.apply("sqrt", _shift(t, spread, float(np.float32(eps)))))
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


def _half(t: Tracer, ids: Ids) -> Ids:
    """1 / (1 + exp(-max(v, 0))): from 1/2 at v <= 0 to 1."""
    down = t.tape.apply("exp", scaled(t, positive(t, ids), Fraction(-1)))
    return t.tape.apply("reciprocal", _shift(t, down, 1.0))


def _halves(t: Tracer, x: Any, inside: Fraction, outside: Fraction, shift: float) -> Ids:
    """outside · (half(inside v) - half(-inside v)) + shift: both sigmoid and tanh are made so."""
    ids = t.ids(x)
    up, down = (_half(t, scaled(t, ids, sign * inside)) for sign in (1, -1))
    return _shift(t, scaled(t, _less(t, up, down), outside), shift)


def sigmoid(t: Tracer, x: Any) -> Symbol:
    """1 / (1 + exp(-v)) = 1/2 + half(v) - half(-v)."""
    return t.symbol(_halves(t, x, Fraction(1), Fraction(1), 0.5))


def tanh(t: Tracer, x: Any) -> Symbol:
    """2 (half(2v) - half(-2v))."""
    return t.symbol(_halves(t, x, Fraction(2), Fraction(2), 0.0))


def silu(t: Tracer, x: Any) -> Symbol:
    """v sigmoid(v)."""
    return multiply(t, x, sigmoid(t, x))


def gelu(t: Tracer, x: Any, *, approximate: str = "none") -> Symbol:
    """v/2 (1 + tanh(sqrt(2/π) (v + .044715 v³)))."""
    if approximate != "tanh":
        raise RefusalError("the error function has no exact form here; approximate='tanh' has one")
    ids = t.ids(x)
    cube = scaled(t, products(t, products(t, ids, ids), ids), Fraction(float(np.float32(0.044715))), 4)
    inner = scaled(t, _more(t, ids, cube), Fraction(float(np.float32(sqrt(2 / pi)))), 4)
    gate = scaled(t, _shift(t, t.ids(tanh(t, t.symbol(inner))), 1.0), Fraction(1, 2))
    return t.symbol(products(t, ids, rounded(t, gate, 4)))


def power(t: Tracer, x: Any, exponent: Any) -> Symbol:
    """Whole powers up to 8, roots, and their reciprocals."""
    if isinstance(exponent, Tensor) or float(exponent) not in _POWERS:
        raise RefusalError(f"the power {exponent}: only {', '.join(map(str, sorted(_POWERS)))}")
    ids, size = t.ids(x), abs(float(exponent))
    found = t.tape.apply("sqrt", ids) if size == 0.5 else ids
    for _ in range(1, int(size)):
        found = products(t, found, ids)
    return t.symbol(t.tape.apply("reciprocal", found) if float(exponent) < 0 else found)


_POWERS = {0.5, -0.5, -1.0, *map(float, range(1, 9))}


def leaky(t: Tracer, x: Any, slope: float = 0.01) -> Symbol:
    """relu(v) - slope · relu(-v)."""
    ids = t.ids(x)
    below = positive(t, scaled(t, ids, Fraction(-1)))
    return t.symbol(_ramps(t, ids, below, -slope))


def _ramps(t: Tracer, ids: Ids, below: Ids, factor: float) -> Ids:
    told = str(Fraction(float(torch.tensor(factor, dtype=t.dtype))))
    return t.tape.apply("sum", positive(t, ids), below, factors=("1", told))


def absolute(t: Tracer, x: Any) -> Symbol:
    """relu(v) + relu(-v)."""
    ids = t.ids(x)
    return t.symbol(_ramps(t, ids, positive(t, scaled(t, ids, Fraction(-1))), 1.0))


def elu(t: Tracer, x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Symbol:
    """relu(v) + alpha (exp(min(v, 0)) - 1), with further factors."""
    ids = t.ids(x)
    down = scaled(t, below_zero(t, ids), Fraction(input_scale))
    curve = scaled(t, _shift(t, t.tape.apply("exp", down), -1.0), Fraction(alpha), 4)
    return t.symbol(scaled(t, _more(t, positive(t, ids), curve), Fraction(scale), 2))


def clipped(t: Tracer, x: Any, low: Any = None, high: Any = None) -> Symbol:
    """low + relu(v - low) - relu(v - high)."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise RefusalError("clip needs numbers")
    ids = t.ids(x)
    low, high = (None if b is None else float(torch.tensor(b, dtype=t.dtype)) for b in (low, high))
    if low is None:
        assert high is not None
        return t.symbol(_shift(t, below_zero(t, _shift(t, ids, -high)), high))
    above = positive(t, _shift(t, ids, -low))
    if high is None:
        return t.symbol(_shift(t, above, low))
    beyond = positive(t, _shift(t, ids, -high))
    return t.symbol(t.tape.apply("sum", above, beyond, factors=("1", "-1"), const=str(Fraction(low))))


def _maximum(t: Tracer, x: Any, y: Any) -> Symbol:
    return t.symbol(larger(t, *broadcast(t.ids(x), t.ids(y))))


def _negative(t: Tracer, ids: Ids) -> Ids:
    return scaled(t, ids, Fraction(-1))


def _minimum(t: Tracer, x: Any, y: Any) -> Symbol:
    a, b = broadcast(t.ids(x), t.ids(y))
    return t.symbol(_negative(t, larger(t, _negative(t, a), _negative(t, b))))


def _extreme(sign: int) -> Handler:
    def handler(t: Tracer, x: Symbol, dim: Any = (), keepdim: bool = False) -> Symbol:
        axes = [dim] if isinstance(dim, int) else list(dim) or list(range(x.ndim))
        ids = np.moveaxis(t.ids(x), axes, range(-len(axes), 0))
        ids = scaled(t, ids.reshape(*ids.shape[: x.ndim - len(axes)], -1), Fraction(sign))
        found = scaled(t, largest(t, ids), Fraction(sign))
        return t.symbol(np.expand_dims(found, tuple(a % x.ndim for a in axes)) if keepdim else found)

    return handler


def bilinear(t: Tracer, x: Any, y: Any, weight: Any, bias: Any = None) -> Symbol:
    """x_i W_oij y_j, summed over i and j."""
    ids = t.ids(weight)
    out, n, m = ids.shape
    halfway = t.symbol(t.ids(y)) @ t.symbol(ids.reshape(out * n, m)).T
    each: Any = halfway.reshape(*y.shape[:-1], out, n) * t.symbol(t.ids(x)).unsqueeze(-2)
    found: Any = reduced(t, each, -1, False)
    return found if bias is None else add(t, found, bias)


def one_hot(t: Tracer, tokens: Any, num_classes: int = -1) -> Symbol:
    """relu(v - k + 1) - 2 relu(v - k) + relu(v - k - 1) for each k: 1 where a whole v is k, else 0."""
    if num_classes < 1:
        raise RefusalError("the number of classes has to be told")
    if tokens.dtype.is_floating_point:
        raise RefusalError("numbers that are not whole")
    apart = _less(
        t, *broadcast(t.ids(tokens)[..., None], t.tape.constant_ids(torch.arange(float(num_classes))))
    )
    ramps = [positive(t, _shift(t, apart, k)) for k in (1.0, 0.0, -1.0)]
    return t.symbol(t.tape.apply("sum", *ramps, factors=("1", "-2", "1")), torch.long)


def _refused(reason: str) -> Handler:
    def refuse(t: Tracer, *args: Any, **kwargs: Any) -> Any:
        raise RefusalError(reason)

    return refuse


FUNCTIONS: dict[Any, Handler] = {
    aten._softmax: softmax,
    aten.native_layer_norm: _native_layer_norm,
    aten.gelu: gelu,
    aten.sigmoid: sigmoid,
    aten.tanh: tanh,
    aten.silu: silu,
    aten.pow: power,
    aten.square: lambda t, x: multiply(t, x, x),
    aten.rsqrt: lambda t, x: power(t, x, -0.5),
    aten.leaky_relu: leaky,
    aten.abs: absolute,
    aten.elu: elu,
    aten.hardtanh: lambda t, x, low=-1.0, high=1.0: clipped(t, x, low, high),
    aten.clamp: clipped,
    aten.clamp_min: lambda t, x, low: clipped(t, x, low),
    aten.clamp_max: lambda t, x, high: clipped(t, x, None, high),
    aten.maximum: _maximum,
    aten.minimum: _minimum,
    aten.amax: _extreme(1),
    aten.amin: _extreme(-1),
    aten._trilinear: _refused("sums over several axes at once"),
}

WHOLES: dict[Any, Handler] = {
    functional.scaled_dot_product_attention: attention,
    functional.one_hot: one_hot,
    functional.bilinear: bilinear,
    functional.layer_norm: layer_norm,
    functional.rms_norm: rms_norm,
    torch.bilinear: bilinear,
}
