"""Gradient steps of adaptive size (Adam, Kingma & Ba 2015, algorithm 1).

torch's own optimiser imports its compiler at the first use: more than a second in every new process, which is
longer than most proofs take.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_BETA1, _BETA2 = 0.9, 0.999
_EPSILON = 1e-8


class Adam:
    """Minimises over named parameters, by the gradients that they hold."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        self.parameters = dict(parameters)
        self.first = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.second = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.steps = 0

    def forget(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        one, two = 1 - _BETA1**self.steps, 1 - _BETA2**self.steps
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            mean = self.first[name].lerp_(parameter.grad, 1 - _BETA1)
            square = self.second[name].mul_(_BETA2).addcmul_(parameter.grad, parameter.grad, value=1 - _BETA2)
            size = (square.sqrt() / two**0.5).add_(_EPSILON)
            parameter.addcdiv_(mean, size, value=-rate / one)
