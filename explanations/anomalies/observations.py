"""What detectors see of data: inputs, activations at a site, the model's outputs, and labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Activations, Behaviour, Dataset, Network
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Observations:
    """n data: activations [n · positions, d], outputs, labels and inputs [n, …], where there are any."""

    activations: Tensor | None = None
    positions: int = 1
    outputs: Tensor | None = None
    labels: Tensor | None = None
    inputs: Tensor | None = None

    @property
    def size(self) -> int:
        """n."""
        if self.activations is not None:
            return len(self.activations) // self.positions
        held = self.outputs if self.outputs is not None else self.inputs
        return 0 if held is None else len(held)

    def rows(self) -> Tensor:
        """The activations, or an error."""
        if self.activations is None:
            raise ExplanationError("this detector needs activations: name a site (--site)")
        return self.activations

    def take(self, data: Tensor) -> Observations:
        """Some data, by their numbers [m]."""
        rows = (data[:, None] * self.positions + torch.arange(self.positions)).flatten()
        return Observations(
            None if self.activations is None else self.activations[rows],
            self.positions,
            *(None if held is None else held[data] for held in (self.outputs, self.labels, self.inputs)),
        )

    def by_datum(self, bits: Tensor) -> Tensor:
        """Figures of rows [n · positions], summed over the positions of each datum: [n]."""
        return bits.reshape(self.size, -1).sum(1)

    def split(self, fraction: float, seed: int) -> tuple[Observations, Observations]:
        """Two at random, the first with ``fraction`` of the data."""
        order = torch.randperm(self.size, generator=torch.Generator().manual_seed(seed))
        cut = round(fraction * self.size)
        return self.take(order[:cut]), self.take(order[cut:])


def observe(network: Network, dataset: Dataset, site: str | None) -> Observations:
    """Run the network on the data: activations at the site (CPU, float32) and outputs (CPU)."""
    seen = Behaviour(network, dataset, site)
    assert seen.outputs is not None
    found = seen.activations
    return Observations(
        None if found is None else found.rows[:],
        1 if found is None else found.positions,
        seen.outputs[:].cpu(),
        dataset.labels,
        dataset.inputs,
    )


def observed(activations: Activations) -> Observations:
    """Cached activations as observations, without the network."""
    return Observations(activations.values, activations.positions)
