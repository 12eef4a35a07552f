"""Functions other than ReLU in floating point: values, bounds from those of what they read, and bands.

The bounds are those of the checker (check.py, `Box.function` and `along`), widened by what float64 may lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .program import Function

Interval = tuple[Tensor, Tensor]
SLOPE_UNIT = 2.0**16
_NOISE = 1e-14
_LARGEST = 700.0
"""Where exp leaves float64."""
_HUGE = 1e100
_PEAK = 2 / math.sqrt(math.pi)
"""How steep erf is at 0."""
_SHARE = 1e-11
"""How far from 0 the checker, which rounds coefficients, can tell what is divided by from 0."""
_CALLS: dict[str, Callable[..., Tensor]] = {
    "product": torch.mul,
    "exp": lambda v: v.clamp(max=_LARGEST).exp(),
    "log": lambda v: v.clamp(min=0).log(),
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "reciprocal": torch.reciprocal,
    "sqrt": lambda v: v.clamp(min=0).sqrt(),
}
_STEEPEST = 2.0**31
_ULPS = {"exp": 2.0**-22, "log": 2.0**-22, "erf": 0.0, "sigmoid": 0.0, "table": 0.0}
"""Relative float32 roundings, where they are not 2⁻²⁴."""
_OFF = {"erf": 2.0**-20, "sigmoid": 2.0**-22}
"""Absolute ones."""


def value(function: Function, table: Tensor | None, read: list[Tensor]) -> Tensor:
    """The values [points, size] of a function of the values that it reads."""
    if table is not None:
        tokens = read[0].round().long().clamp(0, len(table) - 1)
        return table[tokens].flatten(1)
    return _CALLS[function.kind](*read)


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
    elif function.kind in _OFF:
        low, high = _CALLS[function.kind](low), _CALLS[function.kind](high)
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


@dataclass
class Band:
    """A function lies between `least` and `most` of Σ slope · what it reads, all [boxes, size]."""

    slopes: list[Tensor]
    least: Tensor
    most: Tensor

    def of(self, at: Tensor) -> Band:
        """Those of some boxes."""
        return Band([slope[at] for slope in self.slopes], self.least[at], self.most[at])


def band(function: Function, read: list[Interval], value: Interval, rounding: bool) -> Band:
    """Lines along a function; where none are narrower than its bounds `value`, those, and slopes of 0."""
    low, high = value
    if function.table is not None:
        return Band([], low, high)
    if function.kind == "product":
        slopes, least, most = _beside_products(read, function.sources[0] == function.sources[1])
    else:
        slopes, least, most = _beside(function.kind, *read[0])
    size = torch.maximum(low.abs(), high.abs()) * _ULPS.get(function.kind, 2.0**-24)
    off = (size + _OFF.get(function.kind, 0.0)) * rounding + 2.0**-62
    steepest = torch.stack([slope.abs() for slope in slopes]).amax(0)
    narrower = (most - least < high - low) & (steepest < _STEEPEST)
    return Band(
        [torch.where(narrower, slope, 0.0) for slope in slopes],
        torch.where(narrower, least - off, low),
        torch.where(narrower, most + off, high),
    )


def _on_grid(slope: Tensor) -> Tensor:
    """Rounded down to what the checker takes; its derivative is that of the slope."""
    return slope + ((slope * SLOPE_UNIT).floor() / SLOPE_UNIT - slope).detach()


def _beside_products(read: list[Interval], square: bool) -> tuple[list[Tensor], Tensor, Tensor]:
    """v w = t v + s w - s t + (v - s) (w - t), with s and t in the middle (McCormick 1976)."""
    (a, b), (c, d) = read
    t, s = _on_grid((c + d) / 2), _on_grid((a + b) / 2)
    least, most = _product([(a - s, b - s), (c - t, d - t)], square)
    return [t, s], least - s * t, most - s * t


def _beside(kind: str, a: Tensor, b: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """A chord, and what is left beside it of a function that rises by between d and e."""
    fine = b - a > 1e-9 * (a.abs() + b.abs())
    if kind in ("log", "sqrt"):
        fine &= a > _SHARE * b
    elif kind == "reciprocal":
        fine &= (a > _SHARE * b) | (b < _SHARE * a)
    elif kind == "exp":
        fine &= b < _LARGEST / 10
    a, b = torch.where(fine, a, 1.0), torch.where(fine, b, 2.0)
    ends = _CALLS[kind](a), _CALLS[kind](b)
    d, e, bent = _rises(kind, a, b, *ends)
    k = _on_grid((ends[1] - ends[0]) / (b - a))
    p, q, w = (k - d).clamp(min=0), (e - k).clamp(min=0), b - a
    left, right = ends[0] - k * a, ends[1] - k * b
    whole = (p + q).clamp(min=1e-300)
    least = torch.where(bent < 0, torch.minimum(left, right), (q * left + p * right - p * q * w) / whole)
    most = torch.where(bent > 0, torch.maximum(left, right), (p * left + q * right + p * q * w) / whole)
    noise = _NOISE * 10 * (ends[0].abs() + ends[1].abs() + (k * a).abs() + (k * b).abs())
    return [k], torch.where(fine, least - noise, -torch.inf), torch.where(fine, most + noise, torch.inf)


def _rises(kind: str, a: Tensor, b: Tensor, fa: Tensor, fb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The least and the largest derivative on [a, b], and 1 where it grows throughout, -1 where it falls."""
    if kind == "exp":
        return fa, fb, torch.ones_like(a)
    if kind == "log":
        return 1 / b, 1 / a, -torch.ones_like(a)
    if kind == "sqrt":
        return 0.5 / fb, 0.5 / fa, -torch.ones_like(a)
    if kind == "reciprocal":
        return -torch.maximum(fa * fa, fb * fb), -torch.minimum(fa * fa, fb * fb), a.sign()
    if kind == "sigmoid":
        far, near = torch.maximum(-a, b), torch.where((a < 0) & (b > 0), 0.0, torch.minimum(a.abs(), b.abs()))
        bent = (b <= 0).to(a.dtype) - (a >= 0).to(a.dtype)
        return far.sigmoid() * (-far).sigmoid(), near.sigmoid() * (-near).sigmoid(), bent
    far, near = torch.maximum(a * a, b * b), torch.where((a < 0) & (b > 0), 0.0, torch.minimum(a * a, b * b))
    bent = (b <= 0).to(a.dtype) - (a >= 0).to(a.dtype)
    return _PEAK * (-far).exp(), _PEAK * (-near).exp(), bent


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
