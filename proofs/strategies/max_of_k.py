"""The transformers that these proofs are about, read exactly: one layer, one head, attention only.

Letters are those of Gross et al. 2024 (arXiv 2406.11779): v tokens, K positions, d model width, e head width;
q the query (last) token, m the maximum, t a token at position p, j an output. The model is right on x if the
logit of m = max(x) is larger than every other one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from assay.models import Network, Transformer, TransformerConfig
from assay.proofs.faults import InputError
from numpy.typing import NDArray

__all__ = ["Exact", "MaxOfK", "Shape", "read"]

Exact = NDArray[Any]
"""Python's whole numbers in an array of objects: products and sums are exact."""


@dataclass(frozen=True)
class Shape:
    """Sizes: v tokens, K positions, d model width, e head width."""

    v: int
    K: int
    d: int
    e: int

    @property
    def sequences(self) -> int:
        """The number of inputs, v^K."""
        sequences: int = self.v**self.K
        return sequences

    @property
    def parameters(self) -> int:
        """How many weights there are: to read them is the shortest that any proof can be."""
        return 2 * self.v * self.d + self.K * self.d + 4 * self.d * self.e

    def sizes(self) -> dict[str, int]:
        """What a report says of them."""
        return {"v": self.v, "K": self.K, "d_model": self.d, "d_head": self.e}


@dataclass(frozen=True)
class MaxOfK:
    """The weights as whole numbers: a weight is its entry divided by 2^shift.

    E [v, d] embeds tokens, P [K, d] positions; Q, V [d, e], K [d, e] and O [e, d] are the head's; U [d, v].
    """

    network: Network
    shape: Shape
    shift: int
    E: Exact
    P: Exact
    Q: Exact
    K: Exact
    V: Exact
    O: Exact  # noqa: E741
    U: Exact


def read(network: Network) -> MaxOfK:
    """Read a network's weights exactly.  Raises `InputError` with all that keeps it from being max-of-K's."""
    if problems := _problems(network):
        raise InputError(
            f"network {network.name!r}: compact proofs are about one layer of one attention head, without "
            "normalisation, MLP and biases, read at the last position; " + "; ".join(problems)
        )
    state = {name: t.detach().cpu().double() for name, t in network.module.state_dict().items()}
    K, block = network.in_shape[0], "blocks.0.attn."
    tensors = {
        "E": state["embed.W_E"],
        "P": state["pos_embed.W_pos"][:K],
        **{c: state[f"{block}W_{c}"][0] for c in "QKVO"},
        "U": state["unembed.W_U"],
    }
    if wrong := [name for name, t in tensors.items() if not t.isfinite().all()]:
        raise InputError(f"network {network.name!r}: weights that are not finite in {', '.join(wrong)}")
    shift = max(_places(t.numpy()) for t in tensors.values())
    (v, d), e = tensors["E"].shape, tensors["Q"].shape[1]
    whole = {name: _whole(t.numpy(), shift) for name, t in tensors.items()}
    return MaxOfK(network, Shape(v, K, d, e), shift, **whole)


def _problems(network: Network) -> list[str]:
    module = network.module
    if not isinstance(module, Transformer):
        return [f"it is a {type(module).__name__}, expected a transformer"]
    config, usual = module.config, TransformerConfig(1, 1, 1, 1, 1, 1, attn_only=True)
    same = (
        "positions", "attn_scale", "attn_scale_by_layer", "attn_softcap", "logits_softcap", "qk_norm",
        "local_layers", "n_key_value_heads",
    )  # fmt: skip
    wanted: dict[str, object] = {name: getattr(usual, name) for name in same}
    wanted |= {"n_layers": 1, "n_heads": 1, "normalization": None, "attn_only": True}
    problems = [
        f"{name} is {getattr(config, name)!r}, expected {want!r}"
        for name, want in wanted.items()
        if getattr(config, name) != want
    ]
    if config.width_out != config.d_vocab:
        problems.append(f"d_vocab_out is {config.width_out}, expected {config.d_vocab}, one for each token")
    if not 2 <= network.in_shape[0] <= config.n_ctx or config.d_vocab < 2:
        problems.append(f"{network.in_shape[0]} positions and {config.d_vocab} tokens, expected two at least")
    state = module.state_dict()
    biased = [
        n for n, t in state.items() if n.rsplit(".", 1)[-1].lstrip("_").startswith("b_") and bool(t.any())
    ]
    problems += [f"{name} is not zero" for name in biased]
    if any(
        t.dtype not in (torch.float64, torch.float32, torch.float16, torch.bfloat16) for t in state.values()
    ):
        problems.append("weights are not all float64, float32, float16 or bfloat16")
    return problems


def _places(values: NDArray[np.float64]) -> int:
    """How many binary places behind the point the numbers need."""
    mantissas, exponents = np.frexp(values[values != 0])
    whole = (mantissas * 2.0**53).astype(np.int64)
    trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return max(0, int((53 - exponents - trailing).max(initial=0)))


def _whole(values: NDArray[np.float64], shift: int) -> Exact:
    mantissas, exponents = np.frexp(values)
    whole = np.empty(values.shape, dtype=object)
    for at in np.ndindex(values.shape):
        places = int(exponents[at]) - 53 + shift
        mantissa = int(mantissas[at] * 2.0**53)
        whole[at] = mantissa << places if places >= 0 else mantissa >> -places
    return whole
