"""``prototypes,k=16``: every activation at a site by the nearest of k means (Lloyd 1957)."""

import torch
from assay.explanations import ExplanationError, Spec, Subject
from assay.mdl import Code, Dictionary
from torch import Tensor

ROUNDS = 50


class Prototypes:
    """A dictionary of k prototypes; on each row one of them is active, with coefficient 1."""

    kind = "prototypes"
    open_ended = False  # new data bring no new prototypes

    def __init__(self, rows: Tensor, name: str) -> None:
        self.rows, self.name = rows, name

    def dictionary(self) -> Dictionary:
        """What the receiver needs: the prototypes [k, d], and no offset."""
        return Dictionary(self.rows, torch.zeros(self.rows.shape[1]))

    def code(self, x: Tensor) -> Code:
        """The nearest prototype of each activation [rows, d]."""
        nearest = torch.cdist(x, self.rows.to(x)).argmin(1)
        row = torch.arange(len(x), device=x.device)
        return Code(row, nearest, torch.ones_like(row, dtype=torch.float64), len(x), len(self.rows))

    def recipe(self) -> dict[str, object]:
        """How it was made."""
        return {"kind": self.kind, "k": len(self.rows)}


def prototypes(spec: Spec, subject: Subject) -> Prototypes:
    """The builder that the entry point names; assay has read the user's text, and run the model."""
    spec.only("k")
    x, k = subject.activations(), spec.integer("k") or 16
    if not 1 <= k <= len(x):
        raise ExplanationError(f"{spec.text!r}: k must lie in 1..{len(x)}, the number of rows; got {k}")
    rows = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(subject.seed))[:k]].clone()
    for _ in range(ROUNDS):
        nearest = torch.cdist(x, rows).argmin(1)
        for i in nearest.unique().tolist():
            rows[i] = x[nearest == i].mean(0)
    return Prototypes(rows.cpu(), f"{k} prototypes")
