"""Small dictionaries as the tools write them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

D_IN, D_SAE = 12, 30
G = torch.Generator().manual_seed(7)
X = torch.randn(40, D_IN, generator=G) * 1.5 + 0.3


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=G) * 0.4


def relu(pre):
    return pre.clamp_min(0)


def top(pre, k):
    kept = pre.topk(k, dim=1)
    return torch.zeros_like(pre).scatter(1, kept.indices, kept.values)


def linear():
    return {
        "encoder.weight": drawn(D_SAE, D_IN),
        "encoder.bias": drawn(D_SAE),
        "decoder.weight": drawn(D_IN, D_SAE),
    }


def direct():
    W = {"W_enc": drawn(D_IN, D_SAE), "b_enc": drawn(D_SAE), "W_dec": drawn(D_SAE, D_IN)}
    return {**W, "b_dec": drawn(D_IN)}


def number(value, dtype):
    return torch.tensor(value, dtype=dtype)


K, LEVEL = number(4, torch.int), number(0.7, torch.float32)
DICTIONARIES = {
    "AutoEncoder": (linear() | {"bias": drawn(D_IN)}, lambda s, pre: relu(pre)),
    "AutoEncoderNew": (linear() | {"decoder.bias": drawn(D_IN)}, lambda s, pre: relu(pre)),
    "AutoEncoderTopK": (
        linear() | {"b_dec": drawn(D_IN), "k": K, "threshold": LEVEL},
        lambda s, pre: top(relu(pre), 4),
    ),
    "BatchTopKSAE": (
        linear() | {"b_dec": drawn(D_IN), "k": K, "threshold": LEVEL},
        lambda s, pre: relu(pre) * (relu(pre) > 0.7),
    ),
    "MatryoshkaBatchTopKSAE": (
        direct() | {"k": K, "threshold": LEVEL, "group_sizes": torch.tensor([10, 5, 15])},
        lambda s, pre: relu(pre) * (relu(pre) > 0.7),
    ),
    "JumpReluAutoEncoder": (
        direct() | {"threshold": drawn(D_SAE).abs()},
        lambda s, pre: relu(pre * (pre > s["threshold"])),
    ),
    "GatedAutoEncoder": (
        {n: v for n, v in linear().items() if n != "encoder.bias"}
        | {"decoder_bias": drawn(D_IN), "r_mag": drawn(D_SAE)}
        | {"gate_bias": drawn(D_SAE), "mag_bias": drawn(D_SAE)},
        lambda s, pre: (pre + s["gate_bias"] > 0) * relu(s["r_mag"].exp() * pre + s["mag_bias"]),
    ),
}  # fmt: skip


def dictionary_folder(folder: Path, name: str, **trainer) -> dict:
    state = DICTIONARIES[name][0]
    torch.save(state, folder / "ae.pt")
    about = {"dict_class": name, "activation_dim": D_IN, "dict_size": D_SAE, "k": 4, "layer": 3}
    config = {"trainer": {**about, "lm_name": "EleutherAI/pythia-70m", **trainer}, "buffer": {"ctx_len": 128}}
    (folder / "config.json").write_text(json.dumps(config))
    return state


def sparsify_folder(folder: Path, **config) -> dict:
    state = {"encoder.weight": drawn(D_SAE, D_IN), "encoder.bias": drawn(D_SAE)}
    state |= {"W_dec": drawn(D_SAE, D_IN), "b_dec": drawn(D_IN)}
    if config.get("skip_connection"):
        state["W_skip"] = drawn(D_IN, D_IN)
    folder.mkdir()
    save_file(state, folder / "sae.safetensors")
    options = {"activation": "topk", "expansion_factor": 32, "num_latents": D_SAE, "k": 4, "d_in": D_IN}
    (folder / "cfg.json").write_text(json.dumps({**options, **config}))
    return state
