"""Tallies in a file (``assay.tally/1``), so that a run can go on later, and shards can be added up.

Safetensors: the integers are int64 tensors, their structure and what they are about is JSON in the header,
beside a SHA-256 of both. Nothing in it is code. A file is written whole or not at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import answers, joint, mechanism_score, site, tally, target
from .report import write_whole
from .tally import Histogram, Ints, Usage
from .tallying import Tallied, TallyError, check_choices

FORMAT = "assay.tally/1"

KINDS: dict[str, type[Any]] = {
    name: kind
    for module in (tally, joint, target, answers, site, mechanism_score)
    for name, kind in vars(module).items()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.__name__
    if name.endswith("Tally") or kind in (Histogram, Usage, joint.Joint)
}
"""What a tally is made of; a file names its classes, and only these are built from it."""


@dataclass(frozen=True, eq=False)
class TallyFile:
    """``about``: what was tallied (digests, the question); ``entries``: one tally for each explanation."""

    about: dict[str, Any]
    entries: dict[str, Tallied[Any]] = field(default_factory=dict)

    def __add__(self, other: TallyFile) -> TallyFile:
        check_choices(other.about, self.about)
        entries = dict(self.entries)
        for key, tallied in other.entries.items():
            entries[key] = entries[key] + tallied if key in entries else tallied
        return TallyFile(self.about, entries)

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        from safetensors.numpy import save

        arrays: list[Ints] = []
        entries = {key: _encoded_entry(tallied, arrays) for key, tallied in self.entries.items()}
        told = json.dumps({"about": self.about, "entries": entries}, sort_keys=True)
        arrays = arrays or [np.zeros(0, dtype=np.int64)]  # safetensors wants something to hold
        tensors = {str(i): np.ascontiguousarray(array) for i, array in enumerate(arrays)}
        signed = json.dumps({"sha256": _digest(told, tensors), "tallies": told})
        write_whole(path, save(tensors, {FORMAT: signed}))

    @classmethod
    def load(cls, path: Path) -> TallyFile:
        """Read what :meth:`save` wrote; raises :class:`TallyError` that names the file and what is wrong."""
        tensors, metadata = _read(path)
        if FORMAT not in metadata:
            raise TallyError(f"{path}: its header has {', '.join(metadata) or 'nothing'}, expected {FORMAT}")
        try:
            signed = json.loads(metadata[FORMAT])
            if signed["sha256"] != _digest(signed["tallies"], tensors):
                raise TallyError("its checksum does not fit: the file is damaged")
            document = json.loads(signed["tallies"])
            entries = {key: _decoded_entry(node, tensors) for key, node in document["entries"].items()}
            return cls(dict(document["about"]), entries)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise TallyError(f"{path}: no tallies can be read from it ({error})") from error


def _read(path: Path) -> tuple[dict[str, Ints], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise TallyError(f"{path}: there is no such file of tallies") from error
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise TallyError(f"{path}: not a file of tallies ({error})") from error


def _digest(told: str, tensors: Mapping[str, Ints]) -> str:
    sha = hashlib.sha256(told.encode())
    for name, array in sorted(tensors.items()):
        sha.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def _encoded_entry(tallied: Tallied[Any], arrays: list[Ints]) -> dict[str, Any]:
    blocks = {str(block): _encoded(tally, arrays) for block, tally in sorted(tallied.blocks.items())}
    done = _encoded(tallied.done.astype(np.int64), arrays)
    return {"choices": dict(tallied.choices), "done": done, "blocks": blocks}


def _decoded_entry(node: Any, tensors: Mapping[str, Ints]) -> Tallied[Any]:
    done = _decoded(node["done"], tensors)
    blocks = {int(block): _decoded(tally, tensors) for block, tally in node["blocks"].items()}
    if not isinstance(done, np.ndarray) or done.ndim != 1 or not np.isin(done, (0, 1)).all():
        raise TallyError("which chunks are done is not told by zeros and ones")
    if any(type(tally).__name__ not in KINDS for tally in blocks.values()):
        raise TallyError("a block holds something else than a tally")
    return Tallied(dict(node["choices"]), done.astype(bool), blocks)


def _encoded(value: Any, arrays: list[Ints]) -> Any:
    """JSON for a tally: arrays go to the list, and are named by their place in it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.ndarray):
        arrays.append(value.astype(np.int64))
        return {"array": str(len(arrays) - 1)}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": {key: _encoded(item, arrays) for key, item in sorted(value.items())}}
    if hasattr(value, "tocoo"):
        return {"sparse": [_encoded(part, arrays) for part in _coordinates(value)]}
    if type(value).__name__ not in KINDS:
        raise TypeError(f"{type(value).__name__} is not made of tallies")
    fields = {f.name: _encoded(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
    return {"kind": type(value).__name__, "fields": fields}


def _coordinates(matrix: Any) -> tuple[Ints, Ints, Ints, Ints]:
    found = matrix.tocoo()
    order = np.lexsort((found.col, found.row))
    return found.row[order], found.col[order], found.data[order], np.array(found.shape)


def _decoded(node: Any, tensors: Mapping[str, Ints]) -> Any:
    if node is None or isinstance(node, bool | int | str):
        return node
    if not isinstance(node, dict):
        raise TallyError(f"a tally holds {type(node).__name__}")
    if "array" in node:
        return _array(tensors[node["array"]])
    if "tuple" in node:
        return tuple(_decoded(item, tensors) for item in node["tuple"])
    if "dict" in node:
        return {str(key): _decoded(item, tensors) for key, item in node["dict"].items()}
    if "sparse" in node:
        return _matrix(*(_decoded(part, tensors) for part in node["sparse"]))
    fields = {name: _decoded(item, tensors) for name, item in node["fields"].items()}
    return _checked(KINDS[node["kind"]](**fields))


def _array(array: Ints) -> Ints:
    if array.dtype != np.int64 or array.ndim != 1:
        raise TallyError(f"an array is {array.dtype} of shape {array.shape}, expected int64 of one axis")
    return array


def _matrix(row: Ints, column: Ints, count: Ints, shape: Ints) -> Any:
    from scipy.sparse import csr_array

    return csr_array((count, (row, column)), shape=(int(shape[0]), int(shape[1])))


def _checked(value: Any) -> Any:
    """Refuse fields of another type than the class says, and counts that no data can have."""
    for f in dataclasses.fields(value):
        found, wanted = getattr(value, f.name), _TYPES.get(str(f.type).partition(" |")[0])
        optional = found is None and "None" in str(f.type)
        if wanted is not None and not optional and not isinstance(found, wanted):
            raise TallyError(f"{f.name} of a {type(value).__name__} is a {type(found).__name__}")
    if isinstance(value, Histogram):
        ascending = bool((np.diff(value.symbols) > 0).all())
        if value.symbols.size != value.counts.size or not ascending or bool((value.counts <= 0).any()):
            raise TallyError("a histogram is out of order, or holds counts that are not positive")
    if (
        isinstance(value, Usage)
        and value.parts
        and not 0 <= value.counts.min() <= value.counts.max() <= value.n
    ):
        raise TallyError(f"parts are used on more than the {value.n} rows there are, or less than never")
    return value


_TYPES: dict[str, type[Any]] = {
    "Histogram": Histogram,
    "Usage": Usage,
    "Joint": joint.Joint,
    "Ints": np.ndarray,
    "int": int,
    "tuple[int, ...]": tuple,
    "dict[str, int]": dict,
}
