"""Weights of a sparse autoencoder, and how it encodes: one pass over pre-activations for the whole family.

Shapes follow SAELens: W_enc [d_in, d_sae], W_dec [d_sae, d_in], b_enc [d_sae], b_dec [d_in]. What another
layout says by other numbers is folded into these when it is read (:mod:`assay.explanations.sae.folding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import Code
from torch import Tensor

from .blocks import by_rows, fired
from .normalising import Normalisation, normalised, written_back
from .pursuit import Pursuit
from .router import Router

Architecture = Literal["standard", "topk", "jumprelu", "signed_topk", "groupmax", "matching_pursuit"]
TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
CHOOSES_K = ("topk", "signed_topk", "groupmax")
SIGNED = ("signed_topk",)


@dataclass(frozen=True, eq=False)
class SAE:
    """Weights of a sparse autoencoder and how it encodes.

    x' = x − b_dec where ``subtract_b_dec``; pre = x' W_enc + b_enc; then ReLU (standard), the k largest, of
    which those above 0 stay (topk), pre where pre > threshold and pre > 0 (jumprelu), the k largest by
    magnitude, signs and all (signed_topk), the largest of each of k groups (groupmax), or greedy pursuit with
    the decoder (matching_pursuit). x̂ = a W_dec + b_dec.

    With ``normalise`` x is first put on a scale of its own row, and x̂ back on it. With a ``router`` only the
    features of one expert can fire on a row. ``prefixes`` are the nested widths of a Matryoshka SAE. A
    transcoder's W_dec [d_sae, d_out] and b_dec [d_out] may be of another width; it never subtracts b_dec.
    """

    W_enc: Tensor
    W_dec: Tensor
    b_enc: Tensor
    b_dec: Tensor
    architecture: Architecture = "standard"
    k: int | None = None
    threshold: Tensor | None = None
    subtract_b_dec: bool = True
    site: str = ""
    about: dict[str, object] = field(default_factory=dict)
    normalise: Normalisation = "none"
    router: Router | None = None
    pursuit: Pursuit | None = None
    prefixes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.W_enc.ndim != 2:
            raise ExplanationError(f"SAE: W_enc has shape {tuple(self.W_enc.shape)}, expected (d_in, d_sae)")
        if wrong := [*self._wrong_shapes(), *self._wrong_rules()]:
            raise ExplanationError(f"SAE: {'; '.join(wrong)}")

    def _wrong_shapes(self) -> list[str]:
        d_in, d_sae = self.W_enc.shape
        own = self.subtract_b_dec or self.W_dec.ndim != 2
        d_out = d_in if own else int(self.W_dec.shape[1])
        wanted = {"W_dec": (d_sae, d_out), "b_enc": (d_sae,), "b_dec": (d_out,), "threshold": (d_sae,)}
        given = {n: tuple(value.shape) for n in wanted if (value := getattr(self, n)) is not None}
        return [f"{n} has shape {got}, expected {wanted[n]}" for n, got in given.items() if got != wanted[n]]

    def _wrong_rules(self) -> list[str]:
        wrong, width = [], self.width
        if self.architecture not in get_args(Architecture):
            known = ", ".join(get_args(Architecture))
            wrong.append(f"architecture {self.architecture!r} is not among {known}")
        if self.architecture in CHOOSES_K and not (isinstance(self.k, int) and 1 <= self.k <= width):
            wrong.append(f"{self.architecture} needs k in 1..{width}, got {self.k}")
        elif self.architecture == "groupmax" and width % (self.k or 1):
            wrong.append(f"groupmax needs k that divides the {width} features, got {self.k}")
        if self.architecture == "jumprelu" and self.threshold is None:
            wrong.append("jumprelu needs a threshold per feature")
        if self.architecture == "matching_pursuit" and self.pursuit is None:
            wrong.append("matching_pursuit needs to know when it ends")
        if self.router is not None:
            wrong += self.router.wrong(*self.W_enc.shape)
        if self.prefixes and [*self.prefixes] != sorted({*self.prefixes, width}):
            wrong.append(f"nested widths {list(self.prefixes)} do not ascend to the {width} features")
        return wrong

    @property
    def d_in(self) -> int:
        """How many coordinates it reads."""
        return int(self.W_enc.shape[0])

    @property
    def d_out(self) -> int:
        """How many coordinates it writes."""
        return int(self.W_dec.shape[1])

    @property
    def width(self) -> int:
        """d_sae, the number of features."""
        return int(self.W_enc.shape[1])

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, without those that it has not."""
        return {name: value for name in TENSORS if (value := getattr(self, name)) is not None}

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> SAE:
        """The same SAE on a device, in a floating-point type."""
        moved = {name: value.to(device=device, dtype=dtype) for name, value in self.tensors().items()}
        return self.with_tensors(moved, None if self.router is None else self.router.to(device, dtype))

    def with_tensors(self, tensors: Mapping[str, Tensor], router: Router | None = None) -> SAE:
        """The same rule on other tensors, named as in :meth:`tensors`."""
        return replace(self, **tensors, router=router)  # type: ignore[arg-type]

    def normalised(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """x [rows, d_in] as the encoder sees it, and each row's scale and mean where it has one."""
        return normalised(x, self.normalise)

    def pre(self, x: Tensor) -> Tensor:
        """Pre-activations x' W_enc + b_enc [rows, d_sae] of normalised x [rows, d_in], in one pass.

        Features of experts that the router does not choose are at −inf.
        """
        flat = x.flatten(0, -2)
        centred = flat - self.b_dec if self.subtract_b_dec else flat
        if self.router is None:
            pre = torch.addmm(self.b_enc, centred, self.W_enc)
        else:
            pre = self.router.pre(flat, centred, self.W_enc, self.b_enc)
        return pre.reshape(*x.shape[:-1], self.width)

    def encode(self, x: Tensor) -> Tensor:
        """Feature activations [rows, d_sae] of x [rows, d_in], in the units of the normalised rows."""
        return self._encode(self.normalised(x)[0])

    def _encode(self, x: Tensor) -> Tensor:
        if self.pursuit is not None:
            return self.pursuit.encode(x - self.b_dec if self.subtract_b_dec else x, self.W_dec)
        pre = self.pre(x)
        if self.architecture in CHOOSES_K:
            part, value = self._chosen(pre)
            return torch.zeros_like(pre).scatter(-1, part, value)
        return torch.where(pre > self._least(), pre, pre.new_tensor(0.0))

    def _chosen(self, pre: Tensor) -> tuple[Tensor, Tensor]:
        """The k features of each row that may fire, ascending, and their activations (0 where below 0)."""
        if self.architecture == "signed_topk":
            part = pre.abs().topk(self.k or 1, dim=-1).indices.sort(dim=-1).values
            return part, pre.gather(-1, part)
        if self.architecture == "groupmax":
            best = pre.reshape(*pre.shape[:-1], self.k or 1, -1).max(dim=-1)
            size = self.width // (self.k or 1)
            return best.indices + torch.arange(0, self.width, size, device=pre.device), best.values.relu()
        part = pre.topk(self.k or 1, dim=-1).indices.sort(dim=-1).values
        return part, pre.gather(-1, part).relu()

    def _least(self) -> Tensor:
        """What a pre-activation must exceed: 0, and the threshold where there is one."""
        return torch.zeros_like(self.b_enc) if self.threshold is None else self.threshold.clamp_min(0.0)

    def code(self, x: Tensor) -> Code:
        """The non-zeros of :meth:`encode`, without a second pass over the dense code."""
        return self.code_of(self.normalised(x)[0])

    def code_of(self, x: Tensor) -> Code:
        """The same, of rows that are normalised already."""
        if self.architecture in ("standard", "jumprelu") and self.router is None:
            centred = x - self.b_dec if self.subtract_b_dec else x
            return fired(centred, self.W_enc, self.b_enc, self._least())
        return by_rows(self._whole_rows, x, self.width)

    def _whole_rows(self, x: Tensor) -> Code:
        if self.pursuit is not None:
            return Code.dense(self._encode(x))
        pre = self.pre(x)
        if self.architecture in CHOOSES_K:
            part, value = self._chosen(pre)
            row, place = (value != 0).nonzero(as_tuple=True)
            return Code(row, part[row, place], value[row, place], *pre.shape)
        row, part = (pre > self._least()).nonzero(as_tuple=True)
        return Code(row, part, pre[row, part], *pre.shape)

    def activations(self, x: Tensor, active: Tensor) -> Tensor:
        """Activations [rows, d_sae] of x [rows, d_in], where it is told which features are active."""
        return self._activations(self.normalised(x)[0], active)

    def _activations(self, x: Tensor, active: Tensor) -> Tensor:
        if self.pursuit is not None:
            value = self._encode(x)
        elif self.architecture in SIGNED:
            value = self.pre(x)
        else:
            value = torch.relu(self.pre(x))
        return torch.where(active, value, value.new_tensor(0.0))

    def told(self, x: Tensor, active: Tensor) -> Tensor:
        """x̂ [rows, d_out] of x, where the active features [rows, d_sae] are known and none else acts."""
        rows, scale, mean = self.normalised(x)
        return written_back(self.decode(self._activations(rows, active)), scale, mean)

    def decode(self, a: Tensor) -> Tensor:
        """a W_dec + b_dec [rows, d_out], in the units of the normalised rows."""
        return a @ self.W_dec + self.b_dec

    def reconstruct(self, x: Tensor) -> Tensor:
        """x̂ [rows, d_out] in the units of x [rows, d_in]."""
        rows, scale, mean = self.normalised(x)
        return written_back(self.decode(self._encode(rows)), scale, mean)

    def recipe(self) -> dict[str, object]:
        """Architecture, width and where it came from."""
        more: dict[str, object] = {} if self.normalise == "none" else {"normalise": self.normalise}
        if self.router is not None:
            more["experts"] = self.router.experts
        return {"architecture": self.architecture, "d_sae": self.width, **more, **self.about}
