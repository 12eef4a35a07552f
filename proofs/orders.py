"""Numbers by size, in networks of pairs of which the larger and the smaller are told: sorting, ranks.

Where equal numbers lie torch does not say, so that no places are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .arithmetic import broadcast
from .compounds import between
from .faults import RefusalError
from .functions import extreme
from .ramps import larger, less, more, positive, smaller
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten
MOST = 64
"""Numbers that are sorted."""


def _pairs(n: int) -> Iterator[tuple[Ids, Ids]]:
    """Places to be compared at once, layer by layer: Batcher's merge exchange (Knuth 1998, 5.2.2 M)."""
    block = 1
    while block < n:
        step = block
        while step:
            firsts = [
                i + j
                for j in range(step % block, n - step, 2 * step)
                for i in range(min(step, n - j - step))
                if (i + j) // (2 * block) == (i + j + step) // (2 * block)
            ]
            yield np.array(firsts, dtype=np.int64), np.array(firsts, dtype=np.int64) + step
            step //= 2
        block *= 2


def in_order(t: Tracer, ids: Ids) -> Ids:
    """Numbers sorted along the last axis, the smallest first."""
    n, ids = ids.shape[-1], ids.copy()
    if n > MOST:
        raise RefusalError(f"{n} numbers, at most {MOST} are sorted")
    for low, high in _pairs(n):
        a, b = broadcast(ids[..., low], ids[..., high])
        over = positive(t, less(t, a, b))
        ids[..., low], ids[..., high] = less(t, a, over), more(t, b, over)
    return ids


def _sorted(
    t: Tracer, x: Symbol, dim: int = -1, descending: bool = False, *, stable: bool | None = None
) -> tuple[Symbol, None]:
    ids = in_order(t, np.moveaxis(t.ids(x), dim, -1))
    return t.symbol(np.moveaxis(ids[..., ::-1] if descending else ids, -1, dim)), None


def _top(
    t: Tracer, x: Symbol, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Symbol, None]:
    if not sorted and k > 1:
        raise RefusalError("numbers in an order that is not told")
    if k == 1:
        return extreme(1 if largest else -1)(t, x, dim, True), None
    ids = in_order(t, np.moveaxis(t.ids(x), dim, -1))
    return t.symbol(np.moveaxis((ids[..., ::-1] if largest else ids)[..., :k], -1, dim)), None


def _rank(t: Tracer, x: Symbol, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Symbol, None]:
    """The k-th smallest, from 1 on."""
    found = in_order(t, np.moveaxis(t.ids(x), dim, -1))[..., k - 1]
    return t.symbol(np.expand_dims(found, dim) if keepdim else found), None


def _median(t: Tracer, x: Symbol, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower one of two in the middle."""
    if dim is None:
        return _rank(t, t.symbol(t.ids(x).ravel()), (x.numel() + 1) // 2)[0]
    return _rank(t, x, (x.shape[dim] + 1) // 2, dim, keepdim)


def quantile(
    t: Tracer,
    x: Symbol,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Symbol:
    """Between the two ranks around q (n - 1)."""
    if isinstance(q, torch.Tensor) and (isinstance(q, Symbol) or q.ndim):
        raise RefusalError("several quantiles at once")
    if interpolation != "linear":
        raise RefusalError(f"{interpolation} quantiles")
    ids = in_order(t, t.ids(x).ravel() if dim is None else np.moveaxis(t.ids(x), dim, -1))
    place = torch.as_tensor(q, dtype=x.dtype) * (ids.shape[-1] - 1)
    low, high = (t.symbol(ids[..., int(each)]) for each in (place.floor(), place.ceil()))
    found = t.ids(between(t, low, high, float(place - place.floor())))
    return t.symbol(np.expand_dims(found, dim) if keepdim and dim is not None else found)


def _running(sign: int) -> Handler:
    """The largest or smallest of all up to each."""

    def handler(t: Tracer, x: Symbol, dim: int) -> tuple[Symbol, None]:
        columns = list(np.moveaxis(t.ids(x), dim, 0))
        found = [columns[0]]
        for each in columns[1:]:
            found.append(_pair(t, sign, *broadcast(found[-1], each)))
        return t.symbol(np.stack(found, dim)), None

    return handler


def _pair(t: Tracer, sign: int, a: Ids, b: Ids) -> Ids:
    return (larger if sign > 0 else smaller)(t, a, b)


def _least(t: Tracer, x: Symbol, dim: Any = None, keepdim: bool = False) -> Any:
    """The minimum of all, of two, or along an axis; where it lies is not told."""
    if isinstance(dim, torch.Tensor):
        return t.symbol(_pair(t, -1, *broadcast(t.ids(x), t.ids(dim))))
    found = extreme(-1)(t, x, () if dim is None else dim, keepdim)
    return found if dim is None else (found, None)


def _both_ends(t: Tracer, x: Symbol, *, dim: int | None = None, keepdim: bool = False) -> Any:
    axes = () if dim is None else dim
    return extreme(-1)(t, x, axes, keepdim), extreme(1)(t, x, axes, keepdim)


ORDERS: dict[Any, Handler] = {
    aten.sort: _sorted,
    aten.topk: _top,
    aten.kthvalue: _rank,
    aten.median: _median,
    aten.nanmedian: _median,
    aten.cummax: _running(1),
    aten.cummin: _running(-1),
    aten.min: _least,
    aten.aminmax: _both_ends,
}

WHOLE_ORDERS: dict[Any, Handler] = {torch.quantile: quantile, torch.Tensor.quantile: quantile}
