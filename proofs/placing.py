"""Moves that torch does not do to whole numbers, and writing at places that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from .arithmetic import scaled, total
from .faults import RefusalError
from .symbols import Handler, Symbol, Tracer
from .tape import Ids

aten = torch.ops.aten


def placed(call: Callable[..., Any]) -> Handler:
    """An operation that only copies, and puts zeros: done to the numbers of the places, from 1 on."""

    def place(t: Tracer, x: Symbol, *args: Any, **kwargs: Any) -> Any:
        ids, dtype = np.append(-1, t.ids(x)), torch.float64 if t.dtype == torch.float64 else torch.float32
        if ids.size > 2 / torch.finfo(dtype).eps:
            raise RefusalError(f"{ids.size} numbers in {dtype}")
        found = call(torch.arange(1, ids.size, dtype=dtype).reshape(x.shape), *args, **kwargs)
        return tree_map(lambda places: t.symbol(ids[places.long().numpy()], x.dtype), found)

    return place


def _known(t: Tracer, index: Any) -> Tensor:
    """Places, which may not depend on the input."""
    if isinstance(index, Symbol) and (index.ids >= 0).any():
        raise RefusalError("places that depend on the input")
    found: Tensor = t.number(index)
    return found.cpu()


def _targets(t: Tracer, x: Any, dim: int, index: Any) -> Ids:
    """Where in x, laid out flat, each number of an index along an axis points."""
    places = torch.arange(x.numel()).reshape(x.shape)
    return np.asarray(places.gather(dim, _known(t, index)).numpy())


def _rows(t: Tracer, x: Any, dim: int, index: Any) -> Ids:
    """The same for whole slices of x."""
    places = torch.arange(x.numel()).reshape(x.shape)
    return np.asarray(places.index_select(dim, _known(t, index)).numpy())


def written(t: Tracer, x: Any, targets: Ids, source: Any) -> Symbol:
    """x with the source at the targets; what is written to one place has to be the same."""
    ids, source = t.ids(x).copy().ravel(), t.fitting(source, x.dtype)
    cells = np.broadcast_to(t.ids(source), targets.shape)
    ids[targets] = cells
    if (ids[targets] != cells).any():
        raise RefusalError("one place is written twice")
    return t.symbol(ids.reshape(x.shape), x.dtype)


def added(t: Tracer, x: Any, targets: Ids, source: Any) -> Symbol:
    """x with sums of the source at the targets, in any order."""
    if x.dtype == torch.bool:
        raise RefusalError("truths are added up")
    ids, cells = t.ids(x).ravel(), np.broadcast_to(t.ids(source), targets.shape).ravel()
    order = np.argsort(targets.ravel(), kind="stable")
    flat, cells = targets.ravel()[order], cells[order]
    turn = np.arange(len(flat)) - np.searchsorted(flat, flat)
    terms = np.full((ids.size, 1 + int(turn.max(initial=-1)) + 1), -1)
    terms[:, 0] = ids
    terms[flat, 1 + turn] = cells
    return t.symbol(summed(t, terms).reshape(x.shape))


def summed(t: Tracer, terms: Ids) -> Ids:
    """Sums along the last axis, -1 for nothing; of one cell it is that cell."""
    found: Ids = terms.max(-1, initial=-1)
    several = (terms != -1).sum(-1) > 1
    alone = ~several & (terms != -1).any(-1)
    found[alone] = terms[alone][terms[alone] != -1]
    if several.any():
        found[several] = total(t, terms[several], -1)
    return found


def _scattered(t: Tracer, x: Any, dim: int, index: Any, source: Any, *, reduce: str | None = None) -> Symbol:
    targets = _targets(t, x, dim, index)
    if isinstance(source, Tensor):
        source = t.symbol(t.ids(source)[tuple(map(slice, targets.shape))])
    if reduce not in (None, "add"):
        raise RefusalError(f"{reduce} of what is scattered")
    return written(t, x, targets, source) if reduce is None else added(t, x, targets, source)


def _reduced_at(
    t: Tracer, x: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Symbol:
    if reduce != "sum" or not include_self:
        raise RefusalError(f"{reduce} of what is scattered")
    return _scattered(t, x, dim, index, source, reduce="add")


def _added_rows(t: Tracer, x: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Symbol:
    cells = source if alpha == 1 else t.symbol(scaled(t, t.ids(source), t.scalar(alpha)))
    return added(t, x, _rows(t, x, dim, index), cells)


def _filled(t: Tracer, x: Any, targets: Ids, value: Any) -> Symbol:
    """x with a number at the targets."""
    return written(t, x, targets, value)


def _chosen(t: Tracer, x: Any, mask: Any) -> Symbol:
    """The numbers at the places of a mask."""
    return t.symbol(np.broadcast_to(t.ids(x), mask.shape)[_known(t, mask).numpy().astype(bool)], x.dtype)


def _folded(
    t: Tracer, x: Symbol, size: list[int], window: list[int], dilation: Any, padding: Any, stride: Any
) -> Symbol:
    """Sums of windows laid over one another."""
    ids, channels = t.ids(x), x.shape[1] // int(np.prod(window))
    around = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    image = torch.arange(1.0, channels * around[0] * around[1] + 1, dtype=torch.float64)
    image = image.reshape(1, channels, *around)
    places = aten.im2col(image, window, dilation, [0, 0], stride).long().numpy() - 1
    blank = t.symbol(np.full((len(ids), image.numel()), -1))
    found = added(t, blank, places + image.numel() * np.arange(len(ids))[:, None, None], x)
    (top, left), (height, width) = padding, size
    cut = t.ids(found).reshape(len(ids), channels, *around)[..., top : top + height, left : left + width]
    return t.symbol(cut)


def _diagonal_sum(t: Tracer, x: Symbol) -> Symbol:
    return t.symbol(total(t, np.diagonal(t.ids(x)), -1))


_COPIES = (
    aten.diag_embed, aten.pixel_shuffle, aten.pixel_unshuffle, aten.channel_shuffle, aten.take, aten.im2col,
    aten.native_channel_shuffle, aten.unsafe_split, aten.unsafe_chunk, aten.rot90, aten.diagonal_copy,
    aten.reflection_pad1d, aten.reflection_pad2d, aten.reflection_pad3d,
    aten.replication_pad1d, aten.replication_pad2d, aten.replication_pad3d, aten.upsample_nearest1d,
    aten.upsample_nearest2d, aten.upsample_nearest3d, aten._upsample_nearest_exact1d,
    aten._upsample_nearest_exact2d, aten._upsample_nearest_exact3d,
)  # fmt: skip

PLACES: dict[Any, Handler] = {
    **{call: placed(call) for call in _COPIES},
    aten.col2im: _folded,
    aten.trace: _diagonal_sum,
    aten.scatter: _scattered,
    aten.scatter_add: lambda t, x, dim, index, source: _scattered(t, x, dim, index, source, reduce="add"),
    aten.scatter_reduce: _reduced_at,
    aten.index_add: _added_rows,
    aten.index_copy: lambda t, x, dim, index, source: written(t, x, _rows(t, x, dim, index), source),
    aten.index_fill: lambda t, x, dim, index, value: _filled(t, x, _rows(t, x, dim, index), value),
    aten.masked_select: _chosen,
}
