"""Operators of ONNX that only lay the numbers of a datum out anew."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .onnx_layers import Node

__all__ = ["SHAPES_ONLY"]


def _flattened(node: Node) -> tuple[int, ...]:
    if node.attributes.get("axis", 1) not in (1, -len(node.shapes[0])):
        raise ValueError(f"keeps axes up to {node.attributes['axis']}, expected axis 1")
    return (math.prod(node.shapes[0]),)


def _reshaped(node: Node) -> tuple[int, ...]:
    """The new shape of a datum; the batch may be written as 1, 0 or -1, or left out."""
    (old,), target = node.shapes, [int(n) for n in node.needed(1).reshape(-1)]
    size, kept = math.prod(old), (1, *old)
    zero = not node.attributes.get("allowzero")
    target = [kept[i] if n == 0 and zero and i < len(kept) else n for i, n in enumerate(target)]
    known = math.prod(n for n in target if n != -1)
    if -1 in target:
        if known == 0 or size % known:
            raise ValueError(f"makes {target} of {size} numbers for each datum")
        target[target.index(-1)] = size // known
    if math.prod(target) != size:
        raise ValueError(f"makes {target} of {size} numbers for each datum")
    return tuple(target[1:]) if len(target) > 1 and target[0] == 1 else tuple(target)


def _squeezed(node: Node) -> tuple[int, ...]:
    (old,) = node.shapes
    given = node.attributes.get("axes")
    axes = node.constant(1) if given is None else np.array(given)
    if axes is None:
        return tuple(n for n in old if n != 1)
    gone = {node.axis(int(axis)) - 1 for axis in axes.reshape(-1)}
    return tuple(n for i, n in enumerate(old) if i not in gone)


def _unsqueezed(node: Node) -> tuple[int, ...]:
    given = node.attributes.get("axes")
    axes = node.needed(1) if given is None else np.array(given)
    rank = len(node.shapes[0]) + 1 + axes.size
    places = sorted(int(axis) % rank for axis in axes.reshape(-1))
    if places[0] == 0:
        raise ValueError("adds an axis before the batch")
    shape = [1, *node.shapes[0]]
    for place in places:
        shape.insert(place, 1)
    return tuple(shape[1:])


SHAPES_ONLY: dict[str, Callable[[Node], tuple[int, ...]]] = {
    "Flatten": _flattened,
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "Unsqueeze": _unsqueezed,
    "Identity": lambda node: node.shapes[0],
    "Dropout": lambda node: node.shapes[0],
}
"""The new shape of a datum, or ValueError with the reason why there is none."""
