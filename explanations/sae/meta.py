"""A dictionary told through a second one: its rows are sparse combinations of meta rows, and a residual.

A meta-SAE is an SAE on the decoder rows of another (Leask et al. 2025, arXiv 2502.04878). Here it is a way to
tell the parts of a mechanism by parts: the meta rows and their bias once, with the remainder; for a feature
in use its code under them and what is left. The residual lies on the grid of the rows themselves: one number
of the remainder, the largest entry of the rows, sets the step of both.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .mechanism import SAECoefficients, SAEMechanism
from .weights import SAE

ROWS = "sae.W_dec"


class Meta:
    """How rows [slices, d] are told through a meta-SAE of rows at unit norm."""

    def __init__(self, sae: SAE) -> None:
        self.sae = sae

    def tensors(self, rows: PartTensor, remainder: int) -> tuple[PartTensor, ...]:
        """Codes and residuals, slice by slice as the rows were owned; meta rows, bias and step for all."""
        W = rows.values
        if self.sae.d_in != W.shape[1]:
            raise ExplanationError(
                f"the meta-SAE reads rows of {self.sae.d_in} numbers, the dictionary's have {W.shape[1]}"
            )
        norm = W.norm(dim=1, keepdim=True)
        codes = self.sae.encode(W / torch.where(norm > 0, norm, 1.0)) * norm
        left = W - codes @ self.sae.W_dec - norm * self.sae.b_dec
        largest = torch.zeros(1, W.shape[1], dtype=W.dtype, device=W.device)
        largest[0, 0] = W.abs().max()
        owner = torch.cat([rows.owner, rows.owner.new_tensor([remainder])])
        return (
            PartTensor("meta.codes", torch.cat([codes, norm], dim=1), rows.owner),
            PartTensor("meta.residual", torch.cat([left, largest]), owner),
            one_part("meta.rows", torch.cat([self.sae.W_dec, self.sae.b_dec[None]]), remainder),
        )

    def parts(self, parts: Parts) -> Parts:
        """The same parts, their rows told through this."""
        told = []
        for tensor in parts.tensors:
            told += [*self.tensors(tensor, parts.count)] if tensor.name == ROWS else [tensor]
        return Parts(parts.count, tuple(told))

    def restored(self, restored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What arrived, with the rows that it makes."""
        codes, left, rows = (restored[f"meta.{name}"] for name in ("codes", "residual", "rows"))
        return {**restored, ROWS: codes @ rows[0] + left[:-1]}

    def recipe(self) -> dict[str, object]:
        """What it is."""
        return {"meta": self.sae.recipe()}


class MetaMechanism(SAEMechanism):
    """An SAE by its encoder rows, its decoder rows told through a meta-SAE."""

    def __init__(self, sae: SAE, meta: SAE, network: Network, name: str | None = None) -> None:
        super().__init__(sae, network, name)
        self.meta = Meta(meta.to(sae.W_dec.device, sae.W_dec.dtype))

    def parts(self) -> Parts:
        """Features with their codes and residuals, then the remainder with the meta rows."""
        return self.meta.parts(super().parts())

    def _received(self, restored: Mapping[str, Tensor]) -> SAE:
        return super()._received(self.meta.restored(restored))

    def recipe(self) -> dict[str, object]:
        """What it is, and its meta-SAE."""
        return {**super().recipe(), **self.meta.recipe()}


class MetaCoefficients(SAECoefficients):
    """An SAE by its coefficients, its decoder rows told through a meta-SAE."""

    def __init__(self, sae: SAE, meta: SAE, network: Network, x: Tensor, name: str | None = None) -> None:
        super().__init__(sae, network, x, name)
        self.meta = Meta(meta.to(self.sae.W_dec.device, self.sae.W_dec.dtype))

    def parts(self) -> Parts:
        """Codes and residuals of the rows, then the remainder with the meta rows."""
        return self.meta.parts(super().parts())

    def _rows(self, restored: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self.meta.restored(restored)

    def recipe(self) -> dict[str, object]:
        """What it is, and its meta-SAE."""
        return {**super().recipe(), **self.meta.recipe()}
