"""The shipped networks by name: their weights, their cards, their recipes and their data."""

from __future__ import annotations

import difflib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from assay.models.dataset import Dataset
from assay.models.errors import InputError
from assay.models.network import Network
from assay.models.storage import read_network, save, write_whole

from . import boolean, byte_lm, comparator, digits, max_of_k, resid_mlp, tms, words
from .entry import Entry
from .training import Progress

__all__ = ["UnknownNetwork", "card", "data", "entry", "export", "load", "names", "train"]

FAMILIES = (byte_lm, tms, resid_mlp, comparator, digits, max_of_k, boolean, words)
CARD_SEED = 1


class UnknownNetwork(InputError):
    """The zoo has no network of that name."""

    def __init__(self, name: str) -> None:
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        super().__init__(f"the zoo has no network {name!r}{hint} It holds {', '.join(names())}")


@cache
def _entries() -> Mapping[str, Entry]:
    return {e.name: e for family in FAMILIES for e in family.ENTRIES}


def names() -> tuple[str, ...]:
    """Name all networks of the zoo."""
    return tuple(_entries())


def entry(name: str) -> Entry:
    """Look up what the zoo holds under a name.  Raises `UnknownNetwork`."""
    if name not in _entries():
        raise UnknownNetwork(name)
    return _entries()[name]


def load(name: str) -> Network:
    """Load a shipped network, with the weights that its recipe gave."""
    return read_network(_shipped(entry(name).name, ".safetensors"))


def card(name: str) -> dict[str, Any]:
    """Read the card of a shipped network: what it is, its recipe, and its figures on held-out data."""
    card: dict[str, Any] = json.loads(_shipped(entry(name).name, ".json").read_text(encoding="utf-8"))
    return card


def data(name: str, n: int, seed: int = 0) -> Dataset:
    """Draw n fresh held-out data (``digits`` has 360 and gives at most those)."""
    if n < 1:
        raise InputError(f"cannot draw {n} data of {name!r}, expected at least 1")
    return entry(name).data(n, seed)


def train(name: str, seed: int | None = None, progress: Progress | None = None) -> Network:
    """Train a network anew by its shipped recipe, by default from the seed of the shipped weights."""
    chosen = entry(name)
    return chosen.train(chosen.seed if seed is None else seed, progress)


def export(
    name: str,
    folder: Path,
    network: Network | None = None,
    seed: int | None = None,
    seconds: float | None = None,
) -> Path:
    """Write weights and card into a folder; gives the path of the weights.

    Without a network these are the shipped files.  A network that was trained anew gets a card of its own,
    with figures on fresh data, the seed (by default that of the shipped weights) and the seconds it took.
    """
    path = folder / f"{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    if network is None:
        save(load(name), path)
        write_whole(path.with_suffix(".json"), _shipped(name, ".json").read_bytes())
        return path
    text = json.dumps(_card(entry(name), network, seed, seconds), indent=2, ensure_ascii=False) + "\n"
    save(network, path)
    write_whole(path.with_suffix(".json"), text.encode())
    return path


def _card(entry: Entry, network: Network, seed: int | None, seconds: float | None) -> dict[str, Any]:
    dataset = entry.data(entry.card_data, CARD_SEED)
    return {
        "name": entry.name,
        "about": entry.about,
        "parameters": sum(p.numel() for p in network.parameters().values()),
        "digest": network.digest,
        "recipe": {"seed": entry.seed if seed is None else seed, **entry.recipe},
        "trained": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "seconds": None if seconds is None else round(seconds),
        },
        "held_out": {"n": len(dataset), "seed": CARD_SEED, "scope": vars(dataset.scope)},
        "figures": entry.measure(network, dataset),
    }


def _shipped(name: str, suffix: str) -> Path:
    return Path(str(resources.files(__package__) / "weights" / f"{name}{suffix}"))
