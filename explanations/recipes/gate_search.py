"""Gates that learn which of them to shut: relaxed at first, then hard ones with a straight-through gradient.

A gate is σ(a). While it is relaxed the network runs on the fraction itself, so that few gates have to agree
before a computation falls away; for the last steps it runs on [a > 0], with the gradient of σ(a) (Bengio,
Léonard & Courville 2013, arXiv 1308.3432), so that what is found holds for gates that are cut. Draws of
hard-concrete gates (Louizos, Welling & Kingma 2018) ended up at longer messages, by a fifth and more: their
noise on thousands of gates makes a network seem to need all of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .gated import Gated

RELAXED, SHARPER = 0.6, 2.0
OPEN, SHUT = 2.0, -2.0


@dataclass(frozen=True, eq=False)
class SoftLength:
    """Bits of a circuit about ``n_data`` data, as gradients see them; ``outputs`` are the network's."""

    gated: Gated
    inputs: Tensor
    outputs: Tensor
    delta: float | None
    n_data: int

    @property
    def numbers(self) -> int:
        """How many gates there are."""
        return sum(math.prod(shape) for shape in self.gated.shapes.values())

    def named(self, flat: Tensor) -> Mapping[str, Tensor]:
        """One value for each gate [gates], under the gates' names and shapes."""
        shapes = self.gated.shapes
        split = torch.split(flat, [math.prod(shape) for shape in shapes.values()])
        return {name: v.reshape(shape) for (name, shape), v in zip(shapes.items(), split, strict=True)}

    def flat(self, named: Mapping[str, Tensor]) -> Tensor:
        """The inverse of :meth:`named`."""
        return torch.cat([named[name].flatten() for name in self.gated.shapes])

    def __call__(self, gates: Tensor, opened: Tensor, rows: Tensor | slice) -> Tensor:
        """Parts where gates are open with these probabilities, and N times the correction under ``gates``."""
        predicted = self.gated.run(self.named(gates), self.inputs[rows])
        correction = self._correction(predicted, self.outputs[rows])
        return self.gated.bits(self.named(opened)) + self.n_data * correction

    def _correction(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Bits of a datum."""
        if self.delta is not None:
            return spiked_laplace((predicted - wanted).flatten(0, -2) / self.delta)
        log_p, log_q = wanted.log_softmax(-1), predicted.log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum() / math.log(2) / len(wanted)


def spiked_laplace(steps: Tensor) -> Tensor:
    """Bits of a row of errors [rows, d], in grid steps: by coordinate a flag for zero, and a Laplace if not.

    H(q) + q log2(1 + 2e m), where a share q of the errors rounds to something, of mean size m.
    """
    size = steps.abs()
    there = size.square() / (size.square() + 0.25)
    q = there.mean(0).clamp(1e-6, 1 - 1e-6)
    m = (size * there).mean(0) / q
    flags = -(q * q.log2() + (1 - q) * (1 - q).log2())
    return (flags + q * (1 + 2 * math.e * m).log2()).sum()


class GateSearch(nn.Module):
    """Gates as they learn, from a set that is ``kept`` at first [gates]."""

    def __init__(self, length: SoftLength, kept: Tensor, steps: int, batch: int, seed: int) -> None:
        super().__init__()
        self.length, self.steps, self.batch, self.done = length, steps, batch, 0
        self.a = nn.Parameter(torch.where(kept, OPEN, SHUT).to(length.outputs.dtype))
        self._generator = torch.Generator().manual_seed(seed)

    def loss(self) -> Tensor:
        """Bits in all on a fresh batch, per gate."""
        data = len(self.length.inputs)
        rows = torch.randint(data, (min(self.batch, data),), generator=self._generator)
        share, self.done = self.done / self.steps, self.done + 1
        gates = torch.sigmoid(self.a * (1 + SHARPER * share))
        if share > RELAXED:
            gates = (self.a > 0).to(gates) + gates - gates.detach()
        bits = self.length(gates, gates, rows.to(self.a.device))
        return bits / self.length.numbers
