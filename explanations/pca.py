"""Linear bases of a site: principal components, and random rotations as their control."""

from __future__ import annotations

import torch
from assay.mdl import Code, Dictionary
from torch import Tensor

from .errors import ExplanationError


class LinearBasis:
    """x̂ = mean + Σ_c ((x − mean)·v_c) v_c over orthonormal rows v_c [k, d]."""

    open_ended = False

    def __init__(self, rows: Tensor, mean: Tensor, kind: str, name: str) -> None:
        self.rows, self.mean, self.kind, self.name = rows, mean, kind, name

    def dictionary(self) -> Dictionary:
        """The basis and the mean."""
        return Dictionary(self.rows, self.mean)

    def code(self, x: Tensor) -> Code:
        """Projections, all active."""
        return Code.dense((x.double() - self.mean.to(x.device)) @ self.rows.T.to(x.device))

    def recipe(self) -> dict[str, object]:
        """How many components."""
        return {"kind": self.kind, "k": len(self.rows)}


def pca(x: Tensor, k: int | None = None, name: str = "PCA") -> LinearBasis:
    """The k leading principal components (all by default) of activations [rows, d], float64.

    Raises :class:`ExplanationError` where k is not in 1..d.
    """
    k = _checked(k, x)
    mean = x.double().mean(0)
    centred = x.double() - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return LinearBasis(vectors.flip(1).T[:k].contiguous(), mean, "pca", name)


def random_rotation(x: Tensor, seed: int = 0, name: str = "random rotation") -> LinearBasis:
    """A random orthonormal basis of the site: what any fixed linear code would do."""
    generator = torch.Generator().manual_seed(seed)
    width = x.shape[1]
    q, r = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
    signs = torch.diagonal(r).sign()
    return LinearBasis((q * signs).T.contiguous(), x.double().mean(0).cpu(), "rotation", name)


def _checked(k: int | None, x: Tensor) -> int:
    width = int(x.shape[1])
    if k is not None and not 1 <= k <= width:
        raise ExplanationError(f"PCA of a site of width {width} has 1 to {width} components, got k={k}")
    return k or width
