"""Trials of how parts and weights are used over data: do new data need new parts, are parts ever told apart,
and does every weight that is sent do something?

The first two need the active sets alone, so they are the same for codes of a site and for mechanisms.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Code, MechanismExplanation
from assay.models import Network
from torch import Tensor

from .divergence import FAITHFUL, divergences

MOST = 0.5
"""The share from which on a reading speaks against an explanation."""


@dataclass(frozen=True)
class UsageTrial:
    """``unseen``: of the second half of the data, the share that uses a part which the first half never used.
    ``twins``: of the parts in use, the share that is active on exactly the same data as another one.

    A list of answers has the first at 1; what is always on together, or copied, has the second.
    """

    unseen: float
    twins: float

    def caught(self) -> list[str]:
        """What speaks against the explanation."""
        found = []
        if self.unseen > MOST:
            found.append(f"{100 * self.unseen:.0f} % of new data need parts that no earlier datum used")
        if self.twins > MOST:
            found.append(f"{100 * self.twins:.0f} % of the parts are always active with another")
        return found


def try_usage(active: Tensor) -> UsageTrial:
    """Of active sets [data, parts], Boolean."""
    if active.ndim != 2 or len(active) < 2:
        raise ExplanationError(
            f"usage of active sets {tuple(active.shape)}, expected [2 or more data, parts]"
        )
    active = active.bool().cpu()
    half = len(active) // 2
    known = active[:half].any(0)
    unseen = (active[half:] & ~known).any(1).double().mean()
    used = active[:, active.any(0)]
    _, group, size = torch.unique(used, dim=1, return_inverse=True, return_counts=True)
    twins = (size[group] > 1).double().mean() if used.shape[1] else torch.tensor(0.0)
    return UsageTrial(float(unseen), float(twins))


def sets_of_code(code: Code, positions: int = 1) -> Tensor:
    """Active sets [data, parts] of a site's code; a datum has ``positions`` rows."""
    found = torch.zeros(code.rows // positions, code.parts, dtype=torch.bool)
    found[code.row.cpu() // positions, code.part.cpu()] = True
    return found


def sets_of_mechanism(explanation: MechanismExplanation, x: Tensor) -> Tensor:
    """Active sets [data, parts] of a mechanism on inputs x [data, …], at any position."""
    restored = {t.name: t.values for t in explanation.parts().tensors}
    with torch.no_grad():
        return explanation.active(restored, x).any(1)


@dataclass(frozen=True)
class WeightTrial:
    """Of the weights that are not zero, ``needless``: the share whose removal moves no datum's outputs."""

    needless: float
    weights: int

    def caught(self) -> list[str]:
        """What speaks against the claim that every weight matters."""
        share = f"{100 * self.needless:.0f} % of the {self.weights:,} weights are not needed"
        return [share] if self.needless > MOST else []


def try_weights(network: Network, x: Tensor, masks: Mapping[str, Tensor] | None = None) -> WeightTrial:
    """Set each weight that is not zero to zero, alone, on inputs x [n, …]; ``masks`` are those of a circuit.

    Some thousand runs of the network: for small ones.
    """
    module = copy.deepcopy(network.module)
    circuit = replace(network, module=module)
    with torch.no_grad():
        own = circuit.parameters()
        for name, mask in (masks or {}).items():
            own[name].mul_(mask.to(own[name]))
        outputs = circuit(x)
        moved = [_moves(circuit, x, outputs, p, at) for p in own.values() for at in p.nonzero().tolist()]
    if not moved:
        raise ExplanationError(f"{network.name} has no weight that is not zero")
    return WeightTrial(1 - sum(moved) / len(moved), len(moved))


def _moves(network: Network, x: Tensor, outputs: Tensor, parameter: Tensor, at: list[int]) -> bool:
    """Whether a datum's outputs move by more than a faithful explanation may leave."""
    entry = parameter[tuple(at)]
    value = entry.clone()
    entry.zero_()
    moved = divergences(network, outputs, network(x))
    entry.copy_(value)
    return bool((moved > FAITHFUL[network.output]).any())
