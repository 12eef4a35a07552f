"""Networks and datasets by the short names that a command line or a claim file uses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from .arrays import ARRAY_SUFFIXES, read_arrays
from .dataset import Dataset, Scope
from .errors import InputError
from .formats.decompositions import is_run, read_run
from .network import Network
from .storage import UnreadableFile, read_network

__all__ = ["load", "load_dataset"]

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst", ".py", ".json", ".jsonl", ".log", "")
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib")
ZOO_DATA = 4096
"""Data drawn from a shipped network's own distribution when the caller sets no limit."""


def load(spec: str, base: Path | None = None) -> Network:
    """Load a network from what the user wrote.

    ``zoo:NAME`` is one of the shipped networks, ``python:module:factory`` calls the user's own function (this
    runs its code) and anything else is a file, relative to ``base``.  Raises `InputError`.
    """
    scheme, _, rest = spec.partition(":")
    if scheme == "zoo":
        from . import zoo

        return zoo.load(rest)
    if scheme == "python":
        return _from_factory(rest, base or Path.cwd())
    path = (base or Path()) / spec
    if is_run(path):
        return read_run(path)
    if not path.exists():
        raise UnreadableFile(path, "there is no such file (nor is it zoo:NAME or python:module:factory)")
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise UnreadableFile(
            path, "a pickle can run code when it is read; save the network with models.save instead"
        )
    if (reader := READERS.get(path.suffix.lower())) is None:
        raise UnreadableFile(path, f"unknown kind of network, expected {', '.join(READERS)}")
    return reader(path)


READERS: dict[str, Callable[[Path], Network]] = {".safetensors": read_network}


def load_dataset(spec: str, network: Network, limit: int | None = None, seed: int = 0) -> Dataset:
    """Load data for a network from what the user wrote.

    ``zoo`` draws fresh held-out data of a shipped network (``limit`` of them, 4,096 if it is left out).  A
    file is an array or a table (see `read_arrays`; ``inputs`` and perhaps ``labels``), or a text for a
    byte-level model, cut into stretches that do not overlap.  Raises `InputError`, also for data that do not
    fit the network.
    """
    if spec == "zoo" or spec.startswith("zoo:"):
        from . import zoo

        return zoo.data(spec.partition(":")[2] or network.name, ZOO_DATA if limit is None else limit, seed)
    path = Path(spec)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        dataset = _from_arrays(path, network)
    elif path.suffix.lower() in TEXT_SUFFIXES:
        dataset = _from_text(path, network)
    else:
        raise UnreadableFile(
            path, f"unknown kind of data, expected {', '.join(ARRAY_SUFFIXES)} or a text file"
        )
    dataset = dataset if limit is None else dataset.take(limit)
    network.check(dataset.inputs)
    return dataset


def _from_factory(rest: str, folder: Path) -> Network:
    module_name, _, factory = rest.partition(":")
    if not module_name or not factory:
        raise InputError(f"got python:{rest}, expected python:module:factory")
    with _importable(folder):
        try:
            made = getattr(importlib.import_module(module_name), factory)()
        except (ImportError, AttributeError) as error:
            raise InputError(f"python:{rest} cannot be called: {error}") from error
    if not isinstance(made, Network):
        raise InputError(f"python:{rest} gave a {type(made).__name__}, expected an assay.models.Network")
    return made


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _from_arrays(path: Path, network: Network) -> Dataset:
    arrays = read_arrays(path)
    if "inputs" not in arrays:
        raise UnreadableFile(path, f"holds {', '.join(sorted(arrays))}, expected inputs (and perhaps labels)")
    unit: Literal["sample", "sequence"] = "sequence" if network.input == "token" else "sample"
    return Dataset(path.name, arrays["inputs"], arrays.get("labels"), unit, _file_scope(path))


def _from_text(path: Path, network: Network) -> Dataset:
    if network.input != "token" or network.vocabulary != 256:
        raise InputError(f"{path} is a text, but {network.name!r} does not read bytes (tokens 0..255)")
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    text, n_ctx = path.read_bytes(), network.in_shape[0]
    if len(text) <= n_ctx:
        raise UnreadableFile(path, f"{len(text)} bytes are too few, expected at least {n_ctx + 1}")
    inputs, labels = next_byte_pairs(torch.frombuffer(bytearray(text), dtype=torch.uint8), n_ctx)
    return Dataset(path.name, inputs, labels, "sequence", _file_scope(path))


def next_byte_pairs(text: Tensor, n_ctx: int) -> tuple[Tensor, Tensor]:
    """Cut bytes [m] into stretches [n, n_ctx] that do not overlap, with the byte that follows each: int64."""
    n = (len(text) - 1) // n_ctx
    long = text[: n * n_ctx + 1].long()
    return long[:-1].view(n, n_ctx), long[1:].view(n, n_ctx)


def _file_scope(path: Path) -> Scope:
    return Scope(condition="none", distribution=f"the data of {path.name}")
