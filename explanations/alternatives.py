"""One explanation that can be told in several ways: the shortest is sent, and which one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Alternatives:
    """Several messages for one explanation; the accountant tries all and charges the choice."""

    name: str
    ways: Sequence[Any]
