"""Hugging Face folders: ``config.json`` and safetensors, read directly onto our transformer.

Families that it can express exactly are read without any other library; the rest, and configurations with
fields that it does not have, run through ``transformers`` where that is installed (the extra ``hf``), from
the folder alone and never from the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.models.network import Network
from assay.models.state_dicts import read_settings, read_state_dict
from assay.models.storage import UnreadableFile
from assay.models.transformer_config import TransformerConfig
from torch import Tensor

from .assembly import assemble
from .hugging_face_configs import CONFIGS, Unsupported
from .hugging_face_weights import PREFIXES, RULES, SKIPPED, TIED

__all__ = ["is_hugging_face", "read_hugging_face"]

SINGLE = ("model.safetensors", "pytorch_model.bin")
"""One file of weights; sharded ones have an index beside them."""

LAYER = re.compile(r"\.(\d+)\.")


def is_hugging_face(folder: Path) -> bool:
    """Whether a folder has a ``config.json`` that names a model type."""
    config = folder / "config.json"
    return config.is_file() and "model_type" in read_settings(config)


def read_hugging_face(folder: Path) -> Network:
    """The causal language model of a folder.

    Raises `UnreadableFile`, naming at once every field of the configuration that is not supported.
    """
    raw = read_settings(folder / "config.json")
    family = str(raw.get("model_type"))
    try:
        config, tied = _configuration(family, raw)
    except Unsupported as unsupported:
        from .hugging_face_wrapped import read_wrapped

        return read_wrapped(folder, unsupported)
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UnreadableFile(folder / "config.json", f"its fields do not fit: {error!r}") from error
    weights = _translated(folder, read_weights(folder), family, config)
    embedding = weights.pop(TIED, None)
    if tied and embedding is not None:
        weights["unembed.W_U"] = embedding
    biases = any(name.rsplit(".", 1)[-1].lstrip("_").startswith("b_") for name in weights)
    made = assemble(folder, folder.resolve().name, replace(config, biases=biases), weights)
    tokenizer = folder / "tokenizer.json"
    return replace(made, tokenizer=tokenizer if tokenizer.is_file() else None)


def _configuration(family: str, raw: Mapping[str, Any]) -> tuple[TransformerConfig, bool]:
    if family not in CONFIGS:
        raise Unsupported([f"model_type = {family!r} (read directly: {', '.join(CONFIGS)})"])
    return CONFIGS[family](raw)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, of one file or of the shards that an index lists.  Raises `UnreadableFile`."""
    for name in SINGLE:
        if (folder / name).is_file():
            return read_state_dict(folder / name)
        if (index := folder / f"{name}.index.json").is_file():
            return _sharded(folder, index)
    raise UnreadableFile(folder, f"holds no weights, expected {' or '.join(SINGLE)} (or an index of shards)")


def _sharded(folder: Path, index: Path) -> dict[str, Tensor]:
    where = read_settings(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(shard, str) for shard in where.values()):
        raise UnreadableFile(index, "has no weight_map from tensors to files")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(where.values())):
        if Path(shard).name != shard:
            raise UnreadableFile(index, f"names {shard!r}, expected a file of the same folder")
        tensors |= read_state_dict(folder / shard)
    if missing := sorted(set(where) - set(tensors)):
        raise UnreadableFile(index, f"its shards lack {', '.join(missing[:8])}")
    return tensors


def _translated(
    folder: Path, tensors: Mapping[str, Tensor], family: str, config: TransformerConfig
) -> dict[str, Tensor]:
    """The tensors under our names.  Raises `UnreadableFile` for those that have none or do not fit."""
    rules = RULES[family]
    weights: dict[str, Tensor] = {}
    problems = []
    for full, tensor in tensors.items():
        name = full.removeprefix(PREFIXES[family])
        layer = LAYER.search(name)
        pattern = LAYER.sub(".*.", name, count=1)
        if pattern.endswith(SKIPPED):
            continue
        if pattern not in rules:
            problems.append(f"{full} is no tensor of {family}")
            continue
        prefix = f"blocks.{layer[1]}." if layer else ""
        try:
            made = rules[pattern](tensor, config)
            weights |= {prefix + ours: value for ours, value in made.items()}
        except (RuntimeError, ValueError) as error:
            problems.append(f"{full} of shape {tuple(tensor.shape)} does not fit config.json ({error})")
    if problems:
        raise UnreadableFile(folder, "; ".join(problems[:8]) + (" …" if len(problems) > 8 else ""))
    return weights
