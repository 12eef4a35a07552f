"""Trials of parts that can be switched off on each datum (components): are those called active needed?

Networks on tokens have their active sets by position: a part is switched off at all positions of a datum.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from assay.explanations.components import Components
from torch import Tensor

from .divergence import FAITHFUL, divergences

MOST_PAIRS, MOST_BY_TOKEN = 2000, 100
MOST_PARTS = 256
"""Parts whose removal is tried: of more, those that are active most often."""


@dataclass(frozen=True)
class PartTrial:
    """Sufficiency and necessity of active sets on data.

    ``divergence``: mean, with only active parts on. ``added``: the same, worst over random supersets.
    ``needless``: of all (datum, active part), the share whose removal moves that datum's output by no more
    than a faithful explanation may. ``cancelling``: pairs of parts, each with a witness alone, whose joint
    removal has none.
    """

    divergence: float
    added: float
    needless: float
    cancelling: int
    tolerance: float

    def caught(self) -> list[str]:
        """What speaks against the explanation."""
        found = []
        if self.divergence > self.tolerance:
            found.append(f"not sufficient ({self.divergence:.3f})")
        if self.added > self.tolerance >= self.divergence:
            found.append(f"an addition moves the outputs ({self.added:.3f})")
        if self.needless > 0.5:
            found.append(f"{100 * self.needless:.0f} % of what is called needed is not")
        if self.cancelling:
            found.append(f"{self.cancelling} cancelling pair(s)")
        return found


def try_parts(components: Components, x: Tensor, draws: int = 8, seed: int = 0) -> PartTrial:
    """Switch parts off and on, on inputs x [n, …]."""
    network = components.network
    faithful = FAITHFUL[network.output]
    with torch.no_grad():
        x = x.to(network.device)
        outputs = network(x)
        restored = {t.name: t.values for t in components.parts().tensors}
        active = components.active(restored, x).to(x.device)
        active = active if network.input == "token" else active[:, 0]

        def moved(mask: Tensor) -> Tensor:
            return divergences(network, outputs, components.run(x, mask))

        base = moved(active.float())
        generator = torch.Generator().manual_seed(seed)
        added = [
            moved(
                torch.maximum(torch.rand(active.shape, generator=generator).to(x.device), active.float())
            ).mean()
            for _ in range(draws)
        ]
        kept = components.run(x, active.float())
        used = active.flatten(0, -2).sum(0)
        tried = used.argsort(descending=True, stable=True)[:MOST_PARTS].sort().values.tolist()
        lost = {c: _lost(components, x, active, kept, (c,)) for c in tried}
        witnessed = [c for c, each in lost.items() if bool((each > faithful).any())]
        most = MOST_BY_TOKEN if network.input == "token" else MOST_PAIRS
        pairs = list(combinations(witnessed, 2))[-most:]
        cancelling = sum(
            not bool((_lost(components, x, active, kept, pair) > faithful * 1e-3).any()) for pair in pairs
        )
    on = {c: active[..., c].reshape(len(x), -1).any(1) for c in lost}
    needless = sum(int((on[c] & (each <= faithful)).sum()) for c, each in lost.items())
    share = needless / max(sum(int(flags.sum()) for flags in on.values()), 1)
    return PartTrial(float(base.mean()), float(torch.stack(added).max()), share, cancelling, faithful)


def _lost(components: Components, x: Tensor, active: Tensor, kept: Tensor, parts: tuple[int, ...]) -> Tensor:
    """How far each datum's output [n] moves when these parts are switched off as well."""
    mask = active.float().clone()
    mask[..., list(parts)] = 0.0
    return divergences(components.network, kept, components.run(x, mask))
