"""Multi-layer perceptrons as nested `torch.nn.Sequential`, so that any tool can walk them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["perceptron", "scaling"]


def perceptron(widths: Sequence[int], first: Sequence[nn.Module] = ()) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them, at the paths ``layers.0``, ``layers.1``, …

    ``first`` are modules put before them, such as a fixed `scaling`.
    """
    layers = list(first)
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(OrderedDict(layers=nn.Sequential(*layers[:-1])))


def scaling(factors: Tensor) -> nn.Linear:
    """A fixed linear layer that multiplies each coordinate by its factor [d]."""
    layer = nn.Linear(len(factors), len(factors), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(factors))
    layer.requires_grad_(False)
    return layer
