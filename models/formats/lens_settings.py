"""The settings of a ``HookedTransformerConfig`` in a JSON or YAML file, and what they mean here.

Whatever that class writes down may stand in the file and is checked: a setting that changes what is computed
and that our transformer does not have is refused by name.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["READ", "SHAPED", "fields_of"]

SIZES = {"n_layers", "d_model", "n_heads", "d_head", "d_vocab", "d_vocab_out", "d_mlp", "n_ctx"}
SHAPED = SIZES | {"n_key_value_heads", "gated_mlp", "attn_only", "biases"}


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _number(value: Any) -> float:
    """YAML 1.1 takes 1e-5 for a word."""
    if isinstance(value, bool) or value is None:
        raise ValueError("a number")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError("a number") from error


def _whole(value: Any) -> int:
    if _number(value) != int(_number(value)):
        raise ValueError("a whole number")
    return int(_number(value))


def _word(value: Any) -> str | None:
    return None if value is None or str(value).lower() in ("none", "null") else str(value)


def _causal(value: Any) -> bool:
    if value not in ("causal", "bidirectional"):
        raise ValueError("causal or bidirectional")
    return bool(value == "causal")


def _cap(value: Any) -> float:
    """-1 and none mean that there is none."""
    return 0.0 if _word(value) is None else max(0.0, _number(value))


def _local(kinds: Any) -> list[int]:
    if not isinstance(kinds, list) or set(kinds) - {"global", "local"}:
        raise ValueError("a list of global and local, one for each layer")
    return [layer for layer, kind in enumerate(kinds) if kind == "local"]


READ: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "act_fn": ("act_fn", _word),
    "attention_dir": ("causal", _causal),
    "normalization_type": ("normalization", _word),
    "positional_embedding_type": ("positions", _word),
    "eps": ("eps", _number),
    "n_ctx": ("n_ctx", _whole),
    "final_rms": ("final_rms", _flag),
    "parallel_attn_mlp": ("parallel", _flag),
    "use_normalization_before_and_after": ("norm_after", _flag),
    "use_qk_norm": ("qk_norm", _flag),
    "scale_attn_by_inverse_layer_idx": ("attn_scale_by_layer", _flag),
    "attn_scale": ("attn_scale", _cap),
    "attn_scores_soft_cap": ("attn_softcap", _cap),
    "output_logits_soft_cap": ("logits_softcap", _cap),
    "rotary_dim": ("rotary_dim", lambda value: 0 if value is None else _whole(value)),
    "rotary_base": ("rotary_base", _number),
    "rotary_base_local": ("rotary_base_local", _cap),
    "rotary_adjacent_pairs": ("rotary_adjacent_pairs", _flag),
    "rotary_scaling_factor": ("rotary_factor", _number),
    "readout": ("readout", _word),
}
"""Settings of HookedTransformerConfig (and our ``readout``): our field, and how a value is read."""

SWITCHED: dict[str, dict[str, tuple[str, Callable[[Any], Any], Any]]] = {
    "use_NTK_by_parts_rope": {
        "NTK_by_parts_factor": ("rotary_factor", _number, 8.0),
        "NTK_by_parts_low_freq_factor": ("rotary_low_freq", _number, 1.0),
        "NTK_by_parts_high_freq_factor": ("rotary_high_freq", _number, 4.0),
        "NTK_original_ctx_len": ("rotary_original_ctx", _whole, 8192),
    },
    "use_local_attn": {
        "window_size": ("window", _whole, None),
        "attn_types": ("local_layers", _local, None),
    },
}
"""Settings that count only with a switch on, with TransformerLens' defaults; None has to be given."""

REFUSED: dict[str, tuple[Any, ...]] = {
    "post_embedding_ln": (False,),
    "use_yarn_rope": (False,),
    "use_attention_sinks": (False,),
    "use_logn_attn": (False,),
    "use_dynamic_ntk_rope": (False,),
    "load_in_4bit": (False,),
    "clip_qkv": (None,),
    "num_experts": (None,),
    "experts_per_token": (None,),
    "quantization_method": (None,),
}
"""Settings that change what is computed, with the values under which our transformer agrees."""

_ABSENT = object()

POST_NORM = ("Olmo2ForCausalLM", "Olmo3ForCausalLM", "OlmoeForCausalLM")

HARMLESS = {
    "model_name", "original_architecture", "tokenizer_name", "tokenizer_prepends_bos", "default_prepend_bos",
    "device", "n_devices", "dtype", "seed", "init_mode", "init_weights", "initializer_range", "n_params",
    "from_checkpoint", "checkpoint_index", "checkpoint_label_type", "checkpoint_value", "use_attn_result",
    "use_split_qkv_input", "use_hook_mlp_in", "use_attn_in", "use_hook_tokens", "use_attn_scale",
    "ungroup_grouped_query_attention", "trust_remote_code", "uses_rms_norm", "layer_norm_folding",
    "tie_word_embeddings", "relative_attention_max_distance", "relative_attention_num_buckets",
    "decoder_start_token_id", "norm_topk_prob", "train_seq_length", "yarn_factor", "yarn_attention_factor",
    "yarn_beta_fast", "yarn_beta_slow", "yarn_original_max_position_embeddings", "yarn_truncate",
    "yarn_global_attn_only",
}  # fmt: skip
"""Settings that change nothing here, or only with a switch of `REFUSED` on."""


def fields_of(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Our fields that the settings give, and what is wrong with them."""
    given: dict[str, Any] = {}
    problems: list[str] = []
    table = {name: (field, read, settings.get(name, _ABSENT)) for name, (field, read) in READ.items()}
    for switch, group in SWITCHED.items():
        if settings.get(switch):
            for name, (field, read, default) in group.items():
                table[name] = (field, read, settings.get(name, default))
    for name, (field, read, value) in table.items():
        if value is _ABSENT or (name in SIZES and value is None):
            continue
        try:
            given[field] = read(value)
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(f"{name} is {value!r}, expected {error}")
    if settings.get("use_attn_scale") is False:
        given["attn_scale"] = 1.0
    return given, problems + _refusals(settings)


def _refusals(settings: Mapping[str, Any]) -> list[str]:
    """Settings that are unknown, or that our transformer does not have."""
    known = {*READ, *REFUSED, *HARMLESS, *SHAPED, *SWITCHED, *(n for g in SWITCHED.values() for n in g)}
    problems = []
    for name in sorted(settings.keys() - known):
        near = difflib.get_close_matches(name, known, n=1)
        problems.append(f"unknown setting {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    for name, fine in REFUSED.items():
        if name in settings and settings[name] not in fine:
            problems.append(f"{name} = {settings[name]!r} is not supported")
    if settings.get("original_architecture") in POST_NORM:
        problems.append(f"original_architecture = {settings['original_architecture']!r} is not supported")
    if settings.get("use_NTK_by_parts_rope") and settings.get("use_local_attn"):
        problems.append("use_NTK_by_parts_rope with use_local_attn is not supported")
    return problems
