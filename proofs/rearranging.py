"""What slicing, joining, reshaping and turning do to the components of a value: found by doing it to their
numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

Places = np.ndarray[Any, np.dtype[np.int64]]

MOVES: frozenset[Any] = frozenset(
    {
        operator.getitem, torch.cat, torch.concat, torch.stack, torch.reshape, torch.permute, torch.transpose,
        torch.unsqueeze, torch.squeeze, torch.flip, torch.roll, torch.select, torch.narrow, torch.unbind,
        torch.chunk, torch.split, "reshape", "view", "permute", "transpose", "unsqueeze", "squeeze", "flip",
        "roll", "select", "narrow", "unbind", "chunk", "split", "expand", "repeat",
    }
)  # fmt: skip


class MoveError(ValueError):
    """A rearrangement that mixes data, or whose arguments are computed."""


def moved(node: fx.Node, shapes: dict[fx.Node, tuple[int, ...]]) -> list[Places]:
    """Where each component of the result, or of each of several, comes from.

    ``shapes`` are those of one datum of the values that the node reads; their components are numbered end to
    end. Two data are moved at once, to see that each stays by itself.
    """
    firsts, total = dict[fx.Node, int](), 0
    for source, shape in shapes.items():
        firsts[source] = total
        total += int(np.prod(shape, dtype=np.int64))
    if not total:
        raise MoveError("it reads what is not computed from the input, or nothing")

    def numbers(source: fx.Node) -> Tensor:
        if source not in shapes:
            raise MoveError(f"{source.name} is not computed from the input")
        shape = shapes[source]
        one = torch.arange(int(np.prod(shape, dtype=np.int64))).reshape(1, *shape) + firsts[source]
        return torch.cat([one, one + total])

    result: Any = _run(node, fx.node.map_arg(node.args, numbers), fx.node.map_arg(node.kwargs, numbers))
    return [_of_one(each, total) for each in (result if isinstance(result, tuple | list) else [result])]


def _run(node: fx.Node, args: Any, kwargs: Any) -> Any:
    call: Callable[..., Any]
    if isinstance(node.target, str):
        call, args = getattr(args[0], node.target), args[1:]
    else:
        call = node.target
    try:
        return call(*args, **kwargs)
    except Exception as error:  # torch raises whatever the arguments do not fit
        raise MoveError(str(error).splitlines()[0]) from error


def _of_one(result: Tensor, total: int) -> Places:
    """The places of the first datum, if the second one's are the same."""
    if result.ndim < 1 or len(result) != 2 or not torch.equal(result[0] + total, result[1]):
        raise MoveError("it mixes data of a batch")
    return np.asarray(result[0].numpy())


def picks(places: Places, sizes: Sequence[int]) -> list[list[int]]:
    """For each source of so many components the place of every component of the result, -1 if elsewhere."""
    flat, first, terms = places.ravel(), 0, []
    for size in sizes:
        inside = (flat >= first) & (flat < first + size)
        terms.append(np.where(inside, flat - first, -1).tolist())
        first += size
    return terms
