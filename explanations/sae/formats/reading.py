"""Reading what other tools wrote: no code from a file is run, and all that is wrong is said at once."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assay.explanations.errors import ExplanationError
from assay.models.storage import UnreadableFile, read_safetensors
from torch import Tensor

Shape = tuple[str, ...]
"""The axes of a tensor by name: axes of one name are equally long."""


def read_config(path: Path, what: str = "a SAELens folder") -> dict[str, Any]:
    """A JSON object.  Raises :class:`ExplanationError` that says what should hold it."""
    if not path.is_file():
        raise ExplanationError(f"{path}: no such file; {what} holds {path.name}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ExplanationError(f"{path}: not JSON ({error})") from error
    if not isinstance(config, dict):
        raise ExplanationError(f"{path}: expected an object, got {type(config).__name__}")
    return config


def read_tensors(path: Path) -> dict[str, Any]:
    """What a ``.safetensors``, ``.npz`` or ``.pt`` file holds by name, on the CPU."""
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    if path.suffix == ".safetensors":
        return dict(read_safetensors(path)[0])
    return _read_npz(path) if path.suffix == ".npz" else _read_pt(path)


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
    except (ValueError, TypeError, OSError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableFile(path, f"not a whole .npz file of plain arrays ({error})") from error


def _read_pt(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        first = (str(error).splitlines() or ["empty"])[0]
        raise UnreadableFile(
            path, f"not a file of tensors that torch reads without code ({first})"
        ) from error
    if not isinstance(found, dict):
        raise UnreadableFile(path, f"holds a {type(found).__name__}, expected tensors by name")
    return {str(name): value for name, value in found.items()}


@dataclass
class State:
    """Named tensors of a file, and what is found wrong with them and their configuration.

    ``sizes`` are the lengths of axes that are known, by name.
    """

    path: Path
    found: dict[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def take(
        self, needed: Mapping[str, Shape], ignored: Mapping[str, Shape] | None = None
    ) -> dict[str, Tensor]:
        """The needed tensors in float32; raises for missing and surplus keys, shapes, and what is not finite.

        ``ignored`` may be there, in these shapes.
        """
        ignored = ignored or {}
        missing = sorted(needed.keys() - self.found.keys())
        surplus = sorted(self.found.keys() - needed.keys() - ignored.keys())
        if missing or surplus:
            expected = f"expected {sorted(needed)}"
            self.wrong.append(f"missing {missing or 'none'}, surplus {surplus or 'none'}; {expected}")
        known = {**needed, **ignored}
        taken = {name: self._tensor(name, known[name]) for name in known if name in self.found}
        self.check()
        return {name: value for name, value in taken.items() if value is not None and name in needed}

    def _tensor(self, name: str, shape: Shape) -> Tensor | None:
        value = self.found[name]
        if not isinstance(value, Tensor):
            self.wrong.append(f"{name} is a {type(value).__name__}, expected a tensor")
            return None
        got = tuple(value.shape)
        if len(got) == len(shape):
            for axis, size in zip(shape, got, strict=True):
                self.sizes.setdefault(axis, size)
        wanted = tuple(self.sizes.get(axis, axis) for axis in shape)
        if got != wanted:
            told = ", ".join(map(str, wanted)) + ("," if len(wanted) == 1 else "")
            self.wrong.append(f"{name} has shape {got}, expected ({told})")
        elif not bool(torch.isfinite(value).all()):
            self.wrong.append(f"{name} holds NaN or infinite numbers")
        return value.float()

    def choose(self, key: str, allowed: tuple[object, ...], default: object) -> Any:
        """An option of the configuration that has to be one of these."""
        value = self.config.get(key, default)
        if not any(value is one or (type(value) is type(one) and value == one) for one in allowed):
            self.wrong.append(f"{key} {value!r} is not among {', '.join(map(str, allowed))}")
            return default
        return value

    def count(self, key: str, value: Any) -> int | None:
        """A whole number of at least 1 (a tensor of one number will do)."""
        plain = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        if isinstance(plain, bool) or not isinstance(plain, int | float) or plain != int(plain) or plain < 1:
            self.wrong.append(f"{key} is {value!r}, expected a whole number of at least 1")
            return None
        return int(plain)

    def check(self) -> None:
        """Raise an :class:`ExplanationError` with all that is wrong so far."""
        if self.wrong:
            raise ExplanationError(f"{self.path}: {'; '.join(self.wrong)}")


def sizes_of(config: Mapping[str, Any], **names: str) -> dict[str, int]:
    """The lengths of axes that a configuration states: axis=key."""
    found = {axis: config.get(key) for axis, key in names.items()}
    return {
        axis: size for axis, size in found.items() if isinstance(size, int) and not isinstance(size, bool)
    }


def text_of(config: Mapping[str, Any], *keys: str) -> str:
    """The first of these keys that holds text, else nothing."""
    return next((value for key in keys if isinstance(value := config.get(key), str)), "")
