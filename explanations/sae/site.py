"""An SAE as a dictionary of its site.

What the receiver must have to decode is told, and nothing is free. The expert of a switch SAE may be told
first: then the features of the other experts cost nothing (the support's code knows what depends on what).
Decoder rows may be told through a meta-SAE.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Code, Dictionary
from torch import Tensor

from .coefficients import coefficients, dictionary
from .meta import combination, meta_recipe
from .weights import SAE

SAMPLE = 512  # rows on which the size of an expert's sign is settled


class SAESite:
    """An SAE as a dictionary of its site; with ``sample`` rows the expert of a switch SAE is told first.

    With ``meta``, an SAE on decoder rows, the rows are told through its rows where that is shorter.
    """

    kind = "sae"
    open_ended = False

    def __init__(
        self, sae: SAE, name: str | None = None, sample: Tensor | None = None, meta: SAE | None = None
    ) -> None:
        if sae.d_in != sae.d_out:
            raise ExplanationError(
                f"the SAE reads {sae.d_in} coordinates and writes {sae.d_out}: it is a transcoder, which "
                "plays in --setting mechanism"
            )
        self.sae, self.name = sae, name or f"SAE {sae.width}"
        self._placed, self.meta = sae, meta
        self._loud = 0.0
        if sample is not None and sae.router is not None:
            self._loud = _loudest(sae.code(sample[:SAMPLE].to(sae.W_enc)))

    def dictionary(self) -> Dictionary:
        """Decoder rows and decoder bias; rows of their own for the row's scale, its mean, and experts."""
        return self._dictionary

    @cached_property
    def _dictionary(self) -> Dictionary:
        told = dictionary(self.sae, self._experts)
        if self.meta is None or told.rows is None:
            return told
        return replace(told, through=combination(told.rows, self.meta))

    @property
    def _experts(self) -> int:
        return self.sae.router.experts if self.sae.router is not None and self._loud else 0

    def code(self, x: Tensor) -> Code:
        """Features that fire."""
        if self._placed.W_enc.device != x.device:
            self._placed = self.sae.to(x.device)
        return coefficients(self._placed, x, self._loud)

    def recipe(self) -> dict[str, object]:
        """Architecture, width and where it came from."""
        told = {"told": "experts"} if self._experts else {}
        return {"kind": self.kind, **told, **self.sae.recipe(), **meta_recipe(self.meta)}


def _loudest(code: Code) -> float:
    """The median over rows of the largest coefficient: an expert's sign that is neither lost nor long."""
    largest = torch.zeros(code.rows, dtype=torch.float64)
    largest.scatter_reduce_(0, code.row.cpu(), code.value.abs().double().cpu(), "amax")
    return float(largest.median()) or 1.0
