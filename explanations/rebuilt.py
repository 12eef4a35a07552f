"""The network that a receiver rebuilds from restored parts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.models import Network
from torch import Tensor


class Rebuilt:
    """Puts restored weights into a copy of the network; the last copy is kept, since chunks share it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._source: Mapping[str, Tensor] | None = None
        self._copy = network

    def __call__(self, weights: Mapping[str, Tensor]) -> Network:
        """The network with weights [1, …] by parameter name; those not given are zero, never its own."""
        if self._source is not weights:
            own = self.network.parameters()
            given = {name: weights[name][0].to(value) for name, value in own.items() if name in weights}
            zeros = {name: torch.zeros_like(value) for name, value in own.items() if name not in given}
            self._source, self._copy = weights, self.network.with_weights(given | zeros)
        return self._copy


def positions(network: Network, x: Tensor) -> int:
    """Positions of one datum: its length where the network answers at each of its tokens, else 1."""
    return int(x.shape[1]) if network.input == "token" and network(x[:1]).ndim == 3 else 1


def always(network: Network, x: Tensor, parts: int) -> Tensor:
    """Every part on every position: Boolean [data, positions, parts]."""
    return torch.ones(len(x), positions(network, x), parts, dtype=torch.bool, device=x.device)
