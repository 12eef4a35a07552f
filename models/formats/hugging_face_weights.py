"""Where each tensor of a Hugging Face model goes in our transformer, and how it is turned on the way.

Rules go by the name of the tensor with its layer replaced by a star.  Shapes in comments: h head, d model
width, e head width.  ``torch.nn.Linear`` stores [out, in]; GPT-2's Conv1D stores [in, out].
"""

from __future__ import annotations

from collections.abc import Callable

from assay.models.transformer_config import TransformerConfig
from torch import Tensor

__all__ = ["PREFIXES", "RULES", "SKIPPED", "TIED", "Rules"]

Rule = Callable[[Tensor, TransformerConfig], dict[str, Tensor]]
Rules = dict[str, Rule]

TIED = "tied.W_U"
"""The embedding as an unembedding, used where a configuration ties the two."""

SKIPPED = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".inv_freq")
"""Ends of the names of buffers: masks and frequencies."""


def _as(name: str) -> Rule:
    return lambda t, c: {name: t}


def _turned(name: str) -> Rule:
    return lambda t, c: {name: t.T}


def _one_more(name: str) -> Rule:
    """Gemma stores the weights of its norms less 1."""
    return lambda t, c: {name: t.float() + 1}


def _reads(letter: str) -> Rule:
    """[h e, d] to [h, d, e]; fewer heads where they share keys and values."""

    def rule(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
        shared = "_" if c.n_key_value_heads and letter != "Q" else ""
        return {f"attn.{shared}W_{letter}": t.view(-1, c.d_head, c.d_model).transpose(1, 2)}

    return rule


def _read_bias(letter: str) -> Rule:
    def rule(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
        shared = "_" if c.n_key_value_heads and letter != "Q" else ""
        return {f"attn.{shared}b_{letter}": t.view(-1, c.d_head)}

    return rule


def _writes(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    """[d, h e] to [h, e, d]."""
    return {"attn.W_O": t.T.reshape(c.n_heads, c.d_head, c.d_model)}


def _embedding(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    return {"embed.W_E": t, TIED: t.T}


def _scaled_embedding(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    """Gemma multiplies embeddings by √d on the way in."""
    return {"embed.W_E": t.float() * c.d_model**0.5, TIED: t.T}


def _gpt2_qkv(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    """[d, 3 h e] to three of [h, d, e]."""
    W = t.view(c.d_model, 3, c.n_heads, c.d_head).permute(1, 2, 0, 3)
    return {f"attn.W_{letter}": W[i] for i, letter in enumerate("QKV")}


def _gpt2_qkv_bias(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    b = t.view(3, c.n_heads, c.d_head)
    return {f"attn.b_{letter}": b[i] for i, letter in enumerate("QKV")}


def _gpt2_writes(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    return {"attn.W_O": t.view(c.n_heads, c.d_head, c.d_model)}


def _neox_qkv(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    """[h 3 e, d] to three of [h, d, e]."""
    W = t.view(c.n_heads, 3, c.d_head, c.d_model).permute(1, 0, 3, 2)
    return {f"attn.W_{letter}": W[i] for i, letter in enumerate("QKV")}


def _neox_qkv_bias(t: Tensor, c: TransformerConfig) -> dict[str, Tensor]:
    b = t.view(c.n_heads, 3, c.d_head).transpose(0, 1)
    return {f"attn.b_{letter}": b[i] for i, letter in enumerate("QKV")}


def _layer_norm(theirs: str, ours: str) -> Rules:
    return {f"{theirs}.weight": _as(f"{ours}.w"), f"{theirs}.bias": _as(f"{ours}.b")}


GPT2: Rules = {
    "wte.weight": _embedding,
    "wpe.weight": _as("pos_embed.W_pos"),
    **_layer_norm("h.*.ln_1", "ln1"),
    **_layer_norm("h.*.ln_2", "ln2"),
    **_layer_norm("ln_f", "ln_final"),
    "h.*.attn.c_attn.weight": _gpt2_qkv,
    "h.*.attn.c_attn.bias": _gpt2_qkv_bias,
    "h.*.attn.c_proj.weight": _gpt2_writes,
    "h.*.attn.c_proj.bias": _as("attn.b_O"),
    "h.*.mlp.c_fc.weight": _as("mlp.W_in"),
    "h.*.mlp.c_fc.bias": _as("mlp.b_in"),
    "h.*.mlp.c_proj.weight": _as("mlp.W_out"),
    "h.*.mlp.c_proj.bias": _as("mlp.b_out"),
    "lm_head.weight": _turned("unembed.W_U"),
}

GPT_NEOX: Rules = {
    "embed_in.weight": _embedding,
    **_layer_norm("layers.*.input_layernorm", "ln1"),
    **_layer_norm("layers.*.post_attention_layernorm", "ln2"),
    **_layer_norm("final_layer_norm", "ln_final"),
    "layers.*.attention.query_key_value.weight": _neox_qkv,
    "layers.*.attention.query_key_value.bias": _neox_qkv_bias,
    "layers.*.attention.dense.weight": _writes,
    "layers.*.attention.dense.bias": _as("attn.b_O"),
    "layers.*.mlp.dense_h_to_4h.weight": _turned("mlp.W_in"),
    "layers.*.mlp.dense_h_to_4h.bias": _as("mlp.b_in"),
    "layers.*.mlp.dense_4h_to_h.weight": _turned("mlp.W_out"),
    "layers.*.mlp.dense_4h_to_h.bias": _as("mlp.b_out"),
    "embed_out.weight": _turned("unembed.W_U"),
    "lm_head.weight": _turned("unembed.W_U"),
}

LLAMA: Rules = {
    "embed_tokens.weight": _embedding,
    "layers.*.input_layernorm.weight": _as("ln1.w"),
    "layers.*.post_attention_layernorm.weight": _as("ln2.w"),
    "norm.weight": _as("ln_final.w"),
    **{f"layers.*.self_attn.{x.lower()}_proj.weight": _reads(x) for x in "QKV"},
    **{f"layers.*.self_attn.{x.lower()}_proj.bias": _read_bias(x) for x in "QKV"},
    "layers.*.self_attn.o_proj.weight": _writes,
    "layers.*.self_attn.o_proj.bias": _as("attn.b_O"),
    "layers.*.self_attn.q_norm.weight": _as("attn.q_norm.w"),
    "layers.*.self_attn.k_norm.weight": _as("attn.k_norm.w"),
    "layers.*.mlp.up_proj.weight": _turned("mlp.W_in"),
    "layers.*.mlp.gate_proj.weight": _turned("mlp.W_gate"),
    "layers.*.mlp.down_proj.weight": _turned("mlp.W_out"),
    "lm_head.weight": _turned("unembed.W_U"),
}

GEMMA: Rules = LLAMA | {
    "embed_tokens.weight": _scaled_embedding,
    "layers.*.input_layernorm.weight": _one_more("ln1.w"),
    "layers.*.post_attention_layernorm.weight": _one_more("ln2.w"),
    "norm.weight": _one_more("ln_final.w"),
}

GEMMA2: Rules = GEMMA | {
    "layers.*.post_attention_layernorm.weight": _one_more("ln1_post.w"),
    "layers.*.pre_feedforward_layernorm.weight": _one_more("ln2.w"),
    "layers.*.post_feedforward_layernorm.weight": _one_more("ln2_post.w"),
    "layers.*.self_attn.q_norm.weight": _one_more("attn.q_norm.w"),
    "layers.*.self_attn.k_norm.weight": _one_more("attn.k_norm.w"),
}

RULES: dict[str, Rules] = {
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), LLAMA),
    "gemma": GEMMA,
    **dict.fromkeys(("gemma2", "gemma3_text"), GEMMA2),
}

PREFIXES = {
    "gpt2": "transformer.",
    "gpt_neox": "gpt_neox.",
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), "model."),
}
"""What stands before the names of all tensors but the unembedding."""
