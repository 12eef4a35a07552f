"""A small mechanism, and kinds of explanation that are honest or change as they are asked."""

from __future__ import annotations

import torch
from assay.mdl import (
    Code,
    Dictionary,
    Parts,
    PartTensor,
)

N, WIDTH, DELTA = 192, 4, 0.25


class Linear:
    """An honest kind: y = x W, a part for each input."""

    kind, name, donor, open_ended = "linear", "linear", "zero", False

    def __init__(self, W: torch.Tensor) -> None:
        self.W = W

    def parts(self) -> Parts:
        return Parts(len(self.W), (PartTensor("W", self.W, torch.arange(len(self.W))),))

    def active(self, restored, x):
        return torch.ones(len(x), 1, len(self.W), dtype=torch.bool)

    def predict(self, restored, x, active):
        return (x.double() * active[:, 0]) @ restored["W"].double()

    def recipe(self) -> dict[str, object]:
        return {"kind": self.kind}


class Changing:
    """A dictionary that is rich when it encodes and empty when it is priced."""

    kind, name, open_ended, asked = "changing", "changing", False, 0

    def __init__(self, rows: torch.Tensor, until: float) -> None:
        self.rows, self.until = rows, until

    def dictionary(self):
        self.asked += 1
        return Dictionary(self.rows * (self.asked < self.until), torch.zeros(self.rows.shape[1]))

    def code(self, x):
        return Code.dense(x @ self.rows.T)

    def recipe(self):
        return {"kind": self.kind}
