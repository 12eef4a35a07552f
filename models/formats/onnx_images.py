"""Operators of ONNX over one, two or three axes of space: convolutions, pools, norms by channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .onnx_layers import Array, Call, Node, Scale, stored

__all__ = ["IMAGES"]

_CONVOLUTIONS: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED: tuple[Any, ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_MAXIMA: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_MEANS: tuple[Any, ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_LENGTHS: tuple[Any, ...] = (nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)
_NORMS: tuple[Any, ...] = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def _axes(node: Node, kernel: Sequence[int]) -> int:
    """How many axes of space there are, from one to three, as many as the kernel has."""
    axes = len(node.shapes[0]) - 1
    if axes != len(kernel) or not 1 <= axes <= 3:
        raise ValueError(f"has a window {list(kernel)} for data of shape {node.shapes[0]}")
    return axes


def _spatial(node: Node, kernel: Sequence[int]) -> dict[str, Any]:
    """Stride, dilation and padding; ``padding`` is [begin…, end…]."""
    a, n = node.attributes, len(kernel)
    stride, dilation = a.get("strides") or [1] * n, a.get("dilations") or [1] * n
    pads = list(a.get("pads") or [0] * 2 * n)
    auto = a.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        sizes = node.shapes[0][1:]
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        total = [
            max(0, (math.ceil(size / s) - 1) * s + r - size)
            for size, s, r in zip(sizes, stride, reach, strict=True)
        ]
        pads = _halves(total, upper=auto == "SAME_UPPER")
    elif auto == "VALID":
        pads = [0] * 2 * n
    return {"stride": tuple(stride), "dilation": tuple(dilation), "padding": pads}


def _halves(total: Sequence[int], upper: bool) -> list[int]:
    """[begin…, end…] of what is added in all; the larger half behind, or before."""
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return small + large if upper else large + small


def _ends(pads: Sequence[int]) -> list[int]:
    """[begin…, end…] as torch has it, the last axis first."""
    n = len(pads) // 2
    return [amount for k in reversed(range(n)) for amount in (pads[k], pads[n + k])]


def _padded(pads: Sequence[int], value: float) -> tuple[list[nn.Module], tuple[int, ...]]:
    """A module that pads unequally, if that is needed, and the padding that is left to the layer."""
    n = len(pads) // 2
    if list(pads[:n]) == list(pads[n:]):
        return [], tuple(pads[:n])
    ends = _ends(pads)
    return [Call(lambda x: functional.pad(x, ends, value=value))], (0,) * n


def _layers(modules: list[nn.Module]) -> nn.Module:
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _conv(node: Node) -> nn.Module:
    kernel, bias = node.needed(1), node.constant(2)
    axes, about = _axes(node, kernel.shape[2:]), _spatial(node, kernel.shape[2:])
    before, about["padding"] = _padded(about["padding"], 0.0)
    groups = int(node.attributes.get("group", 1))
    layer = _CONVOLUTIONS[axes - 1](
        kernel.shape[1] * groups,
        kernel.shape[0],
        kernel.shape[2:],
        groups=groups,
        bias=bias is not None,
        device="meta",
        **about,
    )
    return _layers([*before, _with(layer, kernel, bias)])


def _with(layer: Any, kernel: Array, bias: Array | None) -> nn.Module:
    layer.weight = stored(kernel)
    layer.bias = None if bias is None else stored(bias)
    return layer  # type: ignore[no-any-return]


def _transposed(node: Node) -> nn.Module:
    kernel, bias = node.needed(1), node.constant(2)
    axes, about = _axes(node, kernel.shape[2:]), _spatial(node, kernel.shape[2:])
    more = list(node.attributes.get("output_padding") or [0] * axes)
    pads = _transposed_pads(node, kernel.shape[2:], about, more)
    about["padding"] = tuple(min(pads[k], pads[axes + k]) for k in range(axes))
    cut = _ends([about["padding"][k % axes] - n for k, n in enumerate(pads)])
    groups = int(node.attributes.get("group", 1))
    layer = _TRANSPOSED[axes - 1](
        kernel.shape[0],
        kernel.shape[1] * groups,
        kernel.shape[2:],
        groups=groups,
        bias=bias is not None,
        output_padding=tuple(more),
        device="meta",
        **about,
    )
    after = [Call(lambda x: functional.pad(x, cut))] if any(cut) else []
    return _layers([_with(layer, kernel, bias), *after])


def _transposed_pads(node: Node, kernel: Sequence[int], about: dict[str, Any], more: list[int]) -> list[int]:
    """What is cut off [begin…, end…], where the size of the result may be told instead."""
    a, n = node.attributes, len(kernel)
    auto, shape = a.get("auto_pad", b"NOTSET").decode(), a.get("output_shape")
    if auto.startswith("SAME") and not shape:
        shape = [size * s for size, s in zip(node.shapes[0][1:], about["stride"], strict=True)]
    if not shape:
        return list(about["padding"])
    full = [
        s * (size - 1) + m + (k - 1) * d + 1
        for size, s, k, d, m in zip(
            node.shapes[0][1:], about["stride"], kernel, about["dilation"], more, strict=True
        )
    ]
    total = [whole - wanted for whole, wanted in zip(full, list(shape)[-n:], strict=True)]
    if min(total) < 0:
        raise ValueError(f"makes {list(shape)[-n:]} of {node.shapes[0][1:]}, more than its window reaches")
    return _halves(total, upper=auto == "SAME_UPPER")


def _max_pool(node: Node) -> nn.Module:
    kernel = node.attributes["kernel_shape"]
    axes, about = _axes(node, kernel), _spatial(node, kernel)
    before, padding = _padded(about["padding"], -math.inf)
    ceil = bool(node.attributes.get("ceil_mode"))
    layer = _MAXIMA[axes - 1](tuple(kernel), about["stride"], padding, about["dilation"], ceil_mode=ceil)
    return _layers([*before, layer])


def _average_pool(node: Node) -> nn.Module:
    kernel = node.attributes["kernel_shape"]
    axes, about = _axes(node, kernel), _spatial(node, kernel)
    before, padding = _padded(about["padding"], 0.0)
    counted, ceil = (bool(node.attributes.get(name)) for name in ("count_include_pad", "ceil_mode"))
    if set(about["dilation"]) != {1} or (before and ceil):
        raise ValueError(f"has dilations {about['dilation']}, or pads unequally up to the end")
    pool = _MEANS[axes - 1](tuple(kernel), about["stride"], padding, ceil, counted)
    if not before or counted:
        return _layers([*before, pool])
    shares = pool(before[0](torch.ones(1, *node.shapes[0], dtype=torch.float64)))[0]
    return _layers([*before, pool, Scale((1 / shares).to(torch.get_default_dtype()), divides=False)])


def _length_pool(node: Node) -> nn.Module:
    kernel = node.attributes["kernel_shape"]
    axes, about = _axes(node, kernel), _spatial(node, kernel)
    if set(about["dilation"]) != {1}:
        raise ValueError(f"has dilations {about['dilation']}")
    order, ends = int(node.attributes.get("p", 2)), _ends(about["padding"])
    before = [Call(lambda x: functional.pad(x.abs(), ends))]
    layer = _LENGTHS[axes - 1](order, tuple(kernel), about["stride"], bool(node.attributes.get("ceil_mode")))
    return _layers([*before, layer])


def _over_space(function: Callable[..., Tensor]) -> Callable[[Node], nn.Module]:
    """One number for each channel."""

    def build(node: Node) -> nn.Module:
        axes = tuple(range(2, len(node.shapes[0]) + 1))
        return Call(lambda x: function(x, dim=axes, keepdim=True))

    return build


def _global_length(node: Node) -> nn.Module:
    order = int(node.attributes.get("p", 2))
    return _over_space(lambda x, dim, keepdim: torch.linalg.vector_norm(x, order, dim, keepdim))(node)


def _batch_norm(node: Node) -> nn.Module:
    if node.attributes.get("training_mode"):
        raise ValueError("is in training mode")
    scale, shift, mean, variance = (torch.tensor(node.needed(i)) for i in range(1, 5))
    layer = _NORMS[len(node.shapes[0]) - 1](len(scale), eps=node.attributes.get("epsilon", 1e-5))
    layer.weight, layer.bias = nn.Parameter(scale), nn.Parameter(shift)
    layer.running_mean, layer.running_var = mean, variance
    return layer.eval()  # type: ignore[no-any-return]


def _group_norm(groups: int | None) -> Callable[[Node], nn.Module]:
    """A layer norm over groups of channels; with one factor for each group, or for each channel."""

    def build(node: Node) -> nn.Module:
        channels = node.shapes[0][0]
        count = int(node.attributes["num_groups"]) if groups is None else channels
        if count < 1 or channels // count * math.prod(node.shapes[0][1:]) < 2:
            raise ValueError(f"normalises {count} groups of data of shape {node.shapes[0]}, one number each")
        layer = nn.GroupNorm(count, channels, eps=float(node.attributes.get("epsilon", 1e-5)))
        scale, shift = (np.repeat(a, channels // a.size) for a in (node.needed(1), node.needed(2)))
        return _with(layer, scale, shift)

    return build


def _blocks(node: Node) -> tuple[int, tuple[int, ...]]:
    size, shape = int(node.attributes["blocksize"]), node.shapes[0]
    if len(shape) != 3:
        raise ValueError(f"rearranges data of shape {shape}, expected channels and two axes of space")
    return size, shape


def _depth_to_space(node: Node) -> nn.Module:
    size, (channels, height, width) = _blocks(node)
    if node.attributes.get("mode", b"DCR").decode() == "CRD":
        return nn.PixelShuffle(size)
    cut, turned = (size, size, channels // size**2, height, width), (0, 3, 4, 1, 5, 2)
    shape = (channels // size**2, height * size, width * size)
    return Call(lambda x: x.reshape(-1, *cut).permute(turned).reshape(-1, *shape))


def _space_to_depth(node: Node) -> nn.Module:
    size, (channels, height, width) = _blocks(node)
    cut, turned = (channels, height // size, size, width // size, size), (0, 3, 5, 1, 2, 4)
    shape = (channels * size**2, height // size, width // size)
    return Call(lambda x: x.reshape(-1, *cut).permute(turned).reshape(-1, *shape))


IMAGES: dict[str, Callable[[Node], nn.Module]] = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "LpPool": _length_pool,
    "GlobalAveragePool": _over_space(torch.mean),
    "GlobalMaxPool": _over_space(torch.amax),
    "GlobalLpPool": _global_length,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _group_norm(0),
    "GroupNormalization": _group_norm(None),
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
