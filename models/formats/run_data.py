"""The data that a decomposition run was made on: sparse features, as its configuration says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.errors import InputError
from assay.models.network import Network
from assay.models.state_dicts import read_settings
from assay.models.storage import UnreadableFile
from assay.models.target_models import ResidualStack
from torch import Tensor

from .decompositions import run_and_instance
from .run_folders import CONFIG, run_folder

__all__ = ["draw_run_data", "usual_data"]

_EXACTLY = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}


def usual_data(model: str) -> str:
    """What data a model is scored on when none are named: those of its run, or the zoo's."""
    path, _ = run_and_instance(model)
    folder = None if model.startswith(("zoo:", "program:", "python:")) else run_folder(path)
    return "zoo" if folder is None else str(folder)


def draw_run_data(folder: Path, network: Network, n: int, seed: int) -> Dataset:
    """Fresh inputs [n, n_features] of a run's own distribution, of which residual networks know both signs.

    Raises `UnreadableFile` where the configuration does not say how features are drawn.
    """
    config = _data_config(folder)
    kind, p = str(config.get("data_generation_type")), config.get("feature_probability")
    generator = torch.Generator().manual_seed(seed)
    features = network.in_shape[0]
    low = -1 if isinstance(network.module, ResidualStack) else 0
    size = torch.rand(n, features, generator=generator) * (1 - low) + low
    if kind == "at_least_zero_active" and isinstance(p, int | float):
        x = size * (torch.rand(n, features, generator=generator) < p)
        x = _synced(x, config.get("synced_inputs") or (), low, generator)
        how = f"each feature is active with probability {p:g}"
    else:
        active = _exactly(kind, features, folder)
        order = torch.rand(n, features, generator=generator).argsort(1)
        x, how = size * (order < active), f"exactly {active} of the features are active"
    scope = Scope(f"x in [{low}, 1)^{features}", f"{how}, then uniform on [{low}, 1)")
    return Dataset(folder.name, x, None, "sample", scope)


def _data_config(folder: Path) -> dict[str, Any]:
    """The task's settings of the run, over those of the network's training."""
    found: dict[str, Any] = {}
    for path in (*sorted(folder.glob("*_train_config.yaml")), folder / CONFIG):
        content = read_settings(path) if path.is_file() else {}
        task = content.get("task_config")
        found |= {**content, **(task if isinstance(task, Mapping) else {})}
    return found


def _exactly(kind: str, features: int, folder: Path) -> int:
    words = kind.split("_")
    count = _EXACTLY.get(words[1]) if len(words) == 3 and words[0] == "exactly" else None
    if count is None:
        raise UnreadableFile(
            folder,
            f"data_generation_type is {kind!r}: expected at_least_zero_active with a feature_probability, or "
            "exactly_one_active and so on; or name a file with --data",
        )
    if count > features:
        raise InputError(f"{folder}: {kind}, but the network has {features} features")
    return count


def _synced(x: Tensor, groups: Sequence[Sequence[int]], low: int, generator: torch.Generator) -> Tensor:
    """Where one feature of a group is active all of the group are, each with its own strength."""
    for group in groups:
        drawn = torch.rand(len(x), len(group), generator=generator) * (1 - low) + low
        together = (x[:, list(group)] != 0).any(1, keepdim=True)
        x[:, list(group)] = torch.where(together, drawn, x[:, list(group)])
    return x
