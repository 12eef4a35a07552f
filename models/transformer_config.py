"""The architecture of a transformer as plain numbers and words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

__all__ = ["Activation", "Normalization", "Positions", "TransformerConfig"]

Activation = Literal[
    "relu", "relu2", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "silu", "solu", "solu_ln"
]
Normalization = Literal["LN", "LNPre", "RMS", "RMSPre"]
Positions = Literal["standard", "shortformer", "rotary"]

UNSEEN = (
    "act_fn", "eps", "causal", "positions", "parallel", "attn_scale", "attn_scale_by_layer", "attn_softcap",
    "logits_softcap", "window", "local_layers", "rotary_dim", "rotary_base", "rotary_base_local",
    "rotary_adjacent_pairs", "rotary_factor", "rotary_low_freq", "rotary_high_freq", "rotary_original_ctx",
)  # fmt: skip


@dataclass(frozen=True)
class TransformerConfig:
    """The architecture, in TransformerLens' words.

    Attributes:
        d_mlp: width of the MLPs; 0 with ``attn_only``.
        d_vocab_out: number of logits; 0 means ``d_vocab``.
        normalization: None, "LN" (layer norm with weights), "RMS" (root mean square with weights), or
            "LNPre" and "RMSPre" (the normalisation alone).
        final_rms: the last normalisation is of the RMS kind, whatever the others are.
        norm_after: what attention and MLP write is normalised, too (Gemma 2).
        biases: attention, MLP and unembedding have biases; layer norm keeps its own.
        causal: positions see only those before them.
        readout: "all" gives logits [b, p, d_vocab_out], "last" gives [b, d_vocab_out].
        positions: "standard" adds a learned embedding to the residual stream, "shortformer" to the inputs of
            queries and keys alone, "rotary" turns queries and keys (Su et al. 2021).
        rotary_dim: how many of a head's dimensions are turned; 0 means all.
        rotary_base: base of the frequencies; ``rotary_base_local`` (0: the same) in layers with a window.
        rotary_adjacent_pairs: pairs are (0, 1), (2, 3), … as in GPT-J, not halves as in GPT-NeoX.
        rotary_factor: frequencies are divided by it in layers without a window. With
            ``rotary_original_ctx`` this is done by parts (Llama 3.1): not for wavelengths below
            original_ctx / ``rotary_high_freq``, fully above original_ctx / ``rotary_low_freq``.
        parallel: attention and MLP both read the residual stream before the block (GPT-J, GPT-NeoX).
        gated_mlp: an MLP multiplies act(x W_gate) with x W_in.
        n_key_value_heads: keys and values that groups of heads share; 0 means that each head has its own.
        attn_scale: what scores are divided by; 0 means √d_head.
        attn_scale_by_layer: layer i divides them by i + 1 as well.
        qk_norm: queries and keys of each head are normalised (RMS) before the rotation.
        attn_softcap: scores pass c · tanh(score / c); 0 means that they do not. ``logits_softcap`` likewise.
        local_layers: layers in which a position sees the last ``window`` positions, itself among them.
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_vocab: int
    n_ctx: int
    d_mlp: int = 0
    d_vocab_out: int = 0
    act_fn: Activation = "relu"
    normalization: Normalization | None = "LN"
    eps: float = 1e-5
    attn_only: bool = False
    biases: bool = True
    causal: bool = True
    readout: Literal["all", "last"] = "all"
    positions: Positions = "standard"
    final_rms: bool = False
    norm_after: bool = False
    parallel: bool = False
    gated_mlp: bool = False
    n_key_value_heads: int = 0
    attn_scale: float = 0.0
    attn_scale_by_layer: bool = False
    qk_norm: bool = False
    attn_softcap: float = 0.0
    logits_softcap: float = 0.0
    window: int = 0
    local_layers: Sequence[int] = ()
    rotary_dim: int = 0
    rotary_base: float = 10000.0
    rotary_base_local: float = 0.0
    rotary_adjacent_pairs: bool = False
    rotary_factor: float = 1.0
    rotary_low_freq: float = 1.0
    rotary_high_freq: float = 4.0
    rotary_original_ctx: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "local_layers", tuple(self.local_layers))
        if problems := self._problems():
            raise ValueError("; ".join(problems))

    def _problems(self) -> list[str]:
        """Everything that is impossible, with what was expected."""
        known = {
            "act_fn": get_args(Activation),
            "normalization": (None, *get_args(Normalization)),
            "readout": ("all", "last"),
            "positions": get_args(Positions),
        }
        problems = [
            f"{field} is {getattr(self, field)!r}, expected one of {', '.join(map(str, values))}"
            for field, values in known.items()
            if getattr(self, field) not in values
        ]
        groups, turned = self.n_key_value_heads, self.turned
        wrong = {
            f"d_mlp is {self.d_mlp}, expected at least 1 unless attn_only is set": (
                not self.attn_only and self.d_mlp < 1
            ),
            f"n_key_value_heads is {groups}, expected a divisor of n_heads = {self.n_heads}": (
                groups < 0 or (groups > 0 and self.n_heads % groups > 0)
            ),
            f"rotary_dim is {turned}, expected an even number up to d_head = {self.d_head}": (
                self.positions == "rotary" and (turned % 2 == 1 or turned > self.d_head)
            ),
            f"window is {self.window}, expected at least 1 with local_layers": (
                len(self.local_layers) > 0 and self.window < 1
            ),
            f"eps is {self.eps}, expected a positive number": not self.eps > 0,
            "gated_mlp does not go with act_fn solu_ln": self.gated_mlp and self.act_fn == "solu_ln",
            "parallel does not go with attn_only": self.parallel and self.attn_only,
            f"norm_after goes with RMS and RMSPre, not with {self.normalization}": (
                self.norm_after and self.normalization not in ("RMS", "RMSPre")
            ),
        }
        return problems + [problem for problem, is_so in wrong.items() if is_so]

    @property
    def unseen(self) -> str:
        """Settings that names and shapes of the weights do not show, where they are not the usual ones."""
        kept = {name: value for name, value in asdict(self).items() if name in UNSEEN}
        usual = {f.name: f.default for f in fields(self)}
        return "".join(f"{name}={value!r};" for name, value in kept.items() if value != usual[name])

    @property
    def width_out(self) -> int:
        """Number of logits: ``d_vocab_out``, or ``d_vocab`` where that is left at 0."""
        return self.d_vocab_out or self.d_vocab

    @property
    def turned(self) -> int:
        """Number of a head's dimensions that rotary positions turn."""
        return self.rotary_dim or self.d_head

    def is_local(self, layer: int) -> bool:
        """Whether a layer sees a window only."""
        return layer in self.local_layers

    def score_scale(self, layer: int) -> float:
        """What a layer's attention scores are divided by."""
        return (self.attn_scale or math.sqrt(self.d_head)) * (layer + 1 if self.attn_scale_by_layer else 1)
