"""The smallest active sets that still do: chosen by trying, not by a rule that the decomposition learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import positions
from torch import Tensor

if TYPE_CHECKING:
    from .decomposed import Components


@dataclass(frozen=True)
class Oracle:
    """Components are dropped one after the other while no output moves by more than ``tolerance``.

    The order is that of their effect alone, smallest first, for each datum. It reads every output, so it
    says what the components could do with perfect gates.
    """

    tolerance: float

    def flags(self, components: Components, x: Tensor) -> Tensor:
        """Two passes over the parts, for all data at once.  Raises :class:`ExplanationError`."""
        network = components.network
        if positions(network, x) != 1 or network.input == "token":
            raise ExplanationError("active=oracle needs a network without positions: it drops parts by datum")
        everything = torch.ones(len(x), components.parts_count, dtype=torch.bool, device=network.device)
        truth = components.run(x, everything)
        alone = torch.stack(
            [
                self._moved(components, x, _without(everything, c), truth)
                for c in range(components.parts_count)
            ],
            1,
        )
        order, rows = alone.argsort(dim=1, stable=True), torch.arange(len(x), device=network.device)
        kept = everything
        for candidate in order.T:
            trial = kept.clone()
            trial[rows, candidate] = False
            fine = self._moved(components, x, trial, truth) <= self.tolerance
            kept = torch.where(fine[:, None], trial, kept)
        return kept[:, None]

    @staticmethod
    def _moved(components: Components, x: Tensor, active: Tensor, truth: Tensor) -> Tensor:
        """The largest change of any output, by datum."""
        return (components.run(x, active) - truth).abs().flatten(1).amax(1)

    def recipe(self) -> dict[str, object]:
        """The rule and its tolerance."""
        return {"active": "oracle", "tolerance": self.tolerance}


def _without(everything: Tensor, part: int) -> Tensor:
    active = everything.clone()
    active[:, part] = False
    return active
