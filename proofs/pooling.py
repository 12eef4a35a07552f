"""Pools over any number of axes: maxima, means and norms of windows."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .arithmetic import total
from .faults import RefusalError
from .lengths import root_of_squares
from .ramps import largest, rounded
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
_LOOSE = 8
Sizes = int | list[int] | tuple[int, ...] | None


def _each(value: Sizes, axes: int) -> list[int]:
    """A number for each axis."""
    found = [value] if isinstance(value, int) else list(value or ())
    return found * axes if len(found) == 1 else found


def _strided(n: int, size: int, stride: int, padding: int, dilation: int, ceil: bool) -> Ids:
    """The places [windows, size] of windows along an axis of n, also those beside it."""
    reach = dilation * (size - 1) + 1
    count = (n + 2 * padding - reach + (stride - 1) * ceil) // stride + 1
    if ceil and (count - 1) * stride >= n + padding:  # no window begins behind the end
        count -= 1
    if count < 1:
        raise RefusalError(f"windows of {reach} in an axis of {n}")
    return np.arange(count)[:, None] * stride - padding + np.arange(size) * dilation


def _adapted(n: int, count: int) -> Ids:
    """The places [windows, most] of `count` windows that cover an axis of n; -1 for none."""
    starts = np.arange(count) * n // count
    sizes = -(-(np.arange(count) + 1) * n // count) - starts
    steps = np.arange(sizes.max())
    return np.where(steps < sizes[:, None], starts[:, None] + steps, -1)


def _grid(axes: list[Ids], within: list[tuple[int, int]]) -> Ids:
    """Places [windows, components] in an image, -1 for what lies outside the bounds of an axis."""
    where = np.zeros((1, 1), dtype=np.int64)
    for places, (low, high) in zip(axes, within, strict=True):
        inside = (places >= low) & (places < high)
        along = np.where(inside, places - low, -1)
        both = where[:, None, :, None] * (high - low) + along[None, :, None, :]
        both = np.where((where[:, None, :, None] < 0) | (along[None, :, None, :] < 0), -1, both)
        where = both.reshape(len(where) * len(places), -1)
    return where


def _pooled(t: Tracer, x: Symbol, axes: list[Ids], made: Callable[[Ids, Ids], Ids]) -> Symbol:
    """What is made of the cells [..., windows, n] of equally large windows, given their numbers."""
    lead, sizes = x.shape[: x.ndim - len(axes)], x.shape[x.ndim - len(axes) :]
    ids = t.ids(x).reshape(*lead, -1)
    places = np.sort(_grid(axes, [(0, n) for n in sizes]), axis=1)[:, ::-1]
    counts, found = (places >= 0).sum(1), np.empty((*lead, len(places)), dtype=np.int64)
    for count in np.unique(counts):
        here = np.flatnonzero(counts == count)
        found[..., here] = made(ids[..., places[here, :count]], here)
    return t.symbol(found.reshape(*lead, *map(len, axes)))


def _axes(
    x: Any, axes: int, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil: bool
) -> list[Ids]:
    sizes = _each(size, axes)
    told = (sizes, _each(stride, axes) or sizes, _each(padding, axes), _each(dilation, axes))
    return [_strided(*each, ceil) for each in zip(x.shape[x.ndim - axes :], *told, strict=True)]


def max_pool(axes: int) -> Handler:
    """The largest of each window."""

    def pool(
        t: Tracer,
        x: Symbol,
        kernel_size: Sizes,
        stride: Sizes = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Symbol:
        if return_indices:
            raise RefusalError("places of maxima")
        windows = _axes(x, axes, kernel_size, stride, padding, dilation, ceil_mode)
        return _pooled(t, x, windows, lambda ids, _: largest(t, ids))

    return pool


def mean_pool(axes: int) -> Handler:
    """The mean of each window; zeros around the image count where it is told."""

    def pool(
        t: Tracer,
        x: Symbol,
        size: Sizes,
        stride: Sizes = None,
        padding: Sizes = 0,
        ceil: bool = False,
        counted: bool = True,
        divisor: int | None = None,
    ) -> Symbol:
        windows, around = _axes(x, axes, size, stride, padding, 1, ceil), _each(padding, axes)
        reach = zip(windows, x.shape[x.ndim - axes :], around, strict=True)
        sizes = [((w < n + p) if counted else (w >= 0) & (w < n)).sum(1) for w, n, p in reach]
        below = reduce(np.multiply.outer, sizes).ravel() if divisor is None else np.full(1, divisor)

        def mean(ids: Ids, here: Ids) -> Ids:
            found = np.empty(ids.shape[:-1], dtype=np.int64)
            divisors = np.broadcast_to(below[here] if len(below) > 1 else below, here.shape)
            for each in np.unique(divisors):
                found[..., divisors == each] = total(
                    t, ids[..., divisors == each, :], -1, Fraction(1, int(each))
                )
            return found

        return _pooled(t, x, windows, mean)

    return pool


def _adaptive(made: Callable[[Tracer, Ids], Ids]) -> Handler:
    def pool(t: Tracer, x: Symbol, size: Sizes, return_indices: bool = False) -> Symbol:
        if return_indices:
            raise RefusalError("places of maxima")
        counts = _each(size, 1)
        axes = [_adapted(n, count) for n, count in zip(x.shape[-len(counts) :], counts, strict=True)]
        return _pooled(t, x, axes, lambda ids, _: made(t, ids))

    return pool


def _mean(t: Tracer, ids: Ids) -> Ids:
    """Axis by axis, or all at once."""
    return total(t, ids, -1, Fraction(1, ids.shape[-1]), 2 if t.rounding else 1)


def _with_places(pool: Handler) -> Handler:
    """Where the maxima lie is not told."""
    return lambda t, *args, **kwargs: (pool(t, *args, **kwargs), None)


def _norm_pool(axes: int) -> Handler:
    """(Σ v^p)^(1/p) of each window."""

    def pool(
        t: Tracer,
        x: Symbol,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes = None,
        ceil_mode: bool = False,
    ) -> Symbol:
        windows = _axes(x, axes, kernel_size, stride, 0, 1, ceil_mode)
        if norm_type not in (1, 2) or any(
            (w >= n).any() for w, n in zip(windows, x.shape[-axes:], strict=True)
        ):
            raise RefusalError("powers but 1 and 2, and windows beyond the end")
        if norm_type == 2:
            return _pooled(t, x, windows, lambda ids, _: root_of_squares(t, ids))
        return _pooled(t, x, windows, lambda ids, _: rounded(t, total(t, ids, -1), _LOOSE))

    return pool


POOLS: dict[Any, Handler] = {
    aten.max_pool2d_with_indices: _with_places(max_pool(2)),
    aten.max_pool3d_with_indices: _with_places(max_pool(3)),
    aten.avg_pool2d: mean_pool(2),
    aten.avg_pool3d: mean_pool(3),
    aten.avg_pool1d: mean_pool(1),
    aten.adaptive_max_pool2d: _with_places(_adaptive(largest)),
    aten.adaptive_max_pool3d: _with_places(_adaptive(largest)),
    aten._adaptive_avg_pool2d: _adaptive(_mean),
    aten._adaptive_avg_pool3d: _adaptive(_mean),
}
WHOLE_POOLS: dict[Any, Handler] = {
    functional.max_pool1d: max_pool(1),
    torch.max_pool1d: max_pool(1),
    functional.adaptive_max_pool1d: _adaptive(largest),
    torch.adaptive_max_pool1d: _adaptive(largest),
    functional.lp_pool1d: _norm_pool(1),
    functional.lp_pool2d: _norm_pool(2),
    functional.lp_pool3d: _norm_pool(3),
}
