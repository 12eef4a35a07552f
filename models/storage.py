"""Networks in one safetensors file: the weights, and in its metadata how they are put together.

Reading never runs code from the file: the architecture is plain JSON, built from a closed list of modules.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from .architectures import build, describe
from .errors import InputError
from .network import Network

__all__ = [
    "FORMAT",
    "UnreadableFile",
    "read_metadata",
    "read_network",
    "read_safetensors",
    "save",
    "write_safetensors",
    "write_whole",
]

FORMAT = "assay.network/1"
"""The one key of the metadata.  A second one would come in either order, and files would differ by chance."""


class UnreadableFile(InputError):
    """A file that is missing, cut short, or not of the format that its name promises."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"cannot read {path}: {problem}")
        self.path = path


def save(network: Network, path: Path | str) -> None:
    """Write the network whole or not at all.  Raises `InputError` for an architecture that is not ours."""
    about = {
        "name": network.name,
        "output": network.output,
        "input": network.input,
        "in_shape": network.in_shape,
        "vocabulary": network.vocabulary,
        "architecture": describe(network.module),
    }
    write_safetensors(network.module.state_dict(), {FORMAT: json.dumps(about)}, path)


def write_safetensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path | str) -> None:
    """Write tensors and metadata to a safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(Path(path), serialise(plain, metadata))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a temporary file first, which is then renamed."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read every tensor (on the CPU) and the metadata.  Raises `UnreadableFile`."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file alone.  Raises `UnreadableFile`."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise UnreadableFile(path, f"not a whole safetensors file ({error})") from error


def read_network(path: Path) -> Network:
    """Read what `save` wrote.  Raises `UnreadableFile`, naming every tensor that is missing or misshapen."""
    tensors, metadata = read_safetensors(path)
    if FORMAT not in metadata:
        raise UnreadableFile(path, f"its metadata have no key {FORMAT!r} (is it from models.save?)")
    try:
        about = json.loads(metadata[FORMAT])
        return _assembled(about, tensors)
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(path, f"its description of the network does not fit: {error}") from error


def _assembled(about: dict[str, Any], tensors: dict[str, Tensor]) -> Network:
    with torch.device("meta"):
        module = build(about["architecture"])
    want = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    got = {name: tuple(t.shape) for name, t in tensors.items()}
    if wrong := [
        f"{n} {got.get(n)} for {want.get(n)}" for n in sorted(want | got) if got.get(n) != want.get(n)
    ]:
        raise InputError("tensors (got for expected): " + "; ".join(wrong[:8]))
    module.load_state_dict(tensors, assign=True)
    return Network(
        name=about["name"],
        module=module,
        output=about["output"],
        input=about["input"],
        in_shape=tuple(about["in_shape"]),
        vocabulary=about["vocabulary"],
    )
