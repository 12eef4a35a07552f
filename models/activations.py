"""Activations at the sites of a network, the same to the last bit whatever the batch size.

Matrix kernels may round differently for different numbers of rows.  The network therefore always runs on
*micro-batches* of one fixed size, the last one filled up with zeros, and a batch is a number of
micro-batches.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from .arrays import read_arrays
from .dataset import Dataset
from .errors import InputError
from .network import Network
from .storage import UnreadableFile, read_safetensors, write_safetensors

__all__ = ["Activations", "Batch", "NotFinite", "best_device", "collect", "micro_batch_size", "stream"]

FORMAT = "assay.activations/1"
MICRO_BATCH_POSITIONS = 4096
MICRO_BATCH_ROWS = 1024
BATCH_ROWS = 16384
"""Rows (data, or positions of sequences) in a batch when the caller leaves the size to us."""

NOT_BY_POSITION = ("hook_attn_scores", "hook_pattern")


class NotFinite(InputError):
    """Activations that hold NaN or infinity."""

    def __init__(self, where: str, values: Tensor) -> None:
        bad = ~values.isfinite()
        first = bad.nonzero()[0].tolist()
        super().__init__(
            f"{where}: {int(bad.sum())} of {bad.numel()} values are NaN or infinite, first at {first}"
        )


@dataclass(frozen=True)
class Batch:
    """Consecutive data: where they start, what went in and came out, what was at each site [b, …]."""

    start: int
    inputs: Tensor
    labels: Tensor | None
    outputs: Tensor
    sites: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Activations:
    """The activations at one site: ``values`` [n, d], float32.

    A sequence gives one row for each of its ``positions``, one after the other.  ``network`` and ``dataset``
    are the digest and the fingerprint of what they came from, or empty where a file does not say.
    """

    values: Tensor
    site: str
    network: str
    dataset: str
    positions: int = 1

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != torch.float32:
            raise InputError(
                f"activations at {self.site!r}: got {self.values.dtype} of shape {tuple(self.values.shape)}, "
                "expected float32 of shape [n, d]"
            )
        if not bool(self.values.isfinite().all()):
            raise NotFinite(f"activations at {self.site!r}", self.values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def rows(self) -> Tensor:
        """The values: all rows are there."""
        return self.values

    def take(self, data: int) -> Activations:
        """The activations of the first data."""
        return replace(self, values=self.values[: data * self.positions])

    def save(self, path: Path | str) -> None:
        """Write to a safetensors file, whole or not at all."""
        about = {
            "site": self.site,
            "network": self.network,
            "dataset": self.dataset,
            "positions": self.positions,
        }
        write_safetensors({"values": self.values}, {FORMAT: json.dumps(about)}, path)

    @classmethod
    def load(cls, path: Path | str) -> Activations:
        """Read what `save` wrote, or a plain array [n, d] or [n, positions, d] of
        .npy/.npz/.safetensors/.csv/.parquet.

        Raises `UnreadableFile` or `NotFinite`.
        """
        path = Path(path)
        if path.suffix == ".safetensors":
            tensors, metadata = read_safetensors(path)
            if FORMAT in metadata:
                return cls._ours(path, tensors, metadata[FORMAT])
        return cls._plain(path, read_arrays(path))

    @classmethod
    def _ours(cls, path: Path, tensors: dict[str, Tensor], about: str) -> Activations:
        try:
            return cls(tensors["values"], **json.loads(about))
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableFile(path, f"its description of the activations does not fit: {error}") from error

    @classmethod
    def _plain(cls, path: Path, arrays: dict[str, Tensor]) -> Activations:
        values = arrays.get("inputs", arrays.get("values", arrays.get("activations")))
        if values is None:
            raise UnreadableFile(
                path, f"holds {', '.join(sorted(arrays))}, expected one array, or one called values"
            )
        if values.ndim not in (2, 3) or values.is_complex():
            raise UnreadableFile(
                path,
                f"holds {values.dtype} of shape {tuple(values.shape)}, expected [n, d] or [n, positions, d]",
            )
        positions = values.shape[1] if values.ndim == 3 else 1
        return cls(
            values.reshape(-1, values.shape[-1]).float(),
            site=path.stem,
            network="",
            dataset="",
            positions=positions,
        )


def best_device(device: str = "auto") -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {device!r}, expected auto, cpu, cuda or cuda:0 …") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device!r} is not here: this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return chosen


def micro_batch_size(network: Network, dataset: Dataset) -> int:
    """The number of data run through the network at once: a function of the shape of a datum alone."""
    size = math.prod(dataset.inputs.shape[1:])
    if network.input == "token":
        return max(1, MICRO_BATCH_POSITIONS // size)
    return max(1, min(MICRO_BATCH_ROWS, 2**20 // size))


def stream(
    network: Network,
    dataset: Dataset,
    sites: Sequence[str],
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    micro_batch: int | None = None,
    data: slice | None = None,
) -> Iterator[Batch]:
    """Run a network over a dataset, yielding consecutive batches with what was at ``sites``, on the device.

    ``batch_size`` is in data and is rounded up to whole micro-batches; "auto" begins large and halves
    whenever memory runs out.  Outputs and activations are independent of it.  ``data`` is a stretch of the
    dataset (all of it by default) that begins with a whole micro-batch.  Raises `InputError` for data
    that do not fit and `NotFinite` for activations that are no numbers.
    """
    start, end, _ = (data or slice(None)).indices(len(dataset))
    labels = None if dataset.labels is None else dataset.labels[:end]
    dataset = replace(dataset, inputs=dataset.inputs[:end], labels=labels)
    network.check(dataset.inputs[start:])
    network = network.to(best_device(device))
    micro = micro_batch or micro_batch_size(network, dataset)
    if start % micro:
        raise InputError(f"a stretch of data starts at {start}, expected a multiple of {micro}")
    size = (
        _batch_rows(dataset, micro) if batch_size == "auto" else max(1, math.ceil(batch_size / micro)) * micro
    )
    while start < end:
        try:
            batch = _run(network, dataset, sites, start, size, micro)
        except torch.OutOfMemoryError:
            if batch_size != "auto" or size <= micro:
                raise
            size = max(micro, size // 2 // micro * micro)
            continue
        yield batch
        start += len(batch.inputs)


def collect(
    network: Network,
    dataset: Dataset,
    site: str,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    micro_batch: int | None = None,
) -> Activations:
    """All activations at one site, on the CPU; see `stream` for the arguments."""
    parts, positions = [], 1
    for batch in stream(network, dataset, [site], device, batch_size, micro_batch):
        rows, positions = by_position(network, site, batch.sites[site], batch.inputs)
        parts.append(rows.float().cpu())
    if not parts:
        raise InputError(f"dataset {dataset.name!r} is empty")
    return Activations(torch.cat(parts), site, network.digest, dataset.fingerprint, positions)


def _batch_rows(dataset: Dataset, micro: int) -> int:
    positions = math.prod(dataset.inputs.shape[1:]) if dataset.unit == "sequence" else 1
    return max(1, BATCH_ROWS // max(1, positions) // micro) * micro


@torch.no_grad()
def _run(
    network: Network, dataset: Dataset, sites: Sequence[str], start: int, size: int, micro: int
) -> Batch:
    stop = min(start + size, len(dataset))
    inputs = dataset.inputs[start:stop].to(network.device)
    runs = [network.run(_filled(part, micro), sites) for part in torch.split(inputs, micro)]
    n = stop - start
    found = {site: torch.cat([captured[site] for _, captured in runs])[:n] for site in sites}
    for site, values in found.items():
        if not bool(values.isfinite().all()) and not site.endswith("hook_attn_scores"):
            raise NotFinite(f"activations of {network.name!r} at {site!r}, data {start}..{stop - 1}", values)
    labels = None if dataset.labels is None else dataset.labels[start:stop].to(network.device)
    return Batch(start, inputs, labels, torch.cat([outputs for outputs, _ in runs])[:n], found)


def _filled(part: Tensor, micro: int) -> Tensor:
    if len(part) == micro:
        return part
    return torch.cat([part, part.new_zeros(micro - len(part), *part.shape[1:])])


def by_position(network: Network, site: str, values: Tensor, inputs: Tensor) -> tuple[Tensor, int]:
    """Lay activations [b, …] out as rows [b · positions, d], and say how many positions a datum has."""
    sequence = network.input == "token" and values.ndim > 2 and values.shape[1] == inputs.shape[1]
    if sequence and not site.endswith(NOT_BY_POSITION):
        return values.flatten(0, 1).flatten(1), inputs.shape[1]
    return values.flatten(1) if values.ndim > 1 else values[:, None], 1
