"""Parameter components (APD, SPD style): a weight as a sum of rank-1 parts, few of them needed on a datum.

Sources: Braun et al. 2025, arXiv 2501.14926 (APD); Bushnaq et al. 2025, arXiv 2506.20790 (SPD). The parts of
all decomposed weights are numbered through; what is not decomposed is the remainder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from assay.mdl import Parts, PartTensor, one_part
from assay.models import Network, Superposition
from torch import Tensor

from .errors import ExplanationError
from .masked import Factors, masked
from .rebuilt import Rebuilt, positions


class Importance(Protocol):
    """Which components a datum needs, judged from their inner activations on the full network."""

    def __call__(self, weight: str, inner: Tensor) -> Tensor:
        """Inner activations [..., C] of one weight's components to Boolean [..., C]."""

    def recipe(self) -> dict[str, object]:
        """How it decides."""


@dataclass(frozen=True)
class Always:
    """Everything is relevant."""

    def __call__(self, weight: str, inner: Tensor) -> Tensor:
        """True."""
        return torch.ones_like(inner, dtype=torch.bool)

    def recipe(self) -> dict[str, object]:
        """The rule's name."""
        return {"active": "always"}


@dataclass(frozen=True)
class Reads:
    """A component is needed where what it reads exceeds ``threshold`` in magnitude."""

    threshold: float = 0.0

    def __call__(self, weight: str, inner: Tensor) -> Tensor:
        """|inner| > threshold."""
        return inner.abs() > self.threshold

    def recipe(self) -> dict[str, object]:
        """The rule and its threshold."""
        return {"active": "reads", "threshold": self.threshold}


@dataclass(frozen=True, eq=False)
class Gates:
    """SPD's causal importance functions: one small MLP per component on its inner activation.

    ``weights[name]`` holds mlp_in, in_bias, mlp_out [C, hidden] and out_bias [C]; needed where the
    importance exceeds ``threshold``.
    """

    weights: Mapping[str, Mapping[str, Tensor]]
    threshold: float = 0.1

    def importance(self, weight: str, inner: Tensor) -> Tensor:
        """Hard sigmoid of the gate, in [0, 1]."""
        g = {key: value.to(inner) for key, value in self.weights[weight].items()}
        hidden = torch.nn.functional.gelu(inner[..., None] * g["mlp_in"] + g["in_bias"])
        return ((hidden * g["mlp_out"]).sum(-1) + g["out_bias"]).clamp(0, 1)

    def __call__(self, weight: str, inner: Tensor) -> Tensor:
        """Importance above the threshold."""
        return self.importance(weight, inner) > self.threshold

    def recipe(self) -> dict[str, object]:
        """The rule and its threshold."""
        return {"active": "gates", "threshold": self.threshold}


class Components:
    """A network with some weights in rank-1 components W = Σ_c L_c R_cᵀ, and who needs them."""

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
    ) -> None:
        self.network, self.factors, self.name = network, dict(factors), name
        self.importance, self.about = importance or Always(), dict(about or {})
        self._rebuilt = Rebuilt(network)
        masked(network, self._factors(self.factors))

    @property
    def counts(self) -> dict[str, int]:
        """How many components each weight has."""
        return {name: len(L) for name, (L, _) in self.factors.items()}

    def parts(self) -> Parts:
        """L and R rows, and the weights that are not decomposed."""
        tensors, start, total = [], 0, sum(self.counts.values())
        for name, (L, R) in self.factors.items():
            owner = torch.arange(start, start + len(L))
            tensors += [PartTensor(f"{name}|L", L, owner), PartTensor(f"{name}|R", R, owner)]
            start += len(L)
        own = self.network.parameters()
        rest = [one_part(n, value, total) for n, value in own.items() if n not in self.factors]
        return Parts(total, (*tensors, *rest))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The rule's verdict on the full network: [data, positions, C]."""
        factors = self._factors(self.factors)
        masked(self.network, factors)(x)
        length = positions(self.network, x)
        flags = []
        for name, f in factors.items():
            assert f.inner is not None
            on = self.importance(name, f.inner)
            flags.append(on if on.ndim == 3 else on[:, None].expand(-1, length, -1))
        return torch.cat(flags, dim=-1)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with the inactive components switched off."""
        factors = self._factors({n: (restored[f"{n}|L"], restored[f"{n}|R"]) for n in self.factors})
        by_token = self.network.input == "token"
        masks = torch.split(active, list(self.counts.values()), dim=-1)
        for f, mask in zip(factors.values(), masks, strict=True):
            f.mask = mask if by_token else mask[:, 0]
        return masked(self._rebuilt(restored), factors)(x)

    def _factors(self, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Factors]:
        device, dtype = self.network.device, self.network.dtype
        return {n: Factors(L.to(device, dtype), R.to(device, dtype)) for n, (L, R) in pairs.items()}

    def recipe(self) -> dict[str, object]:
        """Where the components came from, and the rule."""
        return {"kind": self.kind, "C": sum(self.counts.values()), **self.importance.recipe(), **self.about}


def svd_components(network: Network, weights: tuple[str, ...], name: str = "SVD parts") -> Components:
    """Singular vectors as components, always active: the dense baseline."""
    own = network.parameters()
    if unknown := [weight for weight in weights if weight not in own or own[weight].ndim != 2]:
        raise ExplanationError(f"components: {network.name!r} has no weight matrix {', '.join(unknown)}")
    factors = {}
    for weight in weights:
        U, S, Vh = torch.linalg.svd(own[weight].detach().double(), full_matrices=False)
        factors[weight] = ((U * S.sqrt()).T.contiguous(), S.sqrt()[:, None] * Vh)
    return Components(network, factors, Always(), name, {"from": "svd"})


def planted_components(network: Network, weight: str = "W", name: str = "true components") -> Components:
    """The planted mechanism of a toy model of superposition: one part per feature, its column of W."""
    if not isinstance(network.module, Superposition):
        raise ExplanationError(f"components: {network.name!r} has no planted components that we know of")
    W = network.parameters()[weight].detach()
    eye = torch.eye(W.shape[1], dtype=W.dtype, device=W.device)
    return Components(network, {weight: (W.T.contiguous(), eye)}, Reads(), name, {"from": "known truth"})
