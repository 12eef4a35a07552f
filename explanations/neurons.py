"""The neuron basis: at a site its coordinates; as a mechanism its neurons with their in and out weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from assay.mdl import Code, Dictionary, Parts, PartTensor, one_part
from assay.models import Intervention, Network
from assay.models.units import unit_sites, unit_weights
from torch import Tensor

from .errors import ExplanationError
from .rebuilt import Rebuilt, positions


class NeuronBasis:
    """Site setting: every coordinate is a part, the dictionary is the identity."""

    kind = "neurons"
    open_ended = False

    def __init__(self, width: int, name: str = "neuron basis") -> None:
        self.width, self.name = width, name

    def dictionary(self) -> Dictionary:
        """Nothing but the width."""
        return Dictionary(None, torch.zeros(self.width))

    def code(self, x: Tensor) -> Code:
        """The coordinates themselves."""
        return Code.dense(x)

    def recipe(self) -> dict[str, object]:
        """Nothing was chosen."""
        return {"kind": self.kind}


class Neurons:
    """Mechanism setting: one part per neuron, its in and out weights; the rest of the network is sent.

    A neuron that is off (its activation is 0, as behind a ReLU) need not be told.
    """

    kind = "neurons"
    donor = "zero"
    open_ended = False

    def __init__(self, network: Network, sites: Sequence[str] | None = None, name: str = "neurons") -> None:
        self.network, self.name = network, name
        self.sites = tuple(sites or unit_sites(network))
        if not self.sites:
            raise ExplanationError(f"{network.name!r} has no neurons with weights of their own")
        self.axes = _claims({site: unit_weights(network, site) for site in self.sites})
        self._own = network.parameters()
        self.sizes = [self._size(site) for site in self.sites]
        self._rebuilt = Rebuilt(network)
        self._full: tuple[Mapping[str, Tensor] | None, dict[str, Tensor]] = (None, {})

    def _size(self, site: str) -> int:
        name, axis = next(iter(unit_weights(self.network, site).items()))
        return int(self._own[name].shape[axis])

    def parts(self) -> Parts:
        """Slices of the weights, one owner per neuron."""
        tensors, start, count = [], 0, sum(self.sizes)
        for site, size in zip(self.sites, self.sizes, strict=True):
            owner = torch.arange(start, start + size)
            for name, axis in self.axes[site].items():
                tensors.append(PartTensor(name, self._own[name].movedim(axis, 0), owner))
            start += size
        sliced = {tensor.name for tensor in tensors}
        rest = [one_part(n, value, count) for n, value in self._own.items() if n not in sliced]
        return Parts(count, (*tensors, *rest))

    def _weights(self, restored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Restored slices put back along their axes."""
        if self._full[0] is not restored:
            axis_of = {name: axis for axes in self.axes.values() for name, axis in axes.items()}
            full = {
                name: (value.movedim(0, axis_of[name])[None] if name in axis_of else value)
                for name, value in restored.items()
            }
            self._full = (restored, full)
        return self._full[1]

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Neurons that are not off in the network as it is sent: [data, positions, neurons]."""
        _, seen = self._rebuilt(self._weights(restored)).run(x, capture=self.sites)
        length = positions(self.network, x)
        per_site = [_by_position(seen[site] != 0, len(x), length) for site in self.sites]
        return torch.cat(per_site, dim=-1)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with every inactive neuron at zero."""
        masks = dict(zip(self.sites, torch.split(active, self.sizes, dim=-1), strict=True))
        network = self._rebuilt(self._weights(restored))
        return network.patched(x, {site: _gate(mask) for site, mask in masks.items()})

    def recipe(self) -> dict[str, object]:
        """The sites."""
        return {"kind": self.kind, "sites": list(self.sites)}


def _claims(axes: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Each weight belongs to the first site that it touches, so that none is sent twice."""
    taken: set[str] = set()
    claims = {}
    for site, names in axes.items():
        claims[site] = {name: axis for name, axis in names.items() if name not in taken}
        taken |= names.keys()
    return claims


def _by_position(on: Tensor, data: int, length: int) -> Tensor:
    """[data, (positions,) units] as [data, length, units]; positions that are not told apart are joined."""
    rows = on.reshape(data, -1, on.shape[-1])
    return rows if rows.shape[1] == length else rows.any(1, keepdim=True).expand(-1, length, -1)


def _gate(mask: Tensor) -> Intervention:
    """Zero where the mask [data, positions, units] is off; one position is spread over all."""

    def gated(activation: Tensor) -> Tensor:
        return activation * (mask if activation.ndim == 3 else mask[:, 0])

    return gated
