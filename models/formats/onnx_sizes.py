"""Resize and Upsample of ONNX: axis by axis, places for the nearest, else matrices of weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .onnx_arrays import taken
from .onnx_layers import MOST_NUMBERS, Array, Node

__all__ = ["SIZES"]


class Resampled(nn.Module):
    """Each axis times a matrix [out, in] of fixed weights."""

    def __init__(self, matrices: dict[int, Tensor]) -> None:
        super().__init__()
        self.axes = tuple(matrices)
        for axis, matrix in matrices.items():
            self.register_parameter(f"axis_{axis}", nn.Parameter(matrix, requires_grad=False))

    def forward(self, x: Tensor) -> Tensor:
        """Resample [b, …]."""
        for axis in self.axes:
            x = functional.linear(x.movedim(axis, -1), getattr(self, f"axis_{axis}")).movedim(-1, axis)
        return x


def _asked(node: Node) -> tuple[list[float], list[int]]:
    """How many times longer each axis of the data becomes, and how long that is."""
    old, rank = np.array(node.shapes[0]), len(node.shapes[0]) + 1
    axes = [int(axis) % rank for axis in node.attributes.get("axes", range(rank))]
    scales, sizes = np.ones(rank), np.array([1, *old])
    given, wanted = _told(node)
    if wanted is not None:
        sizes[axes] = wanted
        sizes[0] = 1
        scales[1:] = sizes[1:] / old
    elif given is not None:
        scales[axes] = given
        sizes[1:] = [math.floor(n * s) for n, s in zip(old, scales[1:], strict=True)]
    else:
        raise ValueError("lacks its new size")
    if scales[0] != 1 or sizes.min() < 1 or math.prod(map(int, sizes)) > MOST_NUMBERS:
        raise ValueError(f"makes {sizes.tolist()} of {[1, *old.tolist()]}")
    return scales[1:].tolist(), [int(n) for n in sizes[1:]]


def _told(node: Node) -> tuple[Array | None, Array | None]:
    """Scales and sizes, where they stand in this version of the operator."""
    if "scales" in node.attributes:
        return np.array(node.attributes["scales"]), None
    if len(node.inputs) == 2:
        return node.needed(1), None
    told = [node.constant(k) for k in (2, 3)]
    scales, sizes = (None if a is None or not a.size else a.reshape(-1) for a in told)
    return scales, sizes


def _sources(how: str, n: int, count: int, scale: float) -> Array:
    """Where each of `count` places lies on an axis of n numbers."""
    places = np.arange(count, dtype=np.float64)
    match how:
        case "asymmetric":
            return np.asarray(places / scale)
        case "align_corners":
            return np.asarray(places * ((n - 1) / (count - 1) if count > 1 else 0.0))
        case "half_pixel":
            return np.asarray((places + 0.5) / scale - 0.5)
        case "pytorch_half_pixel":
            return np.asarray((places + 0.5) / scale - 0.5 if count > 1 else places * 0)
        case "half_pixel_symmetric":
            shift = n / 2 * (1 - count / (n * scale))
            return np.asarray(shift + (places + 0.5) / scale - 0.5)
    raise ValueError(f"places its numbers by {how}")


def _nearest(how: str, sources: Array, n: int) -> Array:
    rules: dict[str, Callable[[Any], Any]] = {
        "round_prefer_floor": lambda v: np.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: np.floor(v + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    return np.asarray(rules[how](sources)).clip(0, n - 1).astype(np.int64)


def _matrix(sources: Array, n: int, weights: Callable[[Array], Array]) -> Tensor:
    """Weights [out, in] by distance; beyond the ends are more of the numbers there."""
    matrix = np.zeros((len(sources), n))
    for row, source in enumerate(sources):
        places = math.floor(source) + np.arange(-1, 3)
        np.add.at(matrix[row], places.clip(0, n - 1), weights(np.abs(source - places)))
    return torch.tensor(matrix, dtype=torch.float32)


def _linear(v: Array) -> Array:
    return np.asarray(np.maximum(1 - v, 0))


def _cubic(a: float) -> Callable[[Array], Array]:
    """Keys 1981."""

    def weights(v: Array) -> Array:
        near, far = ((a + 2) * v - (a + 3)) * v * v + 1, ((v - 5) * v + 8) * v * a - 4 * a
        return np.where(v <= 1, near, np.where(v < 2, far, 0.0))

    return weights


def _resized(node: Node, default: str, rounding: str) -> nn.Module:
    a = node.attributes
    if (
        a.get("antialias")
        or a.get("exclude_outside")
        or a.get("keep_aspect_ratio_policy", b"stretch") != b"stretch"
    ):
        raise ValueError("smooths, leaves out what lies outside, or keeps proportions")
    mode, (scales, sizes) = a.get("mode", b"nearest").decode(), _asked(node)
    how = a.get("coordinate_transformation_mode", default.encode()).decode()
    changed = [
        (axis, n, _sources(how, n, count, scale))
        for axis, (n, count, scale) in enumerate(zip(node.shapes[0], sizes, scales, strict=True), 1)
        if scale != 1 or n != count
    ]
    if mode == "nearest":
        told = a.get("nearest_mode", rounding.encode()).decode()
        return taken({axis: _nearest(told, sources, n) for axis, n, sources in changed})
    if mode not in ("linear", "cubic"):
        raise ValueError(f"interpolates by {mode}")
    weights = _linear if mode == "linear" else _cubic(float(a.get("cubic_coeff_a", -0.75)))
    return Resampled({axis: _matrix(sources, n, weights) for axis, n, sources in changed})


def _resize(node: Node) -> nn.Module:
    """Version 10 reads two inputs, and places numbers as Upsample does."""
    old = len(node.inputs) == 2
    return _resized(node, *(("asymmetric", "floor") if old else ("half_pixel", "round_prefer_floor")))


SIZES: dict[str, Callable[[Node], nn.Module]] = {
    "Resize": _resize,
    "Upsample": lambda node: _resized(node, "asymmetric", "floor"),
}
