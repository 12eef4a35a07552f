"""Checking what other tools wrote: all that is wrong with a file is said at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.explanations.errors import ExplanationError
from torch import Tensor

Shape = tuple[str, ...]
"""The axes of a tensor by name: axes of one name are equally long."""


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
        if 0 in got:
            self.wrong.append(f"{name} is empty")
        if value.is_complex():
            self.wrong.append(f"{name} holds complex numbers")
            return None
        numbers = value.float()
        if not bool(numbers.isfinite().all()):
            self.wrong.append(f"{name} holds NaN or infinite numbers")
        return numbers

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
        if not is_number(plain) or plain % 1 or plain < 1:
            self.wrong.append(f"{key} is {value!r}, expected a whole number of at least 1")
            return None
        return int(plain)

    def flag(self, key: str, default: bool) -> bool:
        """Whether an option of the configuration is set; null counts as not."""
        return bool(self.choose(key, (True, False, None), default))

    def number(self, key: str, default: float) -> float:
        """An option of the configuration that has to be a finite number."""
        value = self.config.get(key, default)
        if not is_number(value):
            self.wrong.append(f"{key} is {value!r}, expected a number")
            return default
        return float(value)

    def check(self) -> None:
        """Raise an :class:`ExplanationError` with all that is wrong so far."""
        if self.wrong:
            raise ExplanationError(f"{self.path}: {'; '.join(self.wrong)}")


def is_number(value: Any) -> bool:
    """A finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def sizes_of(config: Mapping[str, Any], **names: str) -> dict[str, int]:
    """The lengths of axes that a configuration states: axis=key."""
    found = {axis: config.get(key) for axis, key in names.items()}
    return {
        axis: size for axis, size in found.items() if isinstance(size, int) and not isinstance(size, bool)
    }


def text_of(config: Mapping[str, Any], *keys: str) -> str:
    """The first of these keys that holds text, else nothing."""
    return next((value for key in keys if isinstance(value := config.get(key), str)), "")
