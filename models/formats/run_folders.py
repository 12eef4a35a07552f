"""The files of a decomposition run: its configuration, its checkpoints, the tensors inside.

A run of APD or SPD is a folder with ``final_config.yaml`` and checkpoints ``<name>_<step>.pth``, mostly with
the network that was decomposed beside them (``tms.pth``, ``resid_mlp.pth`` and ``*_train_config.yaml``).
What a file holds is seen from its content: ``.pth`` may be a torch archive or safetensors. Nothing runs code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from assay.models.errors import InputError
from assay.models.storage import UnreadableFile, read_safetensors
from torch import Tensor

__all__ = ["CONFIG", "checkpoint", "read_config", "read_tensors", "run_folder"]

CONFIG = "final_config.yaml"
_STEP = re.compile(r"_(\d+)\.(pth|pt|safetensors)$")
_TORCH_STARTS = (b"PK", b"\x80")  # a zip archive, or the older plain pickle


def run_folder(path: Path) -> Path | None:
    """The folder of the run that a path names, itself or a file in it; None where it is no run."""
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


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, of a torch archive or of safetensors.  Raises `UnreadableFile`."""
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    with path.open("rb") as file:
        start = file.read(2)
    if not start.startswith(_TORCH_STARTS):
        return read_safetensors(path)[0]
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler met in a file that is not whole
        raise UnreadableFile(path, f"not tensors alone, or not whole ({_first_line(error)})") from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UnreadableFile(
            path, f"holds a {type(content).__name__}, expected tensors by name (a state dict)"
        )
    return {str(name): tensor.detach() for name, tensor in content.items()}


def read_config(path: Path) -> dict[str, Any]:
    """A YAML file as plain data.  Raises `UnreadableFile`."""
    import yaml

    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableFile(path, f"not plain YAML ({_first_line(error)})") from error
    if not isinstance(content, dict):
        raise UnreadableFile(path, f"holds a {type(content).__name__}, expected names and values")
    return content


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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
