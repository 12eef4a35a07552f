"""Our transformer with weights that another tool wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from assay.models.network import Network
from assay.models.storage import UnreadableFile
from assay.models.transformer import Transformer, TransformerConfig
from torch import Tensor

__all__ = ["assemble"]

SHOWN = 12
"""Names of tensors that a message lists before it only counts them."""


def assemble(path: Path, name: str, config: TransformerConfig, tensors: Mapping[str, Tensor]) -> Network:
    """A language model of that architecture with those weights, in float32 where they are shorter.

    A kind of bias that no layer has is zero.  Raises `UnreadableFile`, naming every tensor that is missing,
    surplus, misshapen or not finite.
    """
    if config.n_layers > len(tensors):
        raise UnreadableFile(
            path, f"{config.n_layers} layers are announced, {len(tensors)} tensors are there"
        )
    with torch.device("meta"):
        module = Transformer(config)
    want = {n: tuple(t.shape) for n, t in module.state_dict().items()}
    weights, absent = {n: _widened(t) for n, t in tensors.items()}, _absent_biases(want, tensors)
    if wrong := _misfits({n: shape for n, shape in want.items() if n not in absent}, weights):
        raise UnreadableFile(path, "its tensors do not fit: " + "; ".join(wrong))
    module.load_state_dict(weights | {n: torch.zeros(want[n]) for n in absent}, assign=True)
    return Network(name, module, "categorical", "token", (config.n_ctx,), vocabulary=config.d_vocab)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor


def _absent_biases(want: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]) -> set[str]:
    kinds: dict[str, list[str]] = {}
    for name in want:
        if name.rsplit(".", 1)[-1].lstrip("_").startswith("b_"):
            kinds.setdefault(re.sub(r"^blocks\.\d+\.", "", name), []).append(name)
    absent = [names for names in kinds.values() if not any(name in tensors for name in names)]
    return {name for names in absent for name in names}


def _misfits(want: Mapping[str, tuple[int, ...]], got: Mapping[str, Tensor]) -> list[str]:
    """Every fault of the tensors, in words."""
    shapes = [
        f"{n} has shape {tuple(t.shape)}, expected {want[n]}"
        for n, t in got.items()
        if n in want and tuple(t.shape) != want[n]
    ]
    kinds = [
        f"{n} holds {t.dtype}, expected floating point" for n, t in got.items() if not t.is_floating_point()
    ]
    bad = [
        f"{n} holds NaN or infinity"
        for n, t in got.items()
        if t.is_floating_point() and not bool(t.isfinite().all())
    ]
    names = {"missing": sorted(want.keys() - got.keys()), "surplus": sorted(got.keys() - want.keys())}
    lists = [f"{what} {_listed(found)}" for what, found in names.items() if found]
    return lists + [_listed(found, "; ") for found in (shapes, kinds, bad) if found]


def _listed(found: list[str], between: str = ", ") -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return between.join(found[:SHOWN]) + more
