"""State dicts and settings as other tools leave them.  Nothing here runs code from a file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .arrays import read_numpy
from .storage import UnreadableFile, read_safetensors

__all__ = [
    "PICKLE_SUFFIXES",
    "read_by_name",
    "read_settings",
    "read_state_dict",
    "read_torch",
    "settings_beside",
]

PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("_orig_mod.", "module.")
"""What torch.compile and data-parallel training write before every name."""

SETTINGS_SUFFIXES = (".json", ".yaml", ".yml")
_SAFETENSORS_HEAD = 8  # bytes of the header's length, then "{"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, of a torch archive or a safetensors file, whatever its suffix.

    A state dict inside a training checkpoint is found under the usual keys.  Raises `UnreadableFile`.
    """
    if _is_safetensors(path):
        return _unprefixed(read_safetensors(path)[0])
    return _unprefixed(_unwrapped(path, read_torch(path)))


def read_by_name(path: Path) -> dict[str, Any]:
    """What a torch archive, a safetensors or an .npz file holds by name: tensors, and what else torch keeps.

    Raises `UnreadableFile`.
    """
    if path.suffix == ".npz":
        return dict(read_numpy(path))
    if _is_safetensors(path):
        return dict(read_safetensors(path)[0])
    content = read_torch(path)
    if not isinstance(content, Mapping):
        raise UnreadableFile(path, f"holds a {type(content).__name__}, expected tensors by name")
    return {str(name): value for name, value in content.items()}


def read_torch(path: Path) -> Any:
    """What torch can read of a file without running code from it.  Raises `UnreadableFile`."""
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about other pickle protocols than its own
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler met in a file that is not whole
        raise UnreadableFile(
            path,
            f"not a whole torch file of tensors alone, and pickled code is never run ({_first_line(error)})",
        ) from error


def _is_safetensors(path: Path) -> bool:
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    with path.open("rb") as file:
        head = file.read(_SAFETENSORS_HEAD + 1)
    return head[_SAFETENSORS_HEAD:] == b"{" or path.suffix == ".safetensors"


def _unwrapped(path: Path, content: object) -> dict[str, Tensor]:
    inner: object = content
    if isinstance(content, Mapping):
        inner = next((content[k] for k in WRAPPERS if isinstance(content.get(k), Mapping)), content)
    if not isinstance(inner, Mapping) or not inner:
        raise UnreadableFile(path, f"holds a {type(inner).__name__}, expected tensors by name (a state dict)")
    if other := [str(name) for name, value in inner.items() if not isinstance(value, Tensor)]:
        raise UnreadableFile(path, f"{', '.join(other[:8])}: no tensors, expected a state dict")
    return {str(name): value.detach() for name, value in inner.items()}


def _unprefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def settings_beside(path: Path) -> Path | None:
    """The JSON or YAML file that goes with weights: of the same name, or ``config.*``, ``cfg.*``."""
    stems = (path.stem, f"{path.stem}_config", "config", "cfg")
    candidates = (path.with_name(stem + suffix) for stem in stems for suffix in SETTINGS_SUFFIXES)
    return next((found for found in candidates if found.is_file()), None)


def read_settings(path: Path) -> dict[str, Any]:
    """A JSON or YAML file of names and values.  Raises `UnreadableFile`."""
    import yaml

    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UnreadableFile(path, f"not whole {path.suffix[1:].upper()} ({_first_line(error)})") from error
    if not isinstance(content, dict):
        raise UnreadableFile(path, f"holds a {type(content).__name__}, expected names and values")
    return {str(name): value for name, value in content.items()}


def _first_line(error: Exception) -> str:
    """The line that says what is wrong: of torch's unpickler the one behind its advice."""
    text = str(error).rpartition("WeightsUnpickler error:")[2]
    return (text.strip().splitlines() or [type(error).__name__])[0][:160]
