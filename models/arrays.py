"""Tensors from files of the common kinds.  Nothing here runs code from a file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .storage import UnreadableFile, read_safetensors

__all__ = ["ARRAY_SUFFIXES", "read_arrays", "read_numpy"]


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Read named tensors from .npy, .npz, .safetensors, .csv or .parquet.

    A file with one unnamed array gives it as "inputs".  A table gives its numeric columns together as
    "inputs" [n, columns], in order, and a column called ``label`` or ``labels`` apart; columns of lists of
    equal length (``input_ids``) stand each under their own name.  Raises `UnreadableFile`.
    """
    if (reader := READERS.get(path.suffix.lower())) is None:
        raise UnreadableFile(path, f"unknown kind of data, expected one of {', '.join(ARRAY_SUFFIXES)}")
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    return reader(path)


def read_numpy(path: Path) -> dict[str, Tensor]:
    """The arrays of an .npz file by name; that of an .npy file is "inputs".  Raises `UnreadableFile`."""
    if not path.is_file():
        raise UnreadableFile(path, "there is no such file")
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"inputs": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableFile(path, f"not a whole NumPy file of plain numbers ({error})") from error
    return {name: _tensor(path, name, array) for name, array in arrays.items()}


def _read_numpy(path: Path) -> dict[str, Tensor]:
    return _named(read_numpy(path))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    return _named(read_safetensors(path)[0])


def _read_table(path: Path) -> dict[str, Tensor]:
    import pandas as pd

    read: Callable[[Path], pd.DataFrame] = pd.read_csv if path.suffix.lower() == ".csv" else pd.read_parquet
    try:
        table = read(path)
    except ImportError as error:
        raise UnreadableFile(path, f"reading it needs another package ({error})") from error
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(path, f"not a table ({error})") from error
    nested = {str(c): _stacked(path, str(c), table[c]) for c in table if _is_nested(table[c])}
    table = table.drop(columns=[c for c in table if str(c) in nested])
    if nested:  # a data set of token ids, whose other columns may be texts
        table = table.select_dtypes("number")
    if words := [str(c) for c in table if not pd.api.types.is_numeric_dtype(table[c])]:
        raise UnreadableFile(
            path, f"column(s) {', '.join(words[:5])} do not hold numbers (a header is expected)"
        )
    label = [c for c in table if c in ("label", "labels")]
    arrays: dict[str, np.ndarray] = {"labels": table[label[0]].to_numpy()} if label else {}
    arrays |= nested or {"inputs": table.drop(columns=label).to_numpy()}
    return {name: _tensor(path, name, array) for name, array in arrays.items()}


def _is_nested(column: Any) -> bool:
    """Whether a column of a table holds lists."""
    return column.dtype == object and len(column) > 0 and isinstance(column.iloc[0], list | np.ndarray)


def _stacked(path: Path, name: str, column: Any) -> np.ndarray:
    lengths = sorted({len(row) if isinstance(row, list | np.ndarray) else 0 for row in column})
    if len(lengths) != 1:
        raise UnreadableFile(
            path, f"column {name!r} has rows of {lengths[0]} to {lengths[-1]} entries, expected equal lengths"
        )
    return np.stack([np.asarray(row) for row in column])


def _named(arrays: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": next(iter(arrays.values()))} if len(arrays) == 1 else arrays


def _tensor(path: Path, name: str, array: np.ndarray | bytes) -> Tensor:
    if isinstance(array, bytes):  # a member of the archive that is no array
        raise UnreadableFile(path, f"{name!r} in it is no array of numbers")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:  # torch hardly computes with these
        if array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise UnreadableFile(
                path, f"array {name!r} holds {array.max()}, more than 64 bits with a sign hold"
            )
        array = array.astype(np.int64)
    try:
        return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))
    except TypeError as error:
        raise UnreadableFile(path, f"array {name!r} of type {array.dtype} cannot be a tensor") from error


READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".safetensors": _read_safetensors,
    ".csv": _read_table,
    ".parquet": _read_table,
}

ARRAY_SUFFIXES = tuple(READERS)
