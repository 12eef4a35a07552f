"""Functions other than ReLU in floating point: values, and bounds from those of what they read.

The bounds are those of the checker (check.py, `Box.function`), widened by what float64 may lose.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .program import Function

Interval = tuple[Tensor, Tensor]
_NOISE = 1e-14
_LARGEST = 700.0
"""Where exp leaves float64."""
_HUGE = 1e100
_SHARE = 1e-11
"""How far from 0 the checker, which rounds coefficients, can tell what is divided by from 0."""
_ULPS = {"exp": 2.0**-22, "log": 2.0**-22, "erf": 0.0, "table": 0.0}
"""Relative float32 roundings, where they are not 2⁻²⁴."""
_OFF = {"erf": 2.0**-20}
"""Absolute ones."""


def value(function: Function, table: Tensor | None, read: list[Tensor]) -> Tensor:
    """The values [points, size] of a function of the values that it reads."""
    if table is not None:
        tokens = read[0].round().long().clamp(0, len(table) - 1)
        return table[tokens].flatten(1)
    calls: dict[str, Callable[..., Tensor]] = {
        "product": torch.mul,
        "exp": lambda v: v.clamp(max=_LARGEST).exp(),
        "log": lambda v: v.clamp(min=0).log(),
        "erf": torch.erf,
        "reciprocal": torch.reciprocal,
        "sqrt": lambda v: v.clamp(min=0).sqrt(),
    }
    return calls[function.kind](*read)


def interval(function: Function, table: Tensor | None, read: list[Interval], rounding: bool) -> Interval:
    """Lower and upper bounds [boxes, size]; infinite where the function is not defined throughout."""
    low, high = read[0]
    if table is not None:
        return _rows(table, low, high)
    if function.kind == "product":
        low, high = _product(read, function.sources[0] == function.sources[1])
    elif function.kind == "exp":
        low, high = low.clamp(max=_LARGEST).exp(), torch.where(high > _LARGEST, torch.inf, high.exp())
    elif function.kind == "log":
        defined = low >= _SHARE * high.clamp(min=0)
        low, high = torch.where(defined & (low > 0), low, 0.0).log(), high.clamp(min=0).log()
    elif function.kind == "erf":
        low, high = low.erf(), high.erf()
    elif function.kind == "reciprocal":
        defined = (low > _SHARE * high) | (high < _SHARE * low)
        low, high = (torch.where(defined, 1 / v, v.new_tensor(e)) for v, e in ((high, -_HUGE), (low, _HUGE)))
    else:
        defined = low >= _SHARE * high
        low = low.clamp(min=0).sqrt()
        high = torch.where(defined, high.clamp(min=0).sqrt(), torch.full_like(high, _HUGE))
    low, high = _outward(low, high, _ULPS.get(function.kind, 2.0**-24) * rounding)
    off = _OFF.get(function.kind, 0.0) * rounding
    return low - off, high + off


def _product(read: list[Interval], square: bool) -> Interval:
    (a, b), (c, d) = read
    if square:
        crossing = (a <= 0) & (b >= 0)
        ends = torch.stack([a * a, b * b])
        return torch.where(crossing, 0.0, ends.amin(0)), ends.amax(0)
    ends = torch.stack([a * c, a * d, b * c, b * d])
    return ends.amin(0), ends.amax(0)


def _outward(low: Tensor, high: Tensor, share: float) -> Interval:
    share, least = share + _NOISE, 2.0**-62
    nonnegative = low >= 0
    low = low - low.abs() * share - least
    return finite(torch.where(nonnegative, low.clamp(min=0), low), high + high.abs() * share + least)


def finite(low: Tensor, high: Tensor) -> Interval:
    """Bounds where infinite ones, and none at all, are very large numbers."""
    return low.nan_to_num(-_HUGE, _HUGE, -_HUGE), high.nan_to_num(_HUGE, _HUGE, -_HUGE)


def _rows(table: Tensor, low: Tensor, high: Tensor) -> Interval:
    """The least and the largest entry of each column over the rows of a range."""
    first, last = (low - 1e-6).ceil().clamp(min=0), (high + 1e-6).floor()
    tokens = torch.arange(len(table), device=low.device, dtype=low.dtype)
    inside = ((tokens >= first[..., None]) & (tokens <= last[..., None]))[..., None]
    least = torch.where(inside, table, torch.inf).amin(-2)
    most = torch.where(inside, table, -torch.inf).amax(-2)
    return least.flatten(1), most.flatten(1)
