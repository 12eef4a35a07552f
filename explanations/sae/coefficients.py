"""What is told of rows by an SAE: the rows of its dictionary, and their coefficients.

Where rows are normalised, x̂ = s (Σ a_f W_f + b_dec) + μ 1: coefficients carry the row's scale s, b_dec is a
part whose coefficient is s, and the direction of ones a part whose coefficient is the row's mean. The expert
of a switch SAE may be told as well, by a part that adds nothing.
"""

from __future__ import annotations

import math

import torch
from assay.mdl import Code, Dictionary
from torch import Tensor

from .weights import SAE


def dictionary(sae: SAE, experts: int = 0) -> Dictionary:
    """The rows that :func:`coefficients` speaks of, in their order."""
    extra = [sae.W_dec.new_zeros(experts, sae.d_out)] if experts else []
    if sae.normalise == "none":
        rows = torch.cat([sae.W_dec, *extra]) if extra else sae.W_dec
        return Dictionary(rows, sae.b_dec)
    if sae.normalise == "layer_norm":
        extra = [sae.W_dec.new_full((1, sae.d_out), 1 / math.sqrt(sae.d_out)), *extra]
    return Dictionary(torch.cat([sae.W_dec, sae.b_dec[None], *extra]), torch.zeros_like(sae.b_dec))


def coefficients(sae: SAE, x: Tensor, loud: float = 0.0) -> Code:
    """What is told of x [rows, d_in]: features, then the row's scale and mean, then its expert."""
    rows, scale, mean = sae.normalised(x)
    code = sae.code_of(rows)
    if scale is not None:
        code = Code(code.row, code.part, code.value * scale[code.row, 0], code.rows, code.parts)
    more = []
    if scale is not None:
        more.append(scale if bool(sae.b_dec.any()) else torch.zeros_like(scale))
    if mean is not None:
        more.append(mean * math.sqrt(sae.d_out))
    if sae.router is not None and loud:
        more.append(sae.router.indicator(rows) * torch.tensor(loud, dtype=x.dtype, device=x.device))
    return _beside(code, torch.cat(more, dim=1)) if more else code


def _beside(code: Code, dense: Tensor) -> Code:
    """A code with further columns [rows, more] behind its own."""
    row, part = dense.nonzero(as_tuple=True)
    rows = torch.cat([code.row, row])
    order = rows.sort(stable=True).indices
    parts = torch.cat([code.part, part + code.parts])[order]
    values = torch.cat([code.value, dense[row, part]])[order]
    return Code(rows[order], parts, values, code.rows, code.parts + dense.shape[1])
