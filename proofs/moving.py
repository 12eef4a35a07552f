"""What slicing, joining, reshaping and turning do to cells: found by doing it to their ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from .faults import RefusalError
from .placing import added, written
from .symbols import Handler, Symbol, Tracer

aten = torch.ops.aten


def _moved(call: Any) -> Handler:
    """The same operation on ids."""

    def move(t: Tracer, *args: Any, **kwargs: Any) -> Any:
        dtype = next(leaf.dtype for leaf in _leaves(args) if isinstance(leaf, Symbol))

        def numbers(leaf: Any) -> Any:
            floating = isinstance(leaf, Tensor) and leaf.is_floating_point()
            return torch.as_tensor(t.ids(leaf)) if isinstance(leaf, Symbol) or floating else leaf

        found = call(*tree_map(numbers, args), **tree_map(numbers, kwargs))
        return tree_map(lambda leaf: t.symbol(leaf, dtype) if isinstance(leaf, Tensor) else leaf, found)

    return move


def _leaves(args: Any) -> list[Any]:
    leaves: list[Any] = []
    tree_map(leaves.append, args)
    return leaves


def converted(t: Tracer, x: Symbol, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Symbol:
    """Another type: of whole numbers, or of the network."""
    dtype = dtype or x.dtype
    if x.dtype.is_floating_point and not dtype.is_floating_point:
        raise RefusalError("numbers that are computed are made whole")
    if dtype.itemsize < 4 and dtype != torch.bool and dtype != x.dtype:
        raise RefusalError(f"{x.dtype} is turned into {dtype}, of few bits")
    narrow = dtype.is_floating_point and x.dtype.is_floating_point and dtype.itemsize < x.dtype.itemsize
    if narrow:
        raise RefusalError(f"{x.dtype} is turned into {dtype}")
    return t.symbol(x.ids.clone(), dtype)


def picked(t: Tracer, mask: Tensor, x: Any, y: Any) -> Symbol:
    """x where a mask that is known says so, else y."""
    one, other = np.broadcast_arrays(t.ids(x), t.ids(y))
    return t.symbol(np.where(mask.cpu().numpy(), one, other))


def _triangle(upper: bool) -> Handler:
    def triangle(t: Tracer, x: Symbol, diagonal: int = 0) -> Symbol:
        kept = torch.ones(x.shape[-2:], dtype=torch.bool)
        return picked(t, kept.triu(diagonal) if upper else kept.tril(diagonal), x, 0.0)

    return triangle


def _padded(t: Tracer, x: Symbol, pad: list[int], value: float = 0.0) -> Symbol:
    number = int(t.ids(t.fitting(value or 0.0, x.dtype)))
    return t.symbol(torch.constant_pad_nd(x.ids, pad, number), x.dtype)


def put(t: Tracer, x: Any, indices: list[Any], values: Any, accumulate: bool = False) -> Symbol:
    """x with values put, or added, at known places."""
    if any(isinstance(each, Symbol) for each in indices):
        raise RefusalError("places that depend on the input")
    at = tuple(slice(None) if each is None else each.cpu() for each in indices)
    targets = np.asarray(torch.arange(x.numel()).reshape(x.shape)[at].numpy())
    return (added if accumulate else written)(t, x, targets, values)


def _looked_up(t: Tracer, weight: Any, indices: Any, *args: Any) -> Symbol:
    """Rows of a tensor: of given numbers, or of tokens of the input."""
    table = t.ids(weight)
    if not isinstance(indices, Symbol):
        return t.symbol(table[indices.cpu().numpy()])
    ids = indices.ids.numpy()
    first, datum = t.tape.of(ids)
    found = np.empty((*ids.shape, *table.shape[1:]), dtype=np.int64)
    known = first < 0
    found[known] = table[t.tape.values(first[known]).astype(np.int64)]
    read = first[~known]
    if (read >= t.tape.size).any():
        raise RefusalError("tokens that are computed are looked up")
    found[~known] = t.tape.back(_rows(t, table)[read], datum[~known].reshape(-1, *[1] * (table.ndim - 1)))
    return t.symbol(found)


def _rows(t: Tracer, table: Any) -> Any:
    """The row of a table for each component of the input [inputs, …]."""
    name = t.tape.tensor_of(table)
    if name is None or not np.array_equal(table, t.tape.entries(name)):
        raise RefusalError("tokens are looked up in what is no tensor of the network")
    t.tape.stored(name)
    every, columns = np.arange(t.tape.size), int(np.prod(table.shape[1:]))

    def make() -> Any:
        return t.tape.add("table", every.size * columns, False, every, how=(name,))

    return t.tape.once(("table", name), make).reshape(every.size, *table.shape[1:])


def _indexed(t: Tracer, x: Any, indices: list[Any]) -> Any:
    """x[…, numbers, …], or x[tokens]."""
    if isinstance(indices[0], Symbol) and len(indices) == 1:
        return _looked_up(t, x, indices[0])
    if any(isinstance(each, Symbol) for each in indices):
        raise RefusalError("places that depend on the input")
    return _moved(aten.index)(t, x, indices)


def _filled(number: float | None) -> Handler:
    """A new tensor in the shape of another."""

    def fill(t: Tracer, x: Symbol, *args: Any, **kwargs: Any) -> Symbol:
        shape, rest = (args[0], args[1:]) if args and isinstance(args[0], list | tuple) else (x.shape, args)
        dtype = kwargs.get("dtype") or x.dtype
        value = int(t.ids(t.fitting(rest[0] if number is None else number, dtype)))
        return t.symbol(np.full(tuple(shape), value), dtype)

    return fill


_PLAIN = (
    aten.view, aten._unsafe_view, aten.reshape, aten.permute, aten.t, aten.transpose, aten.expand, aten.slice,
    aten.select, aten.unsqueeze, aten.squeeze, aten.cat, aten.stack, aten.split, aten.split_with_sizes,
    aten.unbind, aten.index_select, aten.gather, aten.flip, aten.roll, aten.repeat, aten.clone, aten.detach,
    aten.alias, aten.diagonal, aten.unfold, aten.as_strided, aten.lift_fresh, aten.chunk, aten.contiguous,
    aten.repeat_interleave, aten.flatten, aten._reshape_alias, aten.slice_scatter, aten.select_scatter,
)  # fmt: skip

SHAPES: dict[Any, Handler] = {
    call: _moved(call)
    for call in (Tensor.reshape, Tensor.view, Tensor.flatten, torch.flatten, Tensor.unflatten, torch.squeeze)
}
"""The same before torch breaks them down."""

MOVES: dict[Any, Handler] = {
    **{call: _moved(call) for call in _PLAIN},
    aten.dropout: lambda t, x, *args: x,
    aten.triu: _triangle(True),
    aten.tril: _triangle(False),
    aten.constant_pad_nd: _padded,
    aten.embedding: _looked_up,
    aten.index: _indexed,
    aten.zeros_like: _filled(0.0),
    aten.ones_like: _filled(1.0),
    aten.empty_like: _filled(0.0),
    aten.new_zeros: _filled(0.0),
    aten.new_ones: _filled(1.0),
    aten.new_empty: _filled(0.0),
    aten.full_like: _filled(None),
    aten.new_full: _filled(None),
}
