"""What a network does on data, run when it is asked for, and never twice.

Whoever looks at a part of the data runs the network on that part alone: a shard, say, and the first rows on
which steps are chosen. The micro-batches are those of `stream`, so every row is the same to the last bit,
whoever asks and in whatever order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .activations import Activations, NotFinite, by_position, micro_batch_size, stream
from .dataset import Dataset
from .errors import InputError
from .network import Network

Pieces = dict[int, Tensor]
"""What is there already, by the number of the micro-batch."""


class OnDemand:
    """Rows [n, …] that are computed when a slice of them is asked for; ``[:]`` is all of them, a tensor."""

    def __init__(
        self, need: Callable[[range], None], pieces: Pieces, size: int, rows: int, device: torch.device
    ) -> None:
        self._need, self._pieces, self._size = need, pieces, size
        self.device, self.shape = device, torch.Size((rows, *pieces[0].shape[1:]))

    def to(self, device: torch.device) -> OnDemand:
        """The same rows; what is asked for is put on this device."""
        return OnDemand(self._need, self._pieces, self._size, len(self), device)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise InputError(f"rows that are computed on demand come in stretches, got {rows}")
        if stop <= start:
            return self._pieces[0][:0].to(self.device)
        wanted = range(start // self._size, -(-stop // self._size))
        self._need(wanted)
        first = wanted.start * self._size
        found = [self._pieces[i] for i in wanted]
        joined = found[0] if len(found) == 1 else torch.cat(found)
        if len(joined) == len(self) and len(found) > 1:  # what is whole is held once
            self._pieces.update(enumerate(torch.split(joined, self._size)))
        return joined[start - first : stop - first].to(self.device)


@dataclass(frozen=True, eq=False)
class ActivationsOnDemand:
    """`Activations` that are computed as ``rows`` of them are asked for; ``values`` are all of them."""

    rows: OnDemand
    site: str
    network: str
    dataset: str
    positions: int = 1

    @property
    def values(self) -> Tensor:
        """All rows [n, d], float32: the network is run on all data."""
        return self.rows[:]

    def take(self, data: int) -> Activations:
        """The activations of the first data."""
        values = self.rows[: data * self.positions]
        return Activations(values, self.site, self.network, self.dataset, self.positions)

    def __len__(self) -> int:
        return len(self.rows)


class Behaviour:
    """A network on a dataset: its ``outputs`` [data, …], and ``activations`` at a site, where one is named.

    Outputs stay on the network's device, activations on the CPU. ``ran`` holds every stretch of the data that
    was run so far: the first micro-batch at once, as it says how wide things are. Raises what `stream` does.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        site: str | None = None,
        with_outputs: bool = True,
        batch_size: int | Literal["auto"] = "auto",
    ) -> None:
        if not len(dataset):
            raise InputError(f"dataset {dataset.name!r} is empty")
        network.check(dataset.inputs)
        self.network, self.dataset, self.site = network, dataset, site
        self.ran: list[slice] = []
        self._batch_size, self._micro = batch_size, micro_batch_size(network, dataset)
        self._told: Pieces = {}
        self._seen: Pieces = {}
        self._done: set[int] = set()
        self._with_outputs, self._positions = with_outputs, 1
        self._need(range(1))

    @property
    def outputs(self) -> OnDemand | None:
        """The network's own outputs, where they are wanted."""
        if not self._with_outputs:
            return None
        return OnDemand(self._need, self._told, self._micro, len(self.dataset), self.network.device)

    @property
    def activations(self) -> ActivationsOnDemand | None:
        """What is found at the site."""
        if self.site is None:
            return None
        size, count = self._micro * self._positions, len(self.dataset) * self._positions
        rows = OnDemand(self._need, self._seen, size, count, torch.device("cpu"))
        return ActivationsOnDemand(
            rows, self.site, self.network.digest, self.dataset.fingerprint, self._positions
        )

    def _need(self, wanted: range) -> None:
        """Run the micro-batches that are missing, stretch by stretch."""
        missing = [i for i in wanted if i not in self._done]
        for _, group in itertools.groupby(enumerate(missing), key=lambda pair: pair[1] - pair[0]):
            stretch = [i for _, i in group]
            self._run(slice(stretch[0] * self._micro, (stretch[-1] + 1) * self._micro))

    def _run(self, data: slice) -> None:
        sites = [] if self.site is None else [self.site]
        device = str(self.network.device)
        for batch in stream(self.network, self.dataset, sites, device, self._batch_size, data=data):
            first, count = batch.start // self._micro, -(-len(batch.inputs) // self._micro)
            if self._with_outputs:
                self._told.update(enumerate(torch.split(batch.outputs, self._micro), first))
            if self.site is not None:
                self._keep_seen(first, batch.sites[self.site], batch.inputs)
            self._done.update(range(first, first + count))
        self.ran.append(slice(data.start, min(data.stop, len(self.dataset))))

    def _keep_seen(self, first: int, values: Tensor, inputs: Tensor) -> None:
        assert self.site is not None
        rows, self._positions = by_position(self.network, self.site, values, inputs)
        rows = rows.float().cpu()
        if not bool(rows.isfinite().all()):
            raise NotFinite(f"activations at {self.site!r}", rows)
        self._seen.update(enumerate(torch.split(rows, self._micro * self._positions), first))
