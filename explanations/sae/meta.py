"""Decoder rows through a second dictionary: sparse combinations of its rows, and a residual.

A meta-SAE is an SAE on the decoder rows of another (Leask et al. 2025, arXiv 2502.04878). Here it is a way to
tell parts by parts, in both settings: its rows once, its codes with the features in use; what they leave of a
row is told on the grid of the rows, so the dictionary that arrives is the same (:class:`mdl.Combination`).
"""

from __future__ import annotations

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Combination
from torch import Tensor

from .coefficients import coefficients, dictionary
from .weights import SAE


def combination(rows: Tensor, meta: SAE) -> Combination:
    """Rows [slices, d] as an SAE that reads them at unit norm combines them; its bias is the last row."""
    if meta.d_in != rows.shape[1]:
        raise ExplanationError(
            f"the meta-SAE reads rows of {meta.d_in} numbers, the dictionary's have {rows.shape[1]}"
        )
    meta = meta.to(rows.device, rows.dtype)
    second = dictionary(meta)
    assert second.rows is not None
    norm = rows.norm(dim=1, keepdim=True)
    code = coefficients(meta, rows / torch.where(norm > 0, norm, 1.0))
    dense = rows.new_zeros(code.rows, code.parts)
    dense[code.row, code.part] = code.value
    constant = torch.full_like(norm, float(second.bias.any()))
    return Combination(
        torch.cat([dense, constant], dim=1) * norm, torch.cat([second.rows, second.bias[None]])
    )


def meta_recipe(meta: SAE | None) -> dict[str, object]:
    """What a recipe says of the meta-SAE, where there is one."""
    return {} if meta is None else {"meta": meta.recipe()}
