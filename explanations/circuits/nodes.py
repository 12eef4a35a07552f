"""Circuits of units: heads and neurons that are kept; the others stand at their mean.

The means are folded into biases that are sent anyway, so nothing has to be told about what was pruned. Where
no bias is added behind the units (Llama, Gemma) they stand at zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.explanations.rebuilt import Rebuilt, always
from assay.mdl import Parts, PartTensor, one_part
from assay.models import Intervention, Network
from assay.models.units import unit_sites, unit_weights
from torch import Tensor

from .weights import counts, largest


class NodeCircuit:
    """A transformer or MLP with some heads and neurons kept; the others stand at their mean."""

    kind = "circuit"
    donor = "zero"
    open_ended = False

    def __init__(
        self,
        network: Network,
        kept: Mapping[str, Tensor],
        means: Mapping[str, Tensor],
        name: str = "circuit",
        about: Mapping[str, object] | None = None,
    ) -> None:
        self.network, self.kept, self.means = network, dict(kept), means
        self.name, self.about = name, dict(about or {})
        axes = {site: unit_weights(network, site) for site in self.kept}
        self._slices = {name: (site, axis) for site, names in axes.items() for name, axis in names.items()}
        self._rebuilt = Rebuilt(network)
        self._source: Mapping[str, Tensor] | None = None
        self._full: dict[str, Tensor] = {}

    def parts(self) -> Parts:
        """Which units are kept, their slices of the weights, and the rest with the means folded in."""
        tensors: list[PartTensor] = [one_part(f"kept|{s}", kept, 0) for s, kept in self.kept.items()]
        for name, weight in self._folded().items():
            site, axis = self._slices.get(name, ("", 0))
            value = weight.movedim(axis, 0)[self.kept[site]] if site else weight
            tensors.append(one_part(name, value, 0))
        return Parts(1, tuple(tensors))

    def _folded(self) -> dict[str, Tensor]:
        """Parameters, with what the pruned units write on average added to the bias behind them."""
        own = self.network.parameters()
        for site, kept in self.kept.items():
            writes, bias = _behind(self.network, site)
            if bias in own:
                mean = self.means[site].clone()
                mean[kept] = 0.0
                W = own[writes].T if writes.endswith(".weight") else own[writes].flatten(0, -2)
                own[bias] = own[bias] + mean.flatten() @ W
        return own

    def _weights(self, restored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Restored slices at their places, zero elsewhere."""
        if self._source is not restored:
            self._source, self._full = restored, dict(restored)
            for name, (site, axis) in self._slices.items():
                shape = self.network.parameters()[name].movedim(axis, 0).shape
                full = restored[name].new_zeros(shape)
                full[restored[f"kept|{site}"][0]] = restored[name][0]
                self._full[name] = full.movedim(0, axis)[None]
        return self._full

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Always."""
        return always(self.network, x, 1)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with the kept units."""
        return self._rebuilt(self._weights(restored))(x)

    def recipe(self) -> dict[str, object]:
        """How many units of how many, and how they were found."""
        kept, of = counts(self.kept)
        return {"kind": self.kind, "nodes": kept, "of": of, **self.about}


def _behind(network: Network, site: str) -> tuple[str, str]:
    """The weight that reads a site's units, and the bias that is added behind it."""
    prefix = site.rpartition(".")[0]
    if site.endswith("hook_z"):
        return f"{prefix}.W_O", f"{prefix}.b_O"
    if site.endswith("hook_post"):
        return f"{prefix}.W_out", f"{prefix}.b_out"
    reads = [name for name, axis in unit_weights(network, site).items() if axis == 1]
    return reads[0], f"{reads[0].removesuffix('.weight')}.bias"


def attribute(network: Network, inputs: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """First-order effect of zeroing each unit on the log-probability of the model's own answer, and means.

    E |Σ_positions a · ∂ log p(ŷ)/∂a| per unit (attribution patching: Nanda 2023; Syed et al. 2023), over
    inputs [n, …]. Gives {site: score [units]} and {site: mean activation [units, …]}, zero where no bias is
    added behind the units that could hold what they write.
    """
    own = network.parameters()
    seen: dict[str, Tensor] = {}
    with torch.enable_grad():
        patches = {site: _watch(seen, site) for site in unit_sites(network, heads=True)}
        log_p = network.patched(inputs, patches).log_softmax(-1)
        gradients = torch.autograd.grad(log_p.amax(-1).sum(), list(seen.values()))
    scores, means = {}, {}
    for (site, a), gradient in zip(seen.items(), gradients, strict=True):
        effect = a.detach() * gradient
        per_unit = effect.sum(-1) if site.endswith("hook_z") else effect
        scores[site] = per_unit.reshape(len(inputs), -1, per_unit.shape[-1]).sum(1).abs().mean(0)
        units = a.shape[-2:] if site.endswith("hook_z") else a.shape[-1:]
        held = _behind(network, site)[1] in own
        means[site] = a.detach().reshape(-1, *units).mean(0) * held
    return scores, means


def _watch(seen: dict[str, Tensor], site: str) -> Intervention:
    def keep(activation: Tensor) -> Tensor:
        seen[site] = activation if activation.requires_grad else activation.requires_grad_()
        return seen[site]

    return keep


def prune_by_attribution(network: Network, inputs: Tensor, keep: float, name: str = "circuit") -> NodeCircuit:
    """Keep the ``keep`` (0..1) of all heads and neurons with the largest attribution per number sent."""
    scores, means = attribute(network, inputs)
    kept = largest(worth(network, scores), keep)
    return NodeCircuit(network, kept, means, name, {"method": "attribution", "keep": keep})


def worth(network: Network, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores of units by site, per number that the weights of a unit hold."""
    own = network.parameters()
    numbers = {
        site: sum(own[n].numel() / own[n].shape[a] for n, a in unit_weights(network, site).items())
        for site in scores
    }
    return {site: score / numbers[site] for site, score in scores.items()}
