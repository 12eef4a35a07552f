"""Run by a Python that has transformer-lens and transformers: small random models and what they answer.

``python field_models.py lens OUT`` and ``python field_models.py hf OUT`` make a folder for each variant, with
the files as the library itself saves them and ``answers.safetensors``: tokens, logits, and activations.
The folders in ``tests/models/golden`` are some of them (``… golden tests/models/golden``).
"""

import json
import sys
from pathlib import Path

SMALL = {
    "n_layers": 2,
    "d_model": 16,
    "n_ctx": 12,
    "d_head": 8,
    "n_heads": 4,
    "d_vocab": 31,
    "d_mlp": 24,
    "act_fn": "gelu",
}

LENS = {
    "ln": {"normalization_type": "LN"},
    "ln-pre": {"normalization_type": "LNPre", "act_fn": "gelu_new"},
    "rms": {"normalization_type": "RMS", "act_fn": "silu", "gated_mlp": True, "eps": 1e-6},
    "rms-pre": {"normalization_type": "RMSPre", "act_fn": "relu"},
    "none": {"normalization_type": None, "act_fn": "relu2", "n_layers": 1},
    "final-rms": {"normalization_type": "LN", "final_rms": True, "act_fn": "solu_ln"},
    "solu": {"normalization_type": "LNPre", "act_fn": "solu"},
    "solu-ln-pre": {"normalization_type": "LNPre", "act_fn": "solu_ln", "d_vocab_out": 7},
    "shortformer": {"positional_embedding_type": "shortformer", "attn_only": True},
    "rotary": {"positional_embedding_type": "rotary", "rotary_dim": 4, "parallel_attn_mlp": True},
    "rotary-all": {"positional_embedding_type": "rotary", "rotary_base": 500, "normalization_type": "RMS"},
    "rotary-adjacent": {
        "positional_embedding_type": "rotary",
        "rotary_dim": 6,
        "rotary_adjacent_pairs": True,
        "rotary_scaling_factor": 4.0,
    },
    "grouped": {"positional_embedding_type": "rotary", "n_key_value_heads": 2, "normalization_type": "RMS"},
    "by-parts": {
        "positional_embedding_type": "rotary",
        "use_NTK_by_parts_rope": True,
        "NTK_by_parts_factor": 3.0,
        "NTK_original_ctx_len": 16,
        "rotary_base": 50,
    },
    "attn-only": {"attn_only": True, "normalization_type": "LN"},
    "bidirectional": {"attention_dir": "bidirectional"},
    "local": {"use_local_attn": True, "window_size": 3, "attn_types": ["global", "local"]},
    "gemma-2": {
        "positional_embedding_type": "rotary",
        "normalization_type": "RMS",
        "use_normalization_before_and_after": True,
        "attn_scores_soft_cap": 5.0,
        "output_logits_soft_cap": 3.0,
        "attn_scale": 3.0,
        "gated_mlp": True,
        "use_local_attn": True,
        "window_size": 4,
        "attn_types": ["local", "global"],
        "rotary_base_local": 100,
        "use_qk_norm": True,
    },
    "scaled-by-layer": {"scale_attn_by_inverse_layer_idx": True},
    "unscaled": {"use_attn_scale": False},
}

STATED = (
    "act_fn", "attention_dir", "normalization_type", "positional_embedding_type", "rotary_dim", "n_ctx",
)  # fmt: skip
"""Settings that a file beside the weights may need; others are written where a variant sets them."""


def randomise(model, scale=0.4):
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


GOLDEN = ("final-rms", "shortformer", "grouped", "gemma-2", "gpt2", "pythia", "llama", "gemma2")
KEPT = ("hook_resid_post", "hook_resid_pre", "hook_pattern", "hook_post", "hook_z")


def golden(out: Path) -> None:
    """A few variants of each kind, with fewer sites."""
    lens(out / "lens", GOLDEN, KEPT)
    hf(out / "hf", GOLDEN)


def lens(out: Path, only=tuple(LENS), kept=("",)) -> None:
    import torch
    from safetensors.torch import save_file
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    for name, change in LENS.items():
        if name not in only:
            continue
        cfg = HookedTransformerConfig(**{**SMALL, **change}, device="cpu", seed=0)
        model = randomise(HookedTransformer(cfg))
        folder = out / name
        folder.mkdir(parents=True)
        torch.save(model.state_dict(), folder / "model.pt")
        stated = {key: getattr(cfg, key) for key in (*STATED, *change)}
        (folder / "model.json").write_text(json.dumps(stated))
        tokens = torch.randint(cfg.d_vocab, (3, 11), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            logits, cache = model.run_with_cache(tokens)
        found = {
            f"site.{site}": value.clone().contiguous() for site, value in cache.items() if site.endswith(kept)
        }
        save_file({"tokens": tokens, "logits": logits, **found}, folder / "answers.safetensors")
        full = {k: str(v) if k == "dtype" else v for k, v in cfg.to_dict().items()}
        (folder / "full.json").write_text(json.dumps(full, default=str))


SMALL_HF = {
    "vocab_size": 31,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2 = {
    "vocab_size": 31,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 24,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}


def hf_configs():
    import transformers as hf

    return {
        "gpt2": hf.GPT2Config(**GPT2),
        "gpt2-odd": hf.GPT2Config(
            **GPT2, n_inner=20, scale_attn_by_inverse_layer_idx=True, activation_function="relu",
            tie_word_embeddings=False,
        ),
        "pythia": hf.GPTNeoXConfig(**{**SMALL_HF, "hidden_size": 32}),
        "neox-serial": hf.GPTNeoXConfig(
            **SMALL_HF, use_parallel_residual=False, attention_bias=False, rotary_pct=0.5
        ),
        "llama": hf.LlamaConfig(**SMALL_HF, num_key_value_heads=2),
        "llama-3": hf.LlamaConfig(**SMALL_HF, rope_parameters=dict(LLAMA3), attention_bias=True),
        "llama-linear": hf.LlamaConfig(
            **SMALL_HF, head_dim=6, rope_parameters=dict(LINEAR), tie_word_embeddings=True
        ),
        "mistral": hf.MistralConfig(**SMALL_HF, num_key_value_heads=2, sliding_window=3),
        "qwen2": hf.Qwen2Config(**SMALL_HF, num_key_value_heads=2),
        "qwen3": hf.Qwen3Config(**SMALL_HF, num_key_value_heads=2, head_dim=8),
        "gemma": hf.GemmaConfig(**SMALL_HF, num_key_value_heads=1, head_dim=8),
        "gemma2": hf.Gemma2Config(
            **SMALL_HF, num_key_value_heads=2, head_dim=8, sliding_window=4, query_pre_attn_scalar=5,
            attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
        ),
        "gemma3": hf.Gemma3TextConfig(
            **{**SMALL_HF, "num_hidden_layers": 6}, num_key_value_heads=2, head_dim=8, sliding_window=4,
        ),
        "other": hf.OPTConfig(
            vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, ffn_dim=24,
            max_position_embeddings=24, word_embed_proj_dim=16, do_layer_norm_before=True,
        ),
    }  # fmt: skip


def hf(out: Path, only=()) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    for name, config in hf_configs().items():
        if only and name not in only:
            continue
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        randomise(model, 0.2)
        shards = {"max_shard_size": "8KB"} if name in ("llama", "gpt2-odd") else {}
        model.save_pretrained(out / name, **shards)
        tokens = torch.randint(31, (3, 20), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            answer = model(tokens, use_cache=False, output_hidden_states=True)
        states = {f"site.blocks.{i}.hook_resid_pre": s for i, s in enumerate(answer.hidden_states[:-1])}
        found = {"tokens": tokens, "logits": answer.logits, **states}
        save_file({k: v.clone().contiguous() for k, v in found.items()}, out / name / "answers.safetensors")


def text(out: Path) -> None:
    """A byte-level tokenizer with a few merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["the cat and the dog and the cat"] * 4, trainer)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))


if __name__ == "__main__":
    {"lens": lens, "hf": hf, "text": text, "golden": golden}[sys.argv[1]](Path(sys.argv[2]))
