"""The files of a decomposition run: its configuration, its checkpoints, its instances.

A run of APD or SPD is a folder with ``final_config.yaml`` and checkpoints ``<name>_<step>.pth``, mostly with
the network that was decomposed beside them (``tms.pth``, ``resid_mlp.pth`` and ``*_train_config.yaml``).
What a file holds is seen from its content: ``.pth`` may be a torch archive or safetensors. Nothing runs code.
"""

from __future__ import annotations

import re
from pathlib import Path

from assay.models.errors import InputError
from assay.models.storage import UnreadableFile
from torch import Tensor

__all__ = ["CONFIG", "at_instance", "checkpoint", "run_folder"]

CONFIG = "final_config.yaml"
_SUFFIXES = (".pth", ".pt", ".safetensors")
_STEP = re.compile(r"_(\d+)\.(pth|pt|safetensors)$")


def run_folder(path: Path) -> Path | None:
    """The folder of the run that a path names, itself or a checkpoint in it; None where it is no run."""
    if not path.is_dir() and path.suffix not in _SUFFIXES:
        return None
    folder = path if path.is_dir() else path.parent
    runs = (folder / CONFIG).is_file() or any(folder.glob("*_train_config.yaml"))
    return folder if path.exists() and runs else None


def checkpoint(path: Path, step: int | None = None) -> Path:
    """The checkpoint of a step, by default of the last; a file is its own.  Raises `UnreadableFile`."""
    if path.is_file():
        if step is not None:
            raise UnreadableFile(
                path, f"step={step} chooses among the checkpoints of a folder; this is a file"
            )
        return path
    if not path.is_dir():
        raise UnreadableFile(path, "there is no such file or folder")
    found = {
        int(match[1]): file
        for file in sorted(path.iterdir())
        if (match := _STEP.search(file.name)) and not file.name.startswith("optimizer")
    }
    if not found:
        raise UnreadableFile(path, "holds no checkpoint, expected a file such as model_10000.pth")
    if step is not None and step not in found:
        steps = ", ".join(map(str, sorted(found)))
        raise UnreadableFile(path, f"holds no checkpoint of step {step}; there are steps {steps}")
    return found[max(found) if step is None else step]


def at_instance(tensors: dict[str, Tensor], instanced: bool, instance: int, where: Path) -> dict[str, Tensor]:
    """One instance of tensors [n_instances, …]; where they have no such axis only instance 0 is there."""
    if not instanced:
        if instance:
            raise InputError(f"{where}: instance={instance}, but the run holds a single instance")
        return tensors
    counts = sorted({len(tensor) if tensor.ndim else 0 for tensor in tensors.values()})
    if len(counts) != 1:
        raise UnreadableFile(where, f"its tensors have {counts} instances along their first axis")
    if not 0 <= instance < counts[0]:
        raise InputError(f"{where}: instance={instance}, but the run holds instances 0..{counts[0] - 1}")
    return {name: tensor[instance] for name, tensor in tensors.items()}
