"""Operators of ONNX that reduce axes, or take, put and repeat numbers at places that are constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .onnx_attention import Mixed, constants
from .onnx_layers import MOST_NUMBERS, Array, Call, Node, reduction

__all__ = ["ARRAYS", "RANKS"]

_NUMPY_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _product(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    for axis in sorted(dim, reverse=True):
        x = x.prod(axis, keepdim=keepdim)
    return x


def _lengths(order: float) -> Callable[..., Tensor]:
    def norm(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
        found: Tensor = torch.linalg.vector_norm(x, order, dim=dim, keepdim=keepdim)
        return found

    return norm


def _squares(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    return (x * x).sum(dim, keepdim=keepdim)


def _log_of_sum(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    return x.sum(dim, keepdim=keepdim).log()


def _unit_length(node: Node) -> nn.Module:
    axis, order = node.axis(int(node.attributes.get("axis", -1))), int(node.attributes.get("p", 2))
    return Call(lambda x: x / torch.linalg.vector_norm(x, order, dim=axis, keepdim=True))


def _largest(node: Node, count: int) -> list[nn.Module]:
    """The values of a TopK, and their places."""
    k, axis = int(node.needed(1).reshape(-1)[0]), node.axis(int(node.attributes.get("axis", -1)))
    largest = bool(node.attributes.get("largest", 1))
    parts: list[nn.Module] = [Call(lambda x, n=n: x.topk(k, axis, largest)[n]) for n in (0, 1)]
    return parts[:count]


def _place_of(largest: bool) -> Callable[[Node], nn.Module]:
    def build(node: Node) -> nn.Module:
        axis, keep = node.axis(int(node.attributes.get("axis", 0))), bool(node.attributes.get("keepdims", 1))
        if node.attributes.get("select_last_index"):
            raise ValueError("takes the last of equal numbers")
        return Call(lambda x: (x.argmax if largest else x.argmin)(axis, keepdim=keep))

    return build


def _cumulated(node: Node) -> nn.Module:
    axis = node.axis(int(node.needed(1).reshape(-1)[0]))
    exclusive, back = node.attributes.get("exclusive"), node.attributes.get("reverse")

    def sums(x: Tensor) -> Tensor:
        x = x.flip(axis) if back else x
        found = x.cumsum(axis)
        if exclusive:
            found = torch.cat(
                [torch.zeros_like(x.narrow(axis, 0, 1)), found.narrow(axis, 0, x.shape[axis] - 1)], axis
            )
        return found.flip(axis) if back else found

    return Call(sums)


def _triangle(node: Node) -> nn.Module:
    shift = node.constant(1)
    k = 0 if shift is None else int(shift.reshape(-1)[0])
    if len(node.shapes[0]) < 2:
        raise ValueError(f"cuts a triangle of data of shape {node.shapes[0]}")
    return Call((lambda x: x.triu(k)) if node.attributes.get("upper", 1) else (lambda x: x.tril(k)))


def _tiled(node: Node) -> nn.Module:
    times = [int(n) for n in node.needed(1).reshape(-1)]
    if len(times) != len(node.shapes[0]) + 1 or times[0] != 1:
        raise ValueError(f"repeats data of shape {node.shapes[0]} by {times}, expected the batch once")
    _limited(math.prod(times) * math.prod(node.shapes[0]))
    return Call(lambda x: x.repeat(times))


def _limited(count: int) -> None:
    if count > MOST_NUMBERS:
        raise ValueError(f"makes {count} numbers for each datum, at most {MOST_NUMBERS} are computed")


def taken(axes: dict[int, Array]) -> nn.Module:
    """The numbers at some places along each of some axes."""
    places = {axis: torch.tensor(np.asarray(index, dtype=np.int64)) for axis, index in axes.items()}

    def take(x: Tensor) -> Tensor:
        for axis, index in places.items():
            x = x.index_select(axis, index.to(x.device))
        return x

    return Call(take)


def _around(node: Node) -> tuple[dict[int, tuple[int, int]], str]:
    """What is added before and behind each axis, and how it is filled."""
    given, rank = node.attributes.get("pads"), len(node.shapes[0]) + 1
    pads = [int(n) for n in (node.needed(1).reshape(-1) if given is None else given)]
    told = node.constant(3) if given is None else None
    axes = list(range(rank)) if told is None else [int(axis) % rank for axis in told.reshape(-1)]
    if len(pads) != 2 * len(axes):
        raise ValueError(f"has {len(pads)} widths for {len(axes)} axes")
    around = {axis: (pads[k], pads[len(axes) + k]) for k, axis in enumerate(axes)}
    if any(around.pop(0, (0, 0))):
        raise ValueError("pads the batch")
    _limited(math.prod(n + sum(around.get(k, (0, 0))) for k, n in enumerate(node.shapes[0], 1)))
    return around, node.attributes.get("mode", b"constant").decode()


def _padded(node: Node) -> nn.Module:
    around, mode = _around(node)
    if mode == "constant":
        told = node.attributes.get("value", node.constant(2) if "pads" not in node.attributes else None)
        value = 0.0 if told is None else float(np.asarray(told).reshape(()))
        ends = [n for axis in range(len(node.shapes[0]), 0, -1) for n in around.get(axis, (0, 0))]
        return Call(lambda x: functional.pad(x, ends, value=value))
    if mode not in _NUMPY_MODES:
        raise ValueError(f"pads by {mode}")
    return taken(
        {axis: _places(node.shapes[0][axis - 1], *ends, mode) for axis, ends in around.items() if any(ends)}
    )


def _places(n: int, before: int, behind: int, mode: str) -> Array:
    """The place that each number of a padded axis is taken from; less than none cuts off."""
    places: Any = np.pad(np.arange(n), (max(before, 0), max(behind, 0)), mode=_NUMPY_MODES[mode])  # type: ignore[call-overload]
    return np.asarray(places[max(-before, 0) : len(places) - max(-behind, 0)])


def _index(node: Node, place: int, axis: int) -> Tensor:
    """Constant places along an axis, the same for each datum."""
    index = node.needed(place)
    if index.shape[0] != 1:
        raise ValueError(f"has places of shape {index.shape}, expected one row for all data")
    return torch.tensor(index % (node.shapes[0][axis - 1]))


def _elements(node: Node) -> nn.Module:
    axis = node.axis(int(node.attributes.get("axis", 0)))
    index = _index(node, 1, axis)
    return Mixed(lambda x, index: x.gather(axis, index.expand(len(x), *index.shape[1:])), {1: index})


def _scattered(node: Node) -> nn.Module:
    """Moving numbers with others put, or added, at some places."""
    axis, how = (
        node.axis(int(node.attributes.get("axis", 0))),
        node.attributes.get("reduction", b"none").decode(),
    )
    if how not in ("none", "add") or node.inputs[0] is not None:
        raise ValueError(f"puts numbers into a constant, or by {how}")
    index = _index(node, 1, axis)

    def put(x: Tensor, index: Tensor, updates: Tensor) -> Tensor:
        spread, updates = index.expand(len(x), *index.shape[1:]), updates.expand(len(x), *updates.shape[1:])
        return x.scatter_add(axis, spread, updates) if how == "add" else x.scatter(axis, spread, updates)

    return Mixed(put, {**constants(node), 1: index})


def _scattered_rows(node: Node) -> nn.Module:
    """The same for slices at places [1, …, axes], the first of which is the batch."""
    index, how = node.needed(1), node.attributes.get("reduction", b"none").decode()
    if how != "none" or node.inputs[0] is not None:
        raise ValueError(f"puts slices into a constant, or by {how}")
    if index.ndim < 2 or index.shape[0] != 1 or index.shape[-1] < 2 or index[..., 0].any():
        raise ValueError(f"has places of shape {index.shape}, expected such within one datum")
    sizes = np.array(node.shapes[0][: index.shape[-1] - 1], dtype=np.int64)
    columns = [torch.tensor(c) for c in (index.reshape(-1, index.shape[-1])[:, 1:] % sizes).T]

    def put(x: Tensor, updates: Tensor) -> Tensor:
        data, at = torch.arange(len(x), device=x.device)[:, None], [c.to(x.device) for c in columns]
        shape = (len(x), len(at[0]), *x.shape[1 + len(at) :])
        return x.index_put((data, *at), updates.expand(len(x), *updates.shape[1:]).reshape(shape))

    told = constants(node)
    return Mixed(put, {1: told[2]} if 2 in told else {})


ARRAYS: dict[str, Callable[[Node], nn.Module]] = {
    "ReduceL1": reduction(_lengths(1)),
    "ReduceL2": reduction(_lengths(2)),
    "ReduceMax": reduction(torch.amax),
    "ReduceMin": reduction(torch.amin),
    "ReduceProd": reduction(_product),
    "ReduceSumSquare": reduction(_squares),
    "ReduceLogSum": reduction(_log_of_sum),
    "ReduceLogSumExp": reduction(torch.logsumexp),
    "LpNormalization": _unit_length,
    "ArgMax": _place_of(True),
    "ArgMin": _place_of(False),
    "CumSum": _cumulated,
    "Trilu": _triangle,
    "Tile": _tiled,
    "Pad": _padded,
    "GatherElements": _elements,
    "ScatterElements": _scattered,
    "ScatterND": _scattered_rows,
}
RANKS: dict[str, Callable[[Node, int], list[nn.Module]]] = {"TopK": _largest}
