"""The lookup table of a site: one part per distinct activation vector, one of them active on each row."""

from __future__ import annotations

import torch
from assay.mdl import Code, Dictionary
from torch import Tensor


class Codebook:
    """Rows of the dictionary are the activations themselves; the coefficient is always 1."""

    kind = "lookup"
    open_ended = True

    def __init__(self, x: Tensor, name: str = "lookup table") -> None:
        self.name = name
        self.rows = torch.unique(x.cpu() + 0.0, dim=0)
        self._index = {_key(row): i for i, row in enumerate(self.rows)}

    def dictionary(self) -> Dictionary:
        """Every distinct activation once."""
        return Dictionary(self.rows, torch.zeros(self.rows.shape[1]))

    def code(self, x: Tensor) -> Code:
        """The entry of each row."""
        part = torch.tensor([self._index[_key(row)] for row in x.cpu()], device=x.device)
        row = torch.arange(len(x), device=x.device)
        return Code(
            row, part, torch.ones(len(x), dtype=torch.float64, device=x.device), len(x), len(self.rows)
        )

    def recipe(self) -> dict[str, object]:
        """How many entries."""
        return {"kind": self.kind, "entries": len(self.rows)}


def _key(row: Tensor) -> bytes:
    return (row + 0.0).contiguous().numpy().tobytes()  # −0 + 0 is 0: both zeros are one number
