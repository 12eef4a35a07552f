"""The networks that these proofs are about: products that follow an automaton (`assay.models.products`).

n symbols, K of them in a word, d the width of the network's state. A network is right on x if the logit of
the automaton's state after x_1 … x_K (in a group: of their product) is larger than every other one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from assay.models import Network
from assay.models.products import ComplexProduct, MatrixProduct
from assay.proofs.faults import InputError
from torch import Tensor

__all__ = ["Shape", "Whole", "read", "whole"]

Whole = Any
"""Python's whole numbers, in nested lists as the tensor's axes are."""


@dataclass(frozen=True)
class Shape:
    """Sizes: the automaton, its states, n symbols, K of them in a word, width d; complex or not."""

    automaton: str
    states: int
    n: int
    K: int
    d: int
    complex: bool

    @property
    def sequences(self) -> int:
        """The number of inputs, n^K."""
        words: int = self.n**self.K
        return words

    @property
    def parameters(self) -> int:
        """How many weights there are: to read them is the shortest that any proof can be."""
        if self.complex:
            return 2 * self.d * (self.n + self.states)
        return self.d * (1 + self.n * self.d + self.states)

    def sizes(self) -> dict[str, str | int]:
        """What a report says of them."""
        return {"automaton": self.automaton, "n": self.n, "K": self.K, "width": self.d}


def read(network: Network) -> Shape:
    """The sizes of a network.  Raises `InputError` with all that keeps it from being a product."""
    module = network.module
    if not isinstance(module, ComplexProduct | MatrixProduct):
        raise InputError(
            f"network {network.name!r} is a {type(module).__name__}, expected a complex or matrix product"
        )
    config, problems = module.config, []
    task = config.task
    if isinstance(module, ComplexProduct) and not task.cyclic:
        problems.append(f"products of complex numbers commute, {config.automaton} does not")
    if network.in_shape != (config.length,):
        problems.append(f"it reads {network.in_shape}, expected ({config.length},)")
    for name, tensor in module.state_dict().items():
        if tensor.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            problems.append(f"{name} is {tensor.dtype}, expected float64, float32, float16 or bfloat16")
        elif not bool(tensor.isfinite().all()):
            problems.append(f"{name} has entries that are not finite")
    if problems:
        raise InputError(f"network {network.name!r}: " + "; ".join(problems))
    return Shape(
        config.automaton,
        task.states,
        task.symbols,
        config.length,
        config.width,
        isinstance(module, ComplexProduct),
    )


def whole(tensor: Tensor, places: int) -> Whole:
    """Entries in units of 2^-places, rounded down: nested lists."""

    def rounded(entry: Any) -> Any:
        if isinstance(entry, list):
            return [rounded(e) for e in entry]
        numerator, denominator = entry.as_integer_ratio()
        return (numerator << places) // denominator

    return rounded(tensor.detach().cpu().double().tolist())
