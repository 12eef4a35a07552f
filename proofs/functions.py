"""Activations, powers, maxima and products of several tensors, in sums, products, exp, 1/v and roots."""

from __future__ import annotations

from fractions import Fraction
from functools import partial, reduce
from math import pi, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .arithmetic import add, broadcast, multiply, products, reduced, scaled
from .faults import RefusalError
from .ramps import below_zero, larger, largest, less, more, positive, rounded, shifted, smaller
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
MOST_POWER = 64


def sigmoid(t: Tracer, x: Any) -> Symbol:
    """1 / (1 + exp(-v))."""
    return t.symbol(t.tape.apply("sigmoid", t.ids(x)))


def tanh(t: Tracer, x: Any) -> Symbol:
    """2 sigmoid(2v) - 1."""
    curve = t.tape.apply("sigmoid", scaled(t, t.ids(x), Fraction(2)))
    return t.symbol(shifted(t, scaled(t, curve, Fraction(2)), -1.0))


def silu(t: Tracer, x: Any) -> Symbol:
    """v sigmoid(v)."""
    return multiply(t, x, sigmoid(t, x))


def gelu(t: Tracer, x: Any, *, approximate: str = "none") -> Symbol:
    """v/2 (1 + erf(v / sqrt(2))), or v/2 (1 + tanh(sqrt(2/π) (v + .044715 v³)))."""
    ids = t.ids(x)
    if approximate == "tanh":
        cube = scaled(t, products(t, products(t, ids, ids), ids), t.scalar(0.044715), 4)
        inner = scaled(t, more(t, ids, cube), t.scalar(sqrt(2 / pi)), 4)
        curve = t.ids(tanh(t, t.symbol(inner)))
    else:
        curve = t.tape.apply("erf", scaled(t, ids, t.scalar(sqrt(0.5)), 4))
    gate = scaled(t, shifted(t, curve, 1.0), Fraction(1, 2))
    return t.symbol(products(t, ids, rounded(t, gate, 4)))


def power(t: Tracer, x: Any, exponent: Any) -> Symbol:
    """Powers up to 64 of quarters: products of whole powers and roots, and their reciprocals."""
    if isinstance(x, float | int) or (isinstance(exponent, Tensor) and exponent.numel() > 1):
        raise RefusalError("a power that depends on the input, or several at once")
    if isinstance(exponent, Symbol) and (exponent.ids >= 0).any():
        raise RefusalError("a power that depends on the input")
    size = abs(Fraction(float(t.number(exponent))))
    if (4 * size).denominator > 1 or not 0 < size <= MOST_POWER:
        raise RefusalError(
            f"the power {float(exponent)}: only quarters, halves and whole ones up to {MOST_POWER}"
        )
    ids, (whole, rest) = t.ids(x), divmod(size, 1)
    root = t.tape.apply("sqrt", ids) if rest else None
    parts = [_whole_power(t, ids, whole)] if whole else []
    parts += [] if root is None or rest < Fraction(1, 2) else [root]
    parts += [t.tape.apply("sqrt", root)] if root is not None and rest != Fraction(1, 2) else []
    found = reduce(partial(products, t), parts)
    found = rounded(t, found, 4) if len(parts) > 1 or (4 * rest) % 2 else found
    return t.symbol(t.tape.apply("reciprocal", found) if float(exponent) < 0 else found)


def _whole_power(t: Tracer, ids: Ids, exponent: int) -> Ids:
    """As squares of squares."""
    if exponent == 1:
        return ids
    half = _whole_power(t, ids, exponent // 2)
    square = products(t, half, half)
    return products(t, square, ids) if exponent % 2 else square


def leaky(t: Tracer, x: Any, slope: float = 0.01) -> Symbol:
    """relu(v) - slope · relu(-v)."""
    ids = t.ids(x)
    below = positive(t, scaled(t, ids, Fraction(-1)))
    return t.symbol(_ramps(t, ids, below, -slope))


def _ramps(t: Tracer, ids: Ids, below: Ids, factor: float) -> Ids:
    told = str(t.scalar(factor))
    return t.tape.apply("sum", positive(t, ids), below, factors=("1", told))


def randomly_leaky(
    t: Tracer, x: Any, noise: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *_: Any
) -> Symbol:
    """The mean of two slopes below 0."""
    if training:
        raise RefusalError("slopes drawn at random")
    return leaky(t, x, (lower + upper) / 2)


def soft_shrink(t: Tracer, x: Any, edge: float = 0.5) -> Symbol:
    """relu(v - edge) - relu(-v - edge)."""
    ids, number = t.ids(x), float(t.scalar(edge))
    above, below = (positive(t, shifted(t, side, -number)) for side in (ids, scaled(t, ids, Fraction(-1))))
    return t.symbol(less(t, above, below))


def _finite(t: Tracer, x: Any, *numbers: Any, **more: Any) -> Symbol:
    """Numbers that are computed are finite; constants need not be."""
    ids, values = t.ids(x), torch.as_tensor(t.tape.values(t.ids(x))).to(x.dtype)
    return t.symbol(np.where(ids < 0, t.tape.constant_ids(values.nan_to_num(*numbers, **more)), ids))


def _told(call: Any) -> Handler:
    """What is asked of constants, and of numbers that are computed as of a finite one."""
    return lambda t, x: call(torch.as_tensor(np.where(t.ids(x) < 0, t.tape.values(t.ids(x)), 0.0)))


def _hyperbolic(sign: int) -> Handler:
    """(exp(v) ± exp(-v)) / 2."""

    def handler(t: Tracer, x: Any) -> Symbol:
        ids = t.ids(x)
        up, down = (t.tape.apply("exp", each) for each in (ids, scaled(t, ids, Fraction(-1))))
        half = t.tape.apply("sum", up, down, factors=("1/2", str(Fraction(sign, 2))))
        return t.symbol(rounded(t, half, 8))

    return handler


def absolute(t: Tracer, x: Any) -> Symbol:
    """relu(v) + relu(-v)."""
    ids = t.ids(x)
    return t.symbol(_ramps(t, ids, positive(t, scaled(t, ids, Fraction(-1))), 1.0))


def elu(t: Tracer, x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Symbol:
    """relu(v) + alpha (exp(min(v, 0)) - 1), with further factors."""
    ids = t.ids(x)
    down = scaled(t, below_zero(t, ids), Fraction(input_scale))
    curve = scaled(t, shifted(t, t.tape.apply("exp", down), -1.0), Fraction(alpha), 4)
    return t.symbol(scaled(t, more(t, positive(t, ids), curve), Fraction(scale), 2))


def prelu(t: Tracer, x: Any, weight: Any) -> Symbol:
    """relu(v) - w · relu(-v)."""
    ids, slopes = broadcast(t.ids(x), t.ids(weight))
    below = products(t, positive(t, scaled(t, ids, Fraction(-1))), slopes)
    return t.symbol(less(t, positive(t, ids), below))


def hard_sigmoid(t: Tracer, x: Any) -> Symbol:
    """min(max(v + 3, 0), 6) / 6."""
    ids = t.ids(clipped(t, t.symbol(shifted(t, t.ids(x), 3.0)), 0.0, 6.0))
    return t.symbol(scaled(t, ids, Fraction(1, 6), 4))


def hard_swish(t: Tracer, x: Any) -> Symbol:
    """v min(max(v + 3, 0), 6) / 6."""
    return t.symbol(rounded(t, t.ids(multiply(t, x, hard_sigmoid(t, x))), 4))


def glu(t: Tracer, x: Symbol, dim: int = -1) -> Symbol:
    """a sigmoid(b), of the halves of an axis."""
    a, b = np.split(t.ids(x), 2, dim)
    return t.symbol(products(t, a, t.ids(sigmoid(t, t.symbol(b)))))


def clipped(t: Tracer, x: Any, low: Any = None, high: Any = None) -> Symbol:
    """low + relu(v - low) - relu(v - high)."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        found = x if low is None else _maximum(t, x, low)
        return found if high is None else _minimum(t, found, high)
    ids = t.ids(x)
    low, high = (None if b is None else float(t.scalar(b)) for b in (low, high))
    if low is None:
        assert high is not None
        return t.symbol(shifted(t, below_zero(t, shifted(t, ids, -high)), high))
    low = low if high is None else min(low, high)  # torch takes the upper of two ends in the wrong order
    above = positive(t, shifted(t, ids, -low))
    if high is None:
        return t.symbol(shifted(t, above, low))
    beyond = positive(t, shifted(t, ids, -high))
    return t.symbol(t.tape.apply("sum", above, beyond, factors=("1", "-1"), const=str(Fraction(low))))


def _maximum(t: Tracer, x: Any, y: Any) -> Symbol:
    return t.symbol(larger(t, *broadcast(t.ids(x), t.ids(y))))


def _minimum(t: Tracer, x: Any, y: Any) -> Symbol:
    return t.symbol(smaller(t, *broadcast(t.ids(x), t.ids(y))))


def extreme(sign: int) -> Handler:
    """The largest, or with -1 the smallest, of all or along axes."""

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
    apart = less(
        t, *broadcast(t.ids(tokens)[..., None], t.tape.constant_ids(torch.arange(float(num_classes))))
    )
    ramps = [positive(t, shifted(t, apart, k)) for k in (1.0, 0.0, -1.0)]
    return t.symbol(t.tape.apply("sum", *ramps, factors=("1", "-2", "1")), torch.long)


def _greatest(t: Tracer, x: Symbol, dim: Any = None, keepdim: bool = False) -> Any:
    """The maximum of all, or along an axis; where it lies is not told."""
    if isinstance(dim, Tensor):
        return _maximum(t, x, dim)
    found = extreme(1)(t, x, () if dim is None else dim, keepdim)
    return found if dim is None else (found, None)


def _refused(reason: str) -> Handler:
    def refuse(t: Tracer, *args: Any, **kwargs: Any) -> Any:
        raise RefusalError(reason)

    return refuse


FUNCTIONS: dict[Any, Handler] = {
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
    aten.celu: lambda t, x, alpha=1.0: elu(t, x, alpha, 1.0, 1 / alpha),
    aten._prelu_kernel: prelu,
    aten.rrelu_with_noise: randomly_leaky,
    aten.softshrink: soft_shrink,
    aten.nan_to_num: _finite,
    aten.isnan: _told(torch.isnan),
    aten.isinf: _told(torch.isinf),
    aten.isfinite: _told(torch.isfinite),
    aten.cosh: _hyperbolic(1),
    aten.sinh: _hyperbolic(-1),
    aten.fmax: _maximum,
    aten.fmin: _minimum,
    aten.hardsigmoid: hard_sigmoid,
    aten.hardswish: hard_swish,
    aten.glu: glu,
    aten.hardtanh: lambda t, x, low=-1.0, high=1.0: clipped(t, x, low, high),
    aten.clamp: clipped,
    aten.clamp_min: lambda t, x, low: clipped(t, x, low),
    aten.clamp_max: lambda t, x, high: clipped(t, x, None, high),
    aten.maximum: _maximum,
    aten.minimum: _minimum,
    aten.amax: extreme(1),
    aten.amin: extreme(-1),
    aten.max: _greatest,
    aten._trilinear: _refused("sums over several axes at once"),
}

WHOLES: dict[Any, Handler] = {
    functional.one_hot: one_hot,
    functional.bilinear: bilinear,
    torch.bilinear: bilinear,
}
