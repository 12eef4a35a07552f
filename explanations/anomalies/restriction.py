"""An explanation without some of its parts.

What is not kept is absent: an anomaly that works through other parts stays unexplained, while an unusual
combination of kept parts is explained.
"""

from __future__ import annotations

import torch
from assay.explanations.components import Components
from torch import Tensor


def restricted(whole: Components, kept: Tensor, name: str = "minimal explanation") -> Components:
    """The components with these numbers [k] alone; the others are absent."""
    factors, owners = {}, {}
    for weight, (L, R) in whole.factors.items():
        rows = torch.isin(whole.owners[weight], kept)
        factors[weight] = (L[rows], R[rows])
        owners[weight] = torch.searchsorted(kept, whole.owners[weight][rows])
    about = {"kept": kept.tolist(), **whole.about}
    return Components(whole.network, factors, whole.importance, name, about, owners)
