"""Convolutions over any number of axes, straight and transposed, as linear maps of stored kernels.

Zeros around an image are ids of 0, and so are those that a transposed convolution puts between its numbers:
with its image turned round and the channels of its kernel swapped it is a convolution like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch

from .arithmetic import add
from .faults import RefusalError
from .linear_maps import contract
from .maps import Map, placed
from .ramps import rounded
from .symbols import Handler, Symbol, Tracer
from .tape import Array, Ids

aten = torch.ops.aten
Shape = tuple[int, ...]


def window_places(
    window: Sequence[int], sizes: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """How many places a window has on each axis."""
    return [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(sizes, window, stride, dilation, strict=True)
    ]


def convolution_loops(
    kernel: Shape, image: list[int], stride: list[int], dilation: list[int], groups: int, swapped: bool
) -> list[list[int]]:
    """Loops [n, row, weight, component] of a convolution, as `strides` has them.

    Args:
        kernel: shape [out, depth, window…], or [groups · depth, out / groups, window…] where `swapped`.
        image: [channels, sizes…], with whatever lies around it.
    """
    (channels, *sizes), window = image, kernel[2:]
    places, depth = window_places(window, sizes, stride, dilation), channels // groups
    out, area, plane, count = (
        kernel[1] if swapped else kernel[0] // groups,
        prod(window),
        prod(sizes),
        prod(places),
    )
    axes = range(len(sizes))
    return [
        [groups, out * count, out * depth * area, depth * plane],
        [out, count, area if swapped else depth * area, 0],
        *([places[k], prod(places[k + 1 :]), 0, stride[k] * prod(sizes[k + 1 :])] for k in axes),
        [depth, 0, out * area if swapped else area, plane],
        *([window[k], 0, prod(window[k + 1 :]), dilation[k] * prod(sizes[k + 1 :])] for k in axes),
    ]


def convolution_matrix(kernel: Array, size: int, places: list[int] | None, *geometry: Any) -> Map:
    """Map [out, size] of a convolution; `places` are where the image's components lie, -1 for none."""
    loops = convolution_loops(kernel.shape, *geometry)
    at = np.zeros((3, 1), dtype=np.int64)
    for n, *steps in loops:
        at = (at[:, :, None] + np.outer(steps, np.arange(n))[:, None, :]).reshape(3, -1)
    rows, weights, components = at
    if places is not None:
        components = np.array(places)[components]
    inside = components >= 0
    shape = prod(n for n, row, *_ in loops if row), size
    return placed(shape, rows[inside], components[inside], kernel.ravel()[weights[inside]])


def convolved(
    t: Tracer,
    x: Any,
    weight: Any,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Symbol:
    """A convolution over images [batch, channels, sizes…] with zeros around them."""
    ids, kernel, n = t.ids(x), t.ids(weight), x.ndim - 2
    space = tuple(range(2, n + 2))
    stride, padding, dilation, more = (
        list(each) * n if len(each) == 1 else list(each)
        for each in (stride, padding, dilation, output_padding)
    )
    if transposed:
        ids = _spread(ids, stride)
        reach = [d * (k - 1) - p for d, k, p in zip(dilation, kernel.shape[2:], padding, strict=True)]
        ids = _around(ids, reach, [a + b for a, b in zip(reach, more, strict=True)])
        ids, stride = np.flip(ids, space), [1] * n
    else:
        ids = _around(ids, padding, padding)
    geometry = ([ids.shape[1], *ids.shape[2:]], stride, dilation, groups, transposed)
    found = _over_images(t, ids, kernel, bias, geometry)
    return t.symbol(np.flip(found, space) if transposed else found)


def _spread(ids: Ids, stride: list[int]) -> Ids:
    """Zeros between the numbers of each axis of space."""
    sizes = [(size - 1) * s + 1 for size, s in zip(ids.shape[2:], stride, strict=True)]
    found = np.full((*ids.shape[:2], *sizes), -1)
    found[(slice(None), slice(None), *(slice(None, None, s) for s in stride))] = ids
    return found


def _around(ids: Ids, before: list[int], after: list[int]) -> Ids:
    """Zeros around each axis of space; less than none cuts off."""
    ends = [end for pair in reversed(list(zip(before, after, strict=True))) for end in pair]
    return np.asarray(torch.constant_pad_nd(torch.as_tensor(ids.copy()), ends, -1).numpy())


def _over_images(t: Tracer, ids: Ids, kernel: Ids, bias: Any, geometry: tuple[Any, ...]) -> Ids:
    image, stride, dilation, groups, swapped = geometry
    name = t.tape.tensor_of(kernel)
    out = kernel.shape[1] * groups if swapped else kernel.shape[0]
    shape = (out, *window_places(kernel.shape[2:], image[1:], stride, dilation))
    if min(shape) < 1:
        raise RefusalError(f"a window larger than the image {image[1:]}")
    if name is None or not np.array_equal(kernel, t.tape.entries(name)):
        return _of_windows(t, ids, kernel, bias, geometry).reshape(len(ids), *shape)
    t.tape.stored(name)
    const = None if bias is None else _whole(t, t.ids(bias))
    images, datum = t.tape.together([ids.reshape(len(ids), -1)], axis=1)
    found = []
    for cells, which in zip(images[0], datum, strict=True):
        read = t.tape.units(cells, nothing=True)
        how = (name, image, stride, dilation, groups, swapped)
        make = partial(
            t.tape.add, "convolution", prod(shape), bool(which == 0), read, how=how, const=const or "0"
        )
        made = t.tape.once(("convolution", str(how), const, read.tobytes()), make)
        found.append(t.tape.back(made, np.full(made.shape, which)).reshape(shape))
    made = np.stack(found)
    return made if bias is None or const else _shifted(t, made, bias, prod(kernel.shape[2:]) * image[0])


def _whole(t: Tracer, ids: Ids) -> str | None:
    """The tensor of the network that a bias is, if it is one as it is stored."""
    name = t.tape.tensor_of(ids)
    if name is None or not np.array_equal(ids, t.tape.entries(name)):
        return None
    t.tape.stored(name)
    return f"@{name}"


def _shifted(t: Tracer, cells: Ids, bias: Any, terms: int) -> Ids:
    """With a bias by channel, which torch may add first: it is rounded with every term."""
    ids = rounded(t, t.ids(bias), terms).reshape(-1, *[1] * (cells.ndim - 2))
    return np.asarray(add(t, t.symbol(cells), t.symbol(ids)).ids.numpy())


def _of_windows(t: Tracer, ids: Ids, kernel: Ids, bias: Any, geometry: tuple[Any, ...]) -> Ids:
    """Convolution with a kernel that is computed, or a part of a tensor: windows times the kernel."""
    _, stride, dilation, groups, swapped = geometry
    cut, n = torch.as_tensor(np.ascontiguousarray(ids)), ids.ndim - 2
    for axis, (k, s, d) in enumerate(zip(kernel.shape[2:], stride, dilation, strict=True), 2):
        cut = cut.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
    windows = np.moveaxis(
        cut.reshape(len(ids), groups, -1, *cut.shape[2:]).numpy(), 2, 2 + n
    )  # [b, groups, places, depth, …]
    depth = ids.shape[1] // groups
    rows = windows.reshape(len(ids), groups, -1, depth * prod(kernel.shape[2:]))
    parts = kernel.reshape(groups, -1, *kernel.shape[1:])
    parts = parts if swapped else np.swapaxes(parts, 1, 2)  # [groups, depth, out, window…]
    parts = np.moveaxis(parts, 2, -1).reshape(groups, rows.shape[-1], -1)
    found = [contract(t, rows[:, g], np.ascontiguousarray(parts[g])) for g in range(groups)]
    made = np.moveaxis(np.stack(found, 1), -1, 2)
    made = made.reshape(len(ids), -1, made.shape[-1])
    return made if bias is None else _shifted(t, made, bias, rows.shape[-1])


CONVOLUTIONS: dict[Any, Handler] = {aten.convolution: convolved}
