"""Networks by the short names that a command line or a claim file uses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .errors import InputError
from .formats.decompositions import is_run, read_run
from .formats.hugging_face import is_hugging_face, read_hugging_face
from .formats.transformer_lens import is_transformer_lens, read_transformer_lens
from .network import Network
from .state_dicts import PICKLE_SUFFIXES, read_state_dict
from .storage import FORMAT, UnreadableFile, read_metadata, read_network

__all__ = ["load"]


def load(spec: str, base: Path | None = None) -> Network:
    """Load a network from what the user wrote.

    ``zoo:NAME`` is one of the shipped networks, ``program:NAME`` a compiled program (:mod:`.programs`),
    ``python:module:factory`` calls the user's own function (this
    runs its code) and anything else is a path, relative to ``base``: our own file, a state dict of
    TransformerLens, an ONNX file, the folder of a Hugging Face model or of a decomposition run.  What it is
    shows from its content.  Raises `InputError`.
    """
    scheme, _, rest = spec.partition(":")
    if scheme == "zoo":
        from . import zoo

        return zoo.load(rest)
    if scheme == "program":
        from . import programs

        return programs.load(rest).network
    if scheme == "python":
        return _from_factory(rest, base or Path.cwd())
    path = (base or Path()) / spec
    if is_run(path):
        return read_run(path)
    if not path.exists():
        raise UnreadableFile(
            path, "there is no such file (nor is it zoo:NAME, program:NAME or python:module:factory)"
        )
    if path.is_dir():
        return _from_folder(path)
    if (reader := READERS.get(path.suffix.lower())) is None:
        raise UnreadableFile(path, f"unknown kind of network, expected {', '.join(READERS)} or a folder")
    return reader(path)


def _from_folder(folder: Path) -> Network:
    if is_hugging_face(folder):
        return read_hugging_face(folder)
    raise UnreadableFile(
        folder, "no folder of a Hugging Face model (config.json with a model_type) or of a decomposition run"
    )


def _from_safetensors(path: Path) -> Network:
    return read_network(path) if FORMAT in read_metadata(path) else _from_state_dict(path)


def _from_state_dict(path: Path) -> Network:
    tensors = read_state_dict(path)
    if not is_transformer_lens(tensors):
        names = ", ".join(sorted(tensors)[:6])
        raise UnreadableFile(
            path,
            f"holds {names} …: neither a network of ours (no key {FORMAT!r} in the metadata of a safetensors "
            "file) nor a TransformerLens state dict (embed.W_E, blocks.0.attn.W_Q, unembed.W_U …)",
        )
    tokenizer = path.with_name("tokenizer.json")
    return replace(read_transformer_lens(path, tensors), tokenizer=tokenizer if tokenizer.is_file() else None)


def _from_onnx(path: Path) -> Network:
    from .formats.onnx import read_onnx

    try:
        return read_onnx(path)
    except ModuleNotFoundError as error:
        raise UnreadableFile(
            path, f"it needs the package {error.name} (pip install assay-nn[onnx])"
        ) from error


READERS: dict[str, Callable[[Path], Network]] = {
    ".safetensors": _from_safetensors,
    ".onnx": _from_onnx,
    **dict.fromkeys(PICKLE_SUFFIXES, _from_state_dict),
}


def _from_factory(rest: str, folder: Path) -> Network:
    module_name, _, factory = rest.partition(":")
    if not module_name or not factory:
        raise InputError(f"got python:{rest}, expected python:module:factory")
    with _importable(folder):
        try:
            made = getattr(importlib.import_module(module_name), factory)()
        except (ImportError, AttributeError) as error:
            raise InputError(f"python:{rest} cannot be called: {error}") from error
        except Exception as error:  # whatever the user's own code raises
            raise InputError(f"python:{rest} raised {type(error).__name__}: {error}") from error
    if not isinstance(made, Network):
        wrapped = 'Network("name", module, "regression", "real", in_shape=(4,))'
        told = f"python:{rest} gave a {type(made).__name__}, expected an assay.models.Network"
        raise InputError(f"{told}, such as {wrapped}")
    return made


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
