"""An SAE as a dictionary of its site.

What the receiver must have to decode is told, and nothing is free. Where rows are normalised, x̂ = s (Σ a_f
W_f + b_dec) + μ 1: coefficients carry the row's scale s, b_dec is a part whose coefficient is s, and the
direction of ones a part whose coefficient is the row's mean. The expert of a switch SAE may be told as well,
by a part that adds nothing: then the features of the other experts cost nothing (the support's code knows
what depends on what).
"""

from __future__ import annotations

import math

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Code, Dictionary
from torch import Tensor

from .weights import SAE

SAMPLE = 512  # rows on which the size of an expert's sign is settled


class SAESite:
    """An SAE as a dictionary of its site; with ``sample`` rows the expert of a switch SAE is told first."""

    kind = "sae"
    open_ended = False

    def __init__(self, sae: SAE, name: str | None = None, sample: Tensor | None = None) -> None:
        if sae.d_in != sae.d_out:
            raise ExplanationError(
                f"the SAE reads {sae.d_in} coordinates and writes {sae.d_out}: it is a transcoder, which "
                "plays in --setting mechanism"
            )
        self.sae, self.name = sae, name or f"SAE {sae.width}"
        self._placed = sae
        self._loud = 0.0
        if sample is not None and sae.router is not None:
            self._loud = _loudest(sae.code(sample[:SAMPLE].to(sae.W_enc)))

    def dictionary(self) -> Dictionary:
        """Decoder rows and decoder bias; rows of their own for the row's scale, its mean, and experts."""
        return dictionary(self.sae, self._experts)

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
        return {"kind": self.kind, **told, **self.sae.recipe()}


def _loudest(code: Code) -> float:
    """The median over rows of the largest coefficient: an expert's sign that is neither lost nor long."""
    largest = torch.zeros(code.rows, dtype=torch.float64)
    largest.scatter_reduce_(0, code.row.cpu(), code.value.abs().double().cpu(), "amax")
    return float(largest.median()) or 1.0


def dictionary(sae: SAE, experts: int = 0) -> Dictionary:
    """The rows that :func:`coefficients` speaks of, in their order."""
    extra = [sae.W_dec.new_zeros(experts, sae.d_out)] if experts else []
    if sae.normalise == "none":
        rows = torch.cat([sae.W_dec, *extra]) if extra else sae.W_dec
        return Dictionary(rows, sae.b_dec)
    if sae.normalise == "layer_norm":
        extra = [sae.W_dec.new_full((1, sae.d_out), 1 / math.sqrt(sae.d_out)), *extra]
    return Dictionary(torch.cat([sae.W_dec, sae.b_dec[None], *extra]), torch.zeros_like(sae.b_dec))


def coefficients(sae: SAE, x: Tensor, loud: float = 0.0) -> Code:
    """What is told of x [rows, d_in]: features, then the row's scale and mean, then its expert."""
    rows, scale, mean = sae.normalised(x)
    code = sae.code_of(rows)
    if scale is not None:
        code = Code(code.row, code.part, code.value * scale[code.row, 0], code.rows, code.parts)
    more = []
    if scale is not None:
        more.append(scale if bool(sae.b_dec.any()) else torch.zeros_like(scale))
    if mean is not None:
        more.append(mean * math.sqrt(sae.d_out))
    if sae.router is not None and loud:
        more.append(sae.router.indicator(rows) * torch.tensor(loud, dtype=x.dtype, device=x.device))
    return _beside(code, torch.cat(more, dim=1)) if more else code


def _beside(code: Code, dense: Tensor) -> Code:
    """A code with further columns [rows, more] behind its own."""
    row, part = dense.nonzero(as_tuple=True)
    rows = torch.cat([code.row, row])
    order = rows.sort(stable=True).indices
    parts = torch.cat([code.part, part + code.parts])[order]
    values = torch.cat([code.value, dense[row, part]])[order]
    return Code(rows[order], parts, values, code.rows, code.parts + dense.shape[1])
