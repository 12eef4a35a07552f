"""Datasets by the short names that a command line uses: arrays, tables, token ids and texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from .arrays import ARRAY_SUFFIXES, read_arrays
from .dataset import Dataset, Scope
from .errors import InputError
from .formats.decompositions import is_run
from .formats.run_data import draw_run_data
from .network import Network
from .storage import UnreadableFile

__all__ = ["load_dataset", "next_token_pairs"]

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst", ".py", ".json", ".jsonl", ".log", "")
INPUTS = ("inputs", "input_ids", "tokens")
"""What the array of inputs may be called."""
STRETCH = 1024
"""Tokens in a stretch of a text or of a long array, for networks that read more."""
ZOO_DATA = 4096
"""Data drawn from a shipped network's own distribution when the caller sets no limit."""


def load_dataset(spec: str, network: Network, limit: int | None = None, seed: int = 0) -> Dataset:
    """Load data for a network from what the user wrote.

    ``zoo`` draws fresh held-out data of a shipped network or a compiled program (``limit`` of them, 4,096 if
    it is left out), the folder of a decomposition run draws as that run did.  A file is an array or a table
    (see `read_arrays`; ``inputs``, ``input_ids`` or ``tokens``, and perhaps ``labels``), or a text, which the
    network's tokenizer (or the bytes, for a byte-level model) turns into tokens.  Texts and one long array of
    tokens are cut into stretches that do not overlap, labelled with the token that follows each.  Raises
    `InputError`, also for data that do not fit the network.
    """
    if spec == "zoo" or spec.startswith("zoo:"):
        return _drawn(spec.partition(":")[2] or network.name, ZOO_DATA if limit is None else limit, seed)
    path = Path(spec)
    if path.is_dir() and is_run(path):
        return draw_run_data(path, network, ZOO_DATA if limit is None else limit, seed)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        dataset = _from_arrays(path, network)
    elif path.suffix.lower() in TEXT_SUFFIXES:
        dataset = _stretches(path, _from_text(path, network), network)
    else:
        raise UnreadableFile(
            path, f"unknown kind of data, expected {', '.join(ARRAY_SUFFIXES)} or a text file"
        )
    dataset = dataset if limit is None else dataset.take(limit)
    network.check(dataset.inputs)
    return dataset


def _drawn(name: str, n: int, seed: int) -> Dataset:
    from . import programs, zoo

    kind, _, program = name.partition("-")
    known = kind == "program" and program in programs.PROGRAMS
    return programs.PROGRAMS[program]().data(n, seed) if known else zoo.data(name, n, seed)


def _from_arrays(path: Path, network: Network) -> Dataset:
    arrays = read_arrays(path)
    inputs = next((arrays[name] for name in INPUTS if name in arrays), None)
    if inputs is None:
        raise UnreadableFile(path, f"holds {', '.join(sorted(arrays))}, expected inputs (and perhaps labels)")
    _refuse_padding(path, arrays)
    if network.input == "token" and inputs.ndim == 1:
        return _stretches(path, inputs, network)
    unit: Literal["sample", "sequence"] = "sequence" if network.input == "token" else "sample"
    labels = arrays.get("labels", arrays.get("label"))
    return Dataset(path.name, inputs, labels, unit, _file_scope(path))


def _refuse_padding(path: Path, arrays: Mapping[str, Tensor]) -> None:
    mask = arrays.get("attention_mask")
    if mask is not None and not bool(mask.bool().all()):
        raise UnreadableFile(
            path, "its attention_mask has zeros: rows are padded; expected rows of equal length"
        )


def _from_text(path: Path, network: Network) -> Tensor:
    """The tokens of a text [m]."""
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    if network.tokenizer is not None:
        return _tokenized(path, network.tokenizer)
    if network.input != "token" or network.vocabulary != 256:
        raise InputError(
            f"{path} is a text, but {network.name!r} does not read bytes (tokens 0..255) and has no "
            "tokenizer.json beside its weights"
        )
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)


def _tokenized(path: Path, tokenizer: Path) -> Tensor:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise InputError(
            f"{path} is a text; {tokenizer.name} needs the package tokenizers (pip install assay-nn[hf])"
        ) from error
    try:
        reader = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # the library raises nothing more special
        raise UnreadableFile(tokenizer, f"not a tokenizer ({error})") from error
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(path, f"not a text in UTF-8 ({error})") from error
    return torch.tensor(reader.encode(text, add_special_tokens=False).ids, dtype=torch.int64)


def _stretches(path: Path, tokens: Tensor, network: Network) -> Dataset:
    length = min(network.in_shape[0], STRETCH)
    if len(tokens) <= length:
        what = "bytes" if tokens.dtype == torch.uint8 else "tokens"
        raise UnreadableFile(path, f"{len(tokens)} {what} are too few, expected at least {length + 1}")
    inputs, labels = next_token_pairs(tokens, length)
    return Dataset(path.name, inputs, labels, "sequence", _file_scope(path))


def next_token_pairs(tokens: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Cut tokens [m] into stretches [n, length] without overlap, and the token after each: int64."""
    n = (len(tokens) - 1) // length
    long = tokens[: n * length + 1].long()
    return long[:-1].view(n, length), long[1:].view(n, length)


def _file_scope(path: Path) -> Scope:
    return Scope(condition="none", distribution=f"the data of {path.name}")
