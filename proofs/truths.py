"""Truths are no numbers: what torch does to tensors of bool is not what it does to 0 and 1.

A sum of truths is their "or", and what is written into a tensor of truths becomes one. So what is done to
truths and whole numbers is looked at before it is done, and keeps the type that torch gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from .choices import CHOICES
from .faults import RefusalError
from .moving import MOVES
from .placing import PLACES
from .symbols import Handler, Symbol, Tracer

aten = torch.ops.aten

_ADD = {aten.add, torch.add, Tensor.add}
_ALIKE = {
    aten.mul, aten.prod, aten.maximum, aten.minimum, aten.fmax, aten.fmin, aten.max, aten.min, aten.amax,
    aten.amin, aten.aminmax, aten.sort, aten.topk, aten.kthvalue, aten.cummax, aten.cummin,
}  # fmt: skip
TRUTHFUL = MOVES.keys() | PLACES.keys() | CHOICES.keys() | _ALIKE
"""What is the same for truths as for 0 and 1."""


def minded(handlers: Mapping[Any, Handler]) -> dict[Any, Handler]:
    """Handlers that mind what truths and whole numbers become."""
    return {call: _minding(call, handler) for call, handler in handlers.items()}


def _minding(call: Any, handler: Handler) -> Handler:
    def mind(t: Tracer, *args: Any, **kwargs: Any) -> Any:
        if not any(map(_is_whole, tree_flatten((args, kwargs))[0])):
            return handler(t, *args, **kwargs)
        types = _types(call, args, kwargs)
        if torch.bool in types and call in _ADD:
            return CHOICES[aten.logical_or](t, *args[:2])
        if torch.bool in types and isinstance(call, torch._ops.OpOverloadPacket) and call not in TRUTHFUL:
            raise RefusalError("truths are put together as numbers")
        return _typed(t, handler(t, *args, **kwargs), types)

    return mind


def _is_whole(leaf: Any) -> bool:
    """Whether it is a type of truths or whole numbers, or a tensor of such a type."""
    dtype = leaf.dtype if isinstance(leaf, Tensor) else leaf
    return isinstance(dtype, torch.dtype) and not dtype.is_floating_point


def _types(call: Any, args: Any, kwargs: Any) -> list[torch.dtype | None]:
    """The types of what torch gives; nothing where only the numbers would tell."""

    def empty(leaf: Any) -> Any:
        is_tensor = isinstance(leaf, Tensor)
        return torch.empty(leaf.shape, dtype=leaf.dtype, device="meta") if is_tensor else leaf

    kwargs = {**kwargs, "device": "meta"} if "device" in kwargs else kwargs
    try:
        told = call(*tree_map(empty, args), **tree_map(empty, kwargs))
    except Exception:  # torch raises whatever the arguments do not fit
        return []
    return [leaf.dtype if isinstance(leaf, Tensor) else None for leaf in tree_flatten(told)[0]]


def _typed(t: Tracer, result: Any, types: list[torch.dtype | None]) -> Any:
    """The result in these types, as far as it is told whether they are of truths, whole numbers or others."""
    leaves, spec = tree_flatten(result)
    if len(leaves) != len(types):
        return result
    return tree_unflatten([_of(t, leaf, dtype) for leaf, dtype in zip(leaves, types, strict=True)], spec)


def _of(t: Tracer, leaf: Any, dtype: torch.dtype | None) -> Any:
    if not isinstance(leaf, Symbol) or dtype is None or leaf.dtype == dtype:
        return leaf
    both = leaf.dtype.is_floating_point and dtype.is_floating_point
    return leaf if both else t.symbol(leaf.ids, dtype)
