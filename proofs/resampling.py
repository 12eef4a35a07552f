"""Images brought to another size by linear and cubic interpolation: sums with fixed weights, axis by axis."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import floor, prod
from typing import Any

import numpy as np
import torch

from .faults import RefusalError
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
MOST_PATTERNS = 1 << 12
_LOOSE = 8
Taps = list[tuple[int, Fraction]]
"""Places along an axis, with their weights."""


def _sources(n: int, count: int, aligned: bool, scale: float | None) -> list[Fraction]:
    """Where each of `count` places lies on an axis of n, which is made `scale` times longer."""
    if aligned:
        step = Fraction(n - 1, count - 1) if count > 1 else Fraction(0)
        return [step * k for k in range(count)]
    step = 1 / Fraction(scale) if scale else Fraction(n, count)
    return [step * (k + Fraction(1, 2)) - Fraction(1, 2) for k in range(count)]


def _linear(source: Fraction, n: int) -> Taps:
    source = max(source, Fraction(0))
    first = min(floor(source), n - 1)
    share = min(source - first, Fraction(1))
    return [(first, 1 - share), (min(first + 1, n - 1), share)]


def _cubic(source: Fraction, n: int) -> Taps:
    """Keys 1981, with a = -3/4."""
    a, first = Fraction(-3, 4), floor(source)
    taps = []
    for k in range(-1, 3):
        v = abs(source - first - k)
        near = ((a + 2) * v - (a + 3)) * v * v + 1
        far = ((v - 5) * v + 8) * v * a - 4 * a
        taps.append((min(max(first + k, 0), n - 1), near if v <= 1 else far))
    return taps


def _merged(axes: list[Taps], sizes: list[int]) -> Taps:
    """Places in the image and weights of one number."""
    found: dict[int, Fraction] = {0: Fraction(1)}
    for taps, n in zip(axes, sizes, strict=True):
        told: dict[int, Fraction] = {}
        for place, weight in found.items():
            for k, share in taps:
                told[place * n + k] = told.get(place * n + k, Fraction(0)) + weight * share
        found = told
    return [(place, weight) for place, weight in found.items() if weight]


def resampled(t: Tracer, x: Symbol, taps: list[list[Taps]]) -> Symbol:
    """Sums of an image's numbers with the products of weights of its axes [axis][place]."""
    if t.rounding and any(_inexact(w) for axis in taps for each in axis for _, w in each):
        raise RefusalError("weights that float32 rounds")
    sizes, counts = list(x.shape[x.ndim - len(taps) :]), [len(axis) for axis in taps]
    lead = x.shape[: x.ndim - len(taps)]
    ids, found = t.ids(x).reshape(*lead, -1), np.full((*lead, prod(counts)), -1)
    patterns: dict[tuple[bool, tuple[Fraction, ...]], list[tuple[int, list[int]]]] = {}
    for number, at in enumerate(np.ndindex(*counts)):
        each = [[tap for tap in axis[k] if tap[1]] for axis, k in zip(taps, at, strict=True)]
        told, alone = _merged(each, sizes), all(len(axis) == 1 for axis in each)
        key = alone, tuple(w for _, w in told)
        patterns.setdefault(key, []).append((number, [place for place, _ in told]))
    if len(patterns) > MOST_PATTERNS:
        raise RefusalError(f"{len(patterns)} patterns of weights, at most {MOST_PATTERNS} are written out")
    for (alone, weights), places in patterns.items():
        read = ids[..., [each for _, each in places]]
        found[..., [number for number, _ in places]] = read[..., 0] if alone else weighted(t, read, weights)
    return t.symbol(found.reshape(*lead, *counts))


def _inexact(weight: Fraction) -> bool:
    """Whether the weight, or what it is made of, has more bits than a short float."""
    return weight.denominator > 1 << 12 or (weight.denominator & (weight.denominator - 1)) != 0


def weighted(t: Tracer, ids: Ids, weights: tuple[Fraction, ...]) -> Ids:
    """Sums along the last axis with weights, in whatever order torch goes through the axes."""
    copies = _LOOSE if t.rounding else 1
    columns = [np.ascontiguousarray(ids[..., k]) for k in range(ids.shape[-1]) for _ in range(copies)]
    factors = tuple(str(w / copies) for w in weights for _ in range(copies))
    return t.tape.apply("sum", *columns, factors=factors)


def _interpolated(taps: Callable[[Fraction, int], Taps]) -> Handler:
    def handler(t: Tracer, x: Symbol, size: list[int], aligned: bool, *scales: float | None) -> Symbol:
        told = [*scales, *[None] * (len(size) - len(scales))]
        sizes = x.shape[x.ndim - len(size) :]
        axes = [
            [taps(source, n) for source in _sources(n, count, aligned, scale)]
            for n, count, scale in zip(sizes, size, told, strict=True)
        ]
        return resampled(t, x, axes)

    return handler


RESAMPLING: dict[Any, Handler] = {
    aten.upsample_linear1d: _interpolated(_linear),
    aten.upsample_bilinear2d: _interpolated(_linear),
    aten.upsample_trilinear3d: _interpolated(_linear),
    aten.upsample_bicubic2d: _interpolated(_cubic),
}
