"""What the fields of a Hugging Face ``config.json`` mean for our transformer, by model type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.models.transformer_config import TransformerConfig

__all__ = ["CONFIGS", "Unsupported"]

Raw = Mapping[str, Any]

ACTIVATIONS = {
    name: name for name in ("relu", "relu2", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "silu")
} | {"swish": "silu"}


class Unsupported(Exception):
    """Fields that our transformer does not have; ``fields`` lists them as name = value."""

    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__("; ".join(fields))
        self.fields = tuple(fields)


class _Reading:
    """The fields of one configuration, and the unsupported ones that were met on the way."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.unsupported: list[str] = []

    def get(self, name: str, default: Any) -> Any:
        """A field; its default where it is left out or null."""
        value = self.raw.get(name)
        return default if value is None else value

    def only(self, name: str, *fine: Any) -> None:
        """Refuse every value of a field but these; left out is fine."""
        if name in self.raw and self.raw[name] not in fine:
            self.unsupported.append(f"{name} = {self.raw[name]!r}")

    def activation(self, name: str, default: str) -> str:
        """Our name of an activation function."""
        theirs = self.get(name, default)
        if theirs not in ACTIVATIONS:
            self.unsupported.append(f"{name} = {theirs!r}")
        return ACTIVATIONS.get(theirs, "relu")

    def heads(self) -> dict[str, int]:
        """Sizes of the residual stream and of its heads."""
        d_model, n_heads = int(self.raw["hidden_size"]), int(self.raw["num_attention_heads"])
        groups = int(self.get("num_key_value_heads", n_heads))
        return {
            "d_model": d_model,
            "n_heads": n_heads,
            "d_head": int(self.get("head_dim", d_model // n_heads)),
            "n_key_value_heads": 0 if groups == n_heads else groups,
        }

    def sizes(self, context: int) -> dict[str, int]:
        """Numbers of layers, neurons, tokens and positions."""
        return {
            "n_layers": int(self.raw["num_hidden_layers"]),
            "d_mlp": int(self.raw["intermediate_size"]),
            "d_vocab": int(self.raw["vocab_size"]),
            "n_ctx": int(self.get("max_position_embeddings", context)),
        }

    def windows(self, by_default: Callable[[int], bool]) -> dict[str, Any]:
        """Layers that see a window only: as ``layer_types`` says, else by the family's rule."""
        window = self.raw.get("sliding_window")
        if not window:
            return {}
        kinds = self.raw.get("layer_types")
        layers = range(int(self.raw["num_hidden_layers"]))
        if kinds is None:
            return {"window": int(window), "local_layers": [i for i in layers if by_default(i)]}
        if other := sorted(set(kinds) - {"full_attention", "sliding_attention"}):
            self.unsupported.append(f"layer_types = {', '.join(other)}")
        return {
            "window": int(window),
            "local_layers": [i for i in layers if kinds[i] == "sliding_attention"],
        }

    def rotary(self, share: float = 1.0) -> dict[str, Any]:
        """Base and scaling of rotary positions, as every version of the library writes them."""
        rope: Raw = self.get("rope_parameters", self.get("rope_scaling", {}))
        local: Raw = rope.get("sliding_attention", {})
        rope = rope.get("full_attention", rope)
        theta = self.get("rope_theta", self.get("rotary_emb_base", 10000.0))
        part = self.get("partial_rotary_factor", self.get("rotary_pct", share))
        turned = int(rope.get("partial_rotary_factor", part) * self.heads()["d_head"])
        found = {
            "positions": "rotary",
            "rotary_dim": turned,
            "rotary_base": float(rope.get("rope_theta", theta)),
            "rotary_base_local": float(local.get("rope_theta", self.get("rope_local_base_freq", 0.0))),
        }
        return found | self._scaled(rope)

    def _scaled(self, rope: Raw) -> dict[str, Any]:
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind == "default":
            return {}
        if kind == "linear":
            return {"rotary_factor": float(rope["factor"])}
        if kind == "llama3":
            return {
                "rotary_factor": float(rope["factor"]),
                "rotary_low_freq": float(rope["low_freq_factor"]),
                "rotary_high_freq": float(rope["high_freq_factor"]),
                "rotary_original_ctx": int(rope["original_max_position_embeddings"]),
            }
        self.unsupported.append(f"rope_type = {kind!r}")
        return {}

    def made(self, tied: bool, **fields: Any) -> tuple[TransformerConfig, bool]:
        """The configuration, and whether the unembedding is the embedding.  Raises `Unsupported`."""
        scaled_window = fields.get("local_layers") and fields.get("rotary_factor", 1.0) != 1.0
        if scaled_window and not fields.get("rotary_base_local"):
            self.unsupported.append("a scaled rope with a sliding_window")
        self.only("quantization_config", None)
        if self.unsupported:
            raise Unsupported(self.unsupported)
        return TransformerConfig(**fields), bool(self.get("tie_word_embeddings", tied))


def _gpt2(raw: Raw) -> tuple[TransformerConfig, bool]:
    r = _Reading(raw)
    r.only("add_cross_attention", False, None)
    d_model, heads = int(raw["n_embd"]), int(raw["n_head"])
    return r.made(
        tied=True,
        n_layers=int(raw["n_layer"]),
        d_model=d_model,
        n_heads=heads,
        d_head=d_model // heads,
        d_mlp=int(r.get("n_inner", 4 * d_model)),
        d_vocab=int(raw["vocab_size"]),
        n_ctx=int(r.get("n_positions", r.get("n_ctx", 1024))),
        act_fn=r.activation("activation_function", "gelu_new"),
        eps=float(r.get("layer_norm_epsilon", 1e-5)),
        attn_scale=0.0 if r.get("scale_attn_weights", True) else 1.0,
        attn_scale_by_layer=bool(r.get("scale_attn_by_inverse_layer_idx", False)),
    )


def _gpt_neox(raw: Raw) -> tuple[TransformerConfig, bool]:
    r = _Reading(raw)
    return r.made(
        tied=False,
        **r.heads(),
        **r.sizes(2048),
        **r.rotary(0.25),
        act_fn=r.activation("hidden_act", "gelu"),
        eps=float(r.get("layer_norm_eps", 1e-5)),
        parallel=bool(r.get("use_parallel_residual", True)),
    )


def _llama_like(raw: Raw, by_default: Callable[[int], bool], **more: Any) -> tuple[TransformerConfig, bool]:
    r = _Reading(raw)
    r.only("mlp_bias", None, False)
    windows = {} if raw["model_type"] == "llama" else r.windows(by_default)
    return r.made(
        tied=False,
        **r.heads(),
        **r.sizes(2048),
        **r.rotary(),
        **windows,
        act_fn=r.activation("hidden_act", "silu"),
        eps=float(r.get("rms_norm_eps", 1e-6)),
        normalization="RMS",
        gated_mlp=True,
        **more,
    )


def _llama(raw: Raw) -> tuple[TransformerConfig, bool]:
    return _llama_like(raw, lambda layer: True)


def _qwen(raw: Raw) -> tuple[TransformerConfig, bool]:
    windowed, first = bool(raw.get("use_sliding_window")), int(raw.get("max_window_layers") or 0)
    qk_norm = raw["model_type"] == "qwen3"
    return _llama_like(raw, lambda layer: windowed and layer >= first, qk_norm=qk_norm)


def _gemma(raw: Raw) -> tuple[TransformerConfig, bool]:
    """Gemma's own code uses the tanh form of GELU; "gelu" in early configurations means that."""
    r = _Reading(raw)
    r.only("use_bidirectional_attention", None, False)
    early = r.get("hidden_act", "gelu")
    act = "gelu_pytorch_tanh" if early == "gelu" else early
    second = raw["model_type"] != "gemma"
    more: dict[str, Any] = {}
    if second:
        scalar = float(r.get("query_pre_attn_scalar", 256))
        more = {"norm_after": True, "attn_scale": math.sqrt(scalar)}
        more["attn_softcap"] = float(raw.get("attn_logit_softcapping") or 0.0)
        more["logits_softcap"] = float(raw.get("final_logit_softcapping") or 0.0)
        every = int(r.get("sliding_window_pattern", 6))
        third = raw["model_type"] != "gemma2"
        more |= r.windows((lambda i: (i + 1) % every != 0) if third else (lambda i: i % 2 == 0))
        more["qk_norm"] = third
    return r.made(
        tied=True,
        **r.heads(),
        **r.sizes(8192),
        **r.rotary(),
        **more,
        act_fn=r.activation("hidden_activation", act),
        eps=float(r.get("rms_norm_eps", 1e-6)),
        normalization="RMS",
        gated_mlp=True,
    )


CONFIGS: dict[str, Callable[[Raw], tuple[TransformerConfig, bool]]] = {
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _llama,
    "mistral": _llama,
    "qwen2": _qwen,
    "qwen3": _qwen,
    "gemma": _gemma,
    "gemma2": _gemma,
    "gemma3_text": _gemma,
}
"""How the configuration of each model type that is read directly is read."""
