"""The minimal explanation at a budget: the large parts of a mechanism, as far as they shorten it.

What is not kept is absent: an anomaly that works through other parts stays unexplained, while an unusual
combination of ordinary parts is explained.
"""

from __future__ import annotations

import torch
from assay.explanations.components import Components
from assay.explanations.errors import ExplanationError
from torch import Tensor

from .observations import Observations
from .output_bits import OutputBits, rough_length

PRECISION = 8
PREFIXES = 12


def restricted(whole: Components, kept: Tensor, name: str = "minimal explanation") -> Components:
    """The components with these numbers [k] alone; the others are absent."""
    factors, owners = {}, {}
    for weight, (L, R) in whole.factors.items():
        rows = torch.isin(whole.owners[weight], kept)
        factors[weight] = (L[rows], R[rows])
        owners[weight] = torch.searchsorted(kept, whole.owners[weight][rows])
    about = {"kept": kept.tolist(), **whole.about}
    return Components(whole.network, factors, whole.importance, name, about, owners)


def minimal(whole: Components, trusted: Observations, delta: float | None, parts: int) -> OutputBits:
    """At most ``parts`` components: as many as shorten the message about trusted data.

    Parts are added in the order of their size; of these prefixes the shortest message is taken, so fewer than
    allowed may be kept.
    """
    if not 1 <= parts <= whole.parts_count:
        raise ExplanationError(f"a minimal explanation of {parts} parts: there are {whole.parts_count}")
    order = _norms(whole).argsort(descending=True).tolist()
    sizes = sorted({max(1, round(parts * i / PREFIXES)) for i in range(1, PREFIXES + 1)})
    best = min(sizes, key=lambda k: rough_length(_sub(whole, order[:k]), trusted, delta, PRECISION))
    return OutputBits.fit(_sub(whole, order[:best]), trusted, delta)


def _sub(whole: Components, kept: list[int]) -> Components:
    return restricted(whole, torch.tensor(sorted(kept)))


def _norms(whole: Components) -> Tensor:
    """‖L_c‖ ‖R_c‖ of each part, summed over its rows [parts]."""
    total = torch.zeros(whole.parts_count, dtype=torch.float64)
    for weight, (L, R) in whole.factors.items():
        size = (L.double().norm(dim=1) * R.double().norm(dim=1)).cpu()
        total.index_add_(0, whole.owners[weight].cpu(), size)
    return total
