"""dictionary_learning folders: ``ae.pt`` and ``config.json``; the same with a router (switch SAEs).

Traps: encoder.weight is [d_sae, d_in] and decoder.weight [d_in, d_sae]; JumpReLU does not subtract b_dec;
TopK stores a threshold that its encoding ignores; BatchTopK and Matryoshka encode with theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from assay.explanations.sae.folding import gated
from assay.explanations.sae.router import Router
from assay.explanations.sae.weights import SAE
from assay.models.state_dicts import read_by_name, read_settings
from torch import Tensor

from .reading import Shape, State, sizes_of, text_of

LINEAR: dict[str, Shape] = {"encoder.weight": ("d_sae", "d_in"), "decoder.weight": ("d_in", "d_sae")}
BIASED: dict[str, Shape] = {**LINEAR, "encoder.bias": ("d_sae",)}
DIRECT: dict[str, Shape] = {
    "W_enc": ("d_in", "d_sae"), "W_dec": ("d_sae", "d_in"), "b_enc": ("d_sae",), "b_dec": ("d_in",)
}  # fmt: skip
LEVEL: dict[str, Shape] = {"k": (), "threshold": ()}
ROUTED: dict[str, Shape] = {
    "encoder.weight": ("d_sae", "d_in"), "decoder": ("d_sae", "d_in"), "b_dec": ("d_in",),
    "router.weight": ("experts", "d_in"), "b_router": ("d_in",),
}  # fmt: skip
KEYS: dict[str, dict[str, Shape]] = {
    "AutoEncoder": {**BIASED, "bias": ("d_in",)},
    "AutoEncoderNew": {**BIASED, "decoder.bias": ("d_in",)},
    "AutoEncoderTopK": {**BIASED, "b_dec": ("d_in",), "k": ()},
    "BatchTopKSAE": {**BIASED, "b_dec": ("d_in",), **LEVEL},
    "MatryoshkaBatchTopKSAE": {**DIRECT, **LEVEL, "group_sizes": ("groups",)},
    "JumpReluAutoEncoder": {**DIRECT, "threshold": ("d_sae",)},
    "GatedAutoEncoder": {
        **LINEAR, "decoder_bias": ("d_in",),
        "r_mag": ("d_sae",), "gate_bias": ("d_sae",), "mag_bias": ("d_sae",),
    },
    "SwitchAutoEncoder": ROUTED,
}  # fmt: skip
BIASES = ("b_dec", "bias", "decoder.bias", "decoder_bias")
WHERE = {"attn": "hook_attn_out", "attention": "hook_attn_out", "mlp": "hook_mlp_out"}


def read_dictionary_learning(path: Path) -> SAE:
    """Read ``ae.pt`` (the file, or the folder that holds it) with the ``config.json`` beside it."""
    path = path / "ae.pt" if path.is_dir() else path
    beside = path.parent / "config.json"
    config = read_settings(beside) if beside.is_file() else {}
    trainer = config.get("trainer", config)
    found = read_by_name(path)
    state = State(path, found, trainer if isinstance(trainer, dict) else {})
    if not isinstance(trainer, dict):
        state.wrong.append(f"config.json: trainer is {trainer!r}, expected an object")
    state.sizes |= sizes_of(state.config, d_in="activation_dim", d_sae="dict_size", experts="experts")
    dict_class = state.choose("dict_class", tuple(KEYS), _guess(found))
    ignored: dict[str, Shape] = {"threshold": ()} if dict_class == "AutoEncoderTopK" else {}
    if "k" not in found and "k" in state.config and "k" in KEYS[dict_class]:
        found["k"] = (
            torch.tensor(state.config["k"]) if isinstance(state.config["k"], int) else state.config["k"]
        )
    weights = state.take(KEYS[dict_class], ignored)
    return _made(state, dict_class, weights)


def _guess(found: dict[str, Any]) -> str:
    """The class whose keys these are, where no configuration says: the one with the fewest differences."""
    wrong = {name: len(keys.keys() ^ found.keys()) for name, keys in KEYS.items()}
    return min(wrong, key=lambda name: (wrong[name], name))


def _made(state: State, dict_class: str, weights: dict[str, Tensor]) -> SAE:
    W_enc = weights["W_enc"] if "W_enc" in weights else weights["encoder.weight"].T
    W_dec = weights["W_dec"] if "W_dec" in weights else weights.get("decoder", weights.get("decoder.weight"))
    assert W_dec is not None
    given: dict[str, Any] = {
        "W_enc": W_enc,
        "W_dec": W_dec.T if "decoder.weight" in weights else W_dec,
        "b_enc": weights.get("encoder.bias", weights.get("b_enc", torch.zeros(W_enc.shape[1]))),
        "b_dec": next(weights[name] for name in BIASES if name in weights),
        "subtract_b_dec": dict_class not in ("JumpReluAutoEncoder", "AutoEncoderNew"),
        "site": _site(state.config),
        "about": {
            "folder": state.path.parent.name,
            "written_by": "dictionary_learning",
            "trained_as": dict_class,
        },
    }
    return SAE(**given | _rule(state, dict_class, weights))


def _rule(state: State, dict_class: str, weights: dict[str, Tensor]) -> dict[str, Any]:
    """How features are chosen."""
    width = int(state.sizes["d_sae"])
    if dict_class == "AutoEncoderTopK":
        k = state.count("k", weights["k"])
        state.check()
        return {"architecture": "topk", "k": k}
    if dict_class == "SwitchAutoEncoder":
        k = state.count("k", state.config.get("k"))
        state.check()
        router = Router(weights["router.weight"].T, weights["b_router"], bool(state.config.get("heaviside")))
        return {"architecture": "topk", "k": k, "router": router}
    if dict_class == "GatedAutoEncoder":
        biases = (weights[name] for name in ("r_mag", "gate_bias", "mag_bias"))
        return {"architecture": "jumprelu", **gated(weights["encoder.weight"].T, *biases)}
    if "threshold" not in weights:
        return {"architecture": "standard"}
    threshold = weights["threshold"].expand(width).clone()
    if "group_sizes" not in weights:
        return {"architecture": "jumprelu", "threshold": threshold}
    prefixes = tuple(int(n) for n in weights["group_sizes"].cumsum(0))
    return {"architecture": "jumprelu", "threshold": threshold, "prefixes": prefixes}


def _site(config: Any) -> str:
    """The hook point of the trainer's layer: the residual stream, unless a submodule says else."""
    layer, part = config.get("layer"), text_of(config, "submodule_name")
    if not isinstance(layer, int):
        return ""
    return f"blocks.{layer}.{next((hook for word, hook in WHERE.items() if word in part), 'hook_resid_post')}"
