"""Causal importance functions: the small networks of SPD that say which components a datum needs.

Source: Bushnaq et al. 2025, arXiv 2506.20790, section 2; the shapes are those of the published code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from assay.explanations.errors import ExplanationError
from torch import Tensor
from torch.nn.functional import gelu, sigmoid

from .importance import ByWeight

Reading = Literal["inner", "input"]


@dataclass(frozen=True, eq=False)
class GateNetwork:
    """Layers (W, b) with GELU between them.

    W [C, in, out] and b [C, out] hold one network per component, W [in, out] and b [out] one for all. They
    read the components' inner activations (in = 1 for the first layer), or what the weight itself reads.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    reads: Reading

    @classmethod
    def of(cls, gate: Mapping[str, Tensor]) -> GateNetwork:
        """From the names of a file: mlp_in and so on, weight and bias, or layers.i.W and layers.i.b.

        Raises :class:`ExplanationError` where names or shapes are none of these.
        """
        layers = _layers(gate)
        shared = layers[0][0].ndim == 2
        return cls(layers, "input" if shared or layers[0][0].shape[1] != 1 else "inner")

    @property
    def outputs(self) -> int:
        """How many components they answer for."""
        W = self.layers[-1][0]
        return W.shape[1] if W.ndim == 2 else W.shape[0]

    def __call__(self, inner: Tensor, read: Tensor | None) -> Tensor:
        """Inner activations [..., C], what the weight reads [..., d_in]: importance before the sigmoid."""
        shared = self.layers[0][0].ndim == 2
        if self.reads == "input":
            if read is None:
                raise ExplanationError("these gates read the input of a weight, which an embedding has not")
            h = read if shared else read[..., None, :]
        else:
            h = inner[..., None]
        for index, (W, b) in enumerate(self.layers):
            h = gelu(h) if index else h
            W, b = W.to(h), b.to(h)
            h = (
                h @ W + b
                if shared
                else torch.einsum("...ci,cio->...co", h.expand(*h.shape[:-2], *W.shape[:2]), W) + b
            )
        return h if shared else h[..., 0]


def _layers(gate: Mapping[str, Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
    if gate.keys() == {"mlp_in", "in_bias", "mlp_out", "out_bias"}:
        return (
            (gate["mlp_in"][:, None, :], gate["in_bias"]),
            (gate["mlp_out"][:, :, None], gate["out_bias"][:, None]),
        )
    if gate.keys() == {"weight", "bias"}:
        return ((gate["weight"][:, None, None], gate["bias"][:, None]),)
    numbers = sorted({int(name.split(".")[1]) for name in gate if name.startswith("layers.")})
    if not numbers or gate.keys() != {f"layers.{i}.{end}" for i in numbers for end in "Wb"}:
        raise ExplanationError(
            f"gates hold {', '.join(sorted(gate)) or 'nothing'}; expected mlp_in, in_bias, mlp_out and "
            "out_bias, or weight and bias, or W and b of layers.0, layers.2 …"
        )
    return tuple((gate[f"layers.{i}.W"], gate[f"layers.{i}.b"]) for i in numbers)


def _swish_hard(x: Tensor, beta: float = 10.0) -> Tensor:
    def swish(z: Tensor, sign: float) -> Tensor:
        return z * sigmoid(sign * beta * z)

    x = x - 0.5
    return 0.5 + swish(x - 0.5, -1) - swish(x, 1) + swish(x + 0.5, 1) - swish(x, -1)


def _hard(x: Tensor) -> Tensor:
    return x.clamp(0, 1)


SIGMOIDS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_hard": _hard,
    "lower_leaky_hard": _hard,
    "hard": _hard,
    "upper_leaky_hard": lambda x: torch.where(x > 1, 1 + 0.01 * (x - 1), _hard(x)),
    "normal": sigmoid,
    "swish_hard": _swish_hard,
}
"""Forward passes only: the leaks of the leaky ones live in the backward pass, or above 1."""


@dataclass(frozen=True, eq=False)
class Gates(ByWeight):
    """SPD's causal importance functions; a component is needed where its importance exceeds ``threshold``.

    ``weights[name]`` holds the tensors of the gates of one weight, as :meth:`GateNetwork.of` takes them.
    """

    weights: Mapping[str, Mapping[str, Tensor]]
    threshold: float = 0.1
    sigmoid: str = "leaky_hard"

    def __post_init__(self) -> None:
        if self.sigmoid not in SIGMOIDS:
            raise ExplanationError(f"gates: unknown sigmoid {self.sigmoid!r}; known: {', '.join(SIGMOIDS)}")

    def importance(self, weight: str, inner: Tensor, read: Tensor | None = None) -> Tensor:
        """Causal importance [..., C], in [0, 1] (a little above for the upper leaky sigmoid)."""
        raw = GateNetwork.of(self.weights[weight])(inner, read)
        return SIGMOIDS[self.sigmoid](raw)

    def __call__(self, weight: str, inner: Tensor, read: Tensor | None = None) -> Tensor:
        """Importance above the threshold."""
        return self.importance(weight, inner, read) > self.threshold

    def recipe(self) -> dict[str, object]:
        """The rule and its threshold."""
        other = {} if self.sigmoid == "leaky_hard" else {"sigmoid": self.sigmoid}
        return {"active": "gates", "threshold": self.threshold, **other}
