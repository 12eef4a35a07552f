"""Inputs on a scale of their own: what an SAE divides each row by, and what the receiver needs to undo it.

``constant_norm``: every row gets the norm √d (SAELens: constant_norm_rescale). ``layer_norm``: its mean is
subtracted and it is divided by its standard deviation (n − 1) plus 1e-5; on the way back it is multiplied by
the standard deviation alone (OpenAI's sparse_autoencoder, and SAELens after it).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["none", "constant_norm", "layer_norm"]
EPSILON = 1e-5


def normalised(x: Tensor, how: Normalisation) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Rows [rows, d] normalised, and the scale and the mean [rows, 1] that lead back, where there are any.

    A row of zeros stays one, with scale 0.
    """
    if how == "none":
        return x, None, None
    if how == "constant_norm":
        scale = x.norm(dim=-1, keepdim=True) / math.sqrt(x.shape[-1])
        return x / torch.where(scale > 0, scale, 1.0), scale, None
    mean = x.mean(dim=-1, keepdim=True)
    centred = x - mean
    scale = centred.std(dim=-1, keepdim=True)
    return centred / (scale + EPSILON), scale, mean


def written_back(told: Tensor, scale: Tensor | None, mean: Tensor | None) -> Tensor:
    """Normalised rows [rows, d] in their own units again."""
    if scale is not None:
        told = told * scale
    return told if mean is None else told + mean
