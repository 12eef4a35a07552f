"""A network with some of its weights in parts W = Σ_c L_cᵀ R_c, few of them needed on a datum.

Sources: Braun et al. 2025, arXiv 2501.14926 (APD); Bushnaq et al. 2025, arXiv 2506.20790 (SPD). The parts of
all decomposed weights are numbered through; what is not decomposed is the remainder.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.explanations.rebuilt import Rebuilt
from assay.mdl import Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .importance import Always, Importance
from .masked import Factors, masked, weight_of


class Components:
    """A network with some weights in components, and who needs them.

    ``factors[weight]`` are L [rows of parts, rows] and R [rows of parts, columns]. ``owners[weight]`` says
    which part each belongs to: by default every row is a part of its own, numbered through all weights; parts
    of APD have several rows, over all weights.
    """

    kind = "components"
    donor = "zero"
    open_ended = False

    def __init__(
        self,
        network: Network,
        factors: Mapping[str, tuple[Tensor, Tensor]],
        importance: Importance | None = None,
        name: str = "components",
        about: Mapping[str, object] | None = None,
        owners: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.network, self.factors, self.name = network, dict(factors), name
        self.importance, self.about = importance or Always(), dict(about or {})
        self._rebuilt = Rebuilt(network)
        masked(network, self._factors(self.factors))
        self.owners = dict(owners) if owners is not None else _numbered(self.counts)
        self.parts_count = 1 + max((int(o.max()) for o in self.owners.values() if len(o)), default=-1)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each weight has."""
        return {name: len(L) for name, (L, _) in self.factors.items()}

    def parts(self) -> Parts:
        """L and R rows, and the weights that are not decomposed."""
        tensors, total = [], self.parts_count
        for name, (L, R) in self.factors.items():
            owner = self.owners[name]
            tensors += [PartTensor(f"{name}|L", L, owner), PartTensor(f"{name}|R", R, owner)]
        own = self.network.parameters()
        rest = [one_part(n, value, total) for n, value in own.items() if n not in self.factors]
        return Parts(total, (*tensors, *rest))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The rule's verdict: Boolean [data, positions, parts]."""
        return self.importance.flags(self, x)

    def watched(self, x: Tensor) -> dict[str, Factors]:
        """Run the network itself: each weight's factors, with what they read and their inner activations."""
        factors = self._factors(self.factors)
        for name, f in factors.items():
            f.target = weight_of(self.network, name)
        masked(self.network, factors)(x)
        return factors

    def run(self, x: Tensor, masks: Tensor) -> Tensor:
        """Outputs under masks [data, (positions,) parts], Boolean or numbers; other weights as they are."""
        return self._run(self.network, self.factors, x, masks)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network that the receiver has, with the inactive components switched off."""
        told = {n: (restored[f"{n}|L"], restored[f"{n}|R"]) for n in self.factors}
        by_token = self.network.input == "token"
        return self._run(self._rebuilt(restored), told, x, active if by_token else active[:, 0])

    def _run(
        self, network: Network, pairs: Mapping[str, tuple[Tensor, Tensor]], x: Tensor, masks: Tensor
    ) -> Tensor:
        factors = self._factors(pairs)
        for name, f in factors.items():
            f.mask = masks.index_select(-1, self.owners[name].to(masks.device))
        return masked(network, factors)(x)

    def _factors(self, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Factors]:
        device, dtype = self.network.device, self.network.dtype
        return {n: Factors(L.to(device, dtype), R.to(device, dtype)) for n, (L, R) in pairs.items()}

    def recipe(self) -> dict[str, object]:
        """Where the components came from, and the rule."""
        return {"kind": self.kind, "C": self.parts_count, **self.importance.recipe(), **self.about}


def _numbered(counts: Mapping[str, int]) -> dict[str, Tensor]:
    """Every row is a part of its own."""
    owners, start = {}, 0
    for name, count in counts.items():
        owners[name] = torch.arange(start, start + count)
        start += count
    return owners
