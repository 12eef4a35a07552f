"""Files of every tool: layouts as the tools write them, encodings by formulas read from the tools' code."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from assay.explanations import ExplanationError
from assay.explanations.sae import SAE, Transcoder, load_any, load_sae, load_transcoders
from assay.explanations.sae.formats.sparsify import sites
from safetensors.torch import save_file

from .sae_files import (
    D_IN,
    D_SAE,
    DICTIONARIES,
    X,
    dictionary_folder,
    drawn,
    relu,
    sparsify_folder,
    top,
)


def check(found, encoded, told):
    sae = found.features if isinstance(found, Transcoder) else found
    a = sae.encode(X)
    assert torch.allclose(a, encoded, atol=1e-5)
    back = found.write(a, X)[found.targets[0]] if isinstance(found, Transcoder) else found.reconstruct(X)
    assert torch.allclose(back, told, atol=1e-5)


@pytest.mark.parametrize("name", DICTIONARIES)
def test_dictionary_learning(name, tmp_path):
    state = dictionary_folder(tmp_path, name)
    bias = next(state[key] for key in ("b_dec", "bias", "decoder.bias", "decoder_bias") if key in state)
    subtracts = name not in ("JumpReluAutoEncoder", "AutoEncoderNew")
    W_enc = state["W_enc"] if "W_enc" in state else state["encoder.weight"].T
    pre = (X - bias if subtracts else X) @ W_enc + state.get("b_enc", state.get("encoder.bias", 0))
    encoded = DICTIONARIES[name][1](state, pre)
    W_dec = state["W_dec"] if "W_dec" in state else state["decoder.weight"].T
    for path in (tmp_path, tmp_path / "ae.pt"):
        found = load_any(path)
        check(found, encoded, encoded @ W_dec + bias)
    assert found.site == "blocks.3.hook_resid_post"
    assert found.prefixes == ((10, 15, 30) if name.startswith("Matryoshka") else ())


def test_without_a_configuration_the_keys_tell(tmp_path):
    dictionary_folder(tmp_path, "GatedAutoEncoder")
    (tmp_path / "config.json").unlink()
    assert load_sae(tmp_path).about["trained_as"] == "GatedAutoEncoder"


def test_a_submodule_tells_the_site(tmp_path):
    dictionary_folder(tmp_path, "AutoEncoder", submodule_name="mlp_out_layer_3")
    assert load_sae(tmp_path).site == "blocks.3.hook_mlp_out"


def test_a_switch_sae_of_its_authors(tmp_path):
    state = {
        "encoder.weight": drawn(D_SAE, D_IN), "decoder": drawn(D_SAE, D_IN), "b_dec": drawn(D_IN),
        "router.weight": drawn(3, D_IN), "b_router": drawn(D_IN),
    }  # fmt: skip
    torch.save(state, tmp_path / "ae.pt")
    trainer = {"dict_class": "SwitchAutoEncoder", "k": 4, "experts": 3, "heaviside": False}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer}))
    p = ((X - state["b_router"]) @ state["router.weight"].T).softmax(-1)
    chosen = torch.zeros_like(p).scatter(1, p.argmax(1, keepdim=True), p.max(1, keepdim=True).values)
    f = relu((X - state["b_dec"]) @ state["encoder.weight"].T) * chosen.repeat_interleave(10, dim=1)
    check(load_any(tmp_path), top(f, 4), top(f, 4) @ state["decoder"] + state["b_dec"])


def test_sparsify(tmp_path):
    s = sparsify_folder(tmp_path / "layers.3")
    encoded = top(relu((X - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"]), 4)
    found = load_any(tmp_path / "layers.3")
    check(found, encoded, encoded @ s["W_dec"] + s["b_dec"])
    assert found.site == "blocks.3.hook_resid_post"


def test_sparsify_signed_and_grouped(tmp_path):
    s = sparsify_folder(tmp_path / "h.3", signed=True)
    pre = (X - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"]
    kept = pre.abs().topk(4, dim=1).indices
    encoded = torch.zeros_like(pre).scatter(1, kept, pre.gather(1, kept))
    check(load_any(tmp_path / "h.3"), encoded, encoded @ s["W_dec"] + s["b_dec"])
    s = sparsify_folder(tmp_path / "h.4", activation="groupmax", k=5)
    pre = relu((X - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"])
    best = pre.unflatten(1, (5, 6)).max(2)
    encoded = torch.zeros_like(pre).scatter(1, best.indices + torch.arange(0, 30, 6), best.values)
    check(load_any(tmp_path / "h.4"), encoded, encoded @ s["W_dec"] + s["b_dec"])


def test_sparsify_transcoders_skip_and_do_not_subtract(tmp_path):
    s = sparsify_folder(tmp_path / "layers.2.mlp", transcode=True, skip_connection=True)
    encoded = top(relu(X @ s["encoder.weight"].T + s["encoder.bias"]), 4)
    (found,) = load_transcoders(tmp_path / "layers.2.mlp")
    check(found, encoded, encoded @ s["W_dec"] + s["b_dec"] + X @ s["W_skip"].T)
    assert (found.features.site, found.targets) == ("blocks.2.ln2", ("blocks.2.hook_mlp_out",))


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("gpt_neox.layers.11", ("blocks.11.hook_resid_pre", "blocks.11.hook_resid_post")),
        ("transformer.h.0.attn", ("blocks.0.ln1", "blocks.0.hook_attn_out")),
        ("embed_tokens", ("", "hook_embed")),
        ("other", ("", "")),
    ],
)
def test_the_folder_of_sparsify_names_the_site(folder, expected):
    assert sites(folder) == expected


def openai_file(path: Path, activation: str, tied: bool = False) -> dict:
    s = {
        "pre_bias": drawn(D_IN), "latent_bias": drawn(D_SAE),
        "stats_last_nonzero": torch.zeros(D_SAE, dtype=torch.long),
        "latents_activation_frequency": torch.ones(D_SAE), "latents_mean_square": torch.zeros(D_SAE),
        "encoder.weight": drawn(D_SAE, D_IN),
    }  # fmt: skip
    s["decoder.linear.weight" if tied else "decoder.weight"] = (
        s["encoder.weight"] if tied else drawn(D_IN, D_SAE)
    )
    options = {"k": 4, "postact_fn": "ReLU"} if activation == "TopK" else {}
    nested = {f"activation.{key}": value for key, value in options.items()}
    torch.save(s | nested | {"activation": activation, "activation_state_dict": options}, path)
    return s


@pytest.mark.parametrize("tied", [False, True])
def test_openai_relu(tied, tmp_path):
    s = openai_file(tmp_path / "5.pt", "ReLU", tied)
    encoded = relu((X - s["pre_bias"]) @ s["encoder.weight"].T + s["latent_bias"])
    W_dec = s["encoder.weight"] if tied else s["decoder.weight"].T
    check(load_any(tmp_path / "5.pt"), encoded, encoded @ W_dec + s["pre_bias"])


def test_openai_topk_wants_layer_normed_rows(tmp_path):
    s = openai_file(tmp_path / "5.pt", "TopK")
    mu, std = X.mean(1, keepdim=True), (X - X.mean(1, keepdim=True)).std(1, keepdim=True)
    inside = (X - mu) / (std + 1e-5)
    encoded = relu(top((inside - s["pre_bias"]) @ s["encoder.weight"].T + s["latent_bias"], 4))
    told = (encoded @ s["decoder.weight"].T + s["pre_bias"]) * std + mu
    check(load_any(tmp_path / "5.pt"), encoded, told)
    plain = relu((X - s["pre_bias"]) @ s["encoder.weight"].T + s["latent_bias"])
    assert not torch.allclose(load_sae(tmp_path / "5.pt").encode(X), top(plain, 4), atol=0.1)


def gemma(skip: bool = False, d_out: int = D_IN) -> dict:
    s = {
        "w_enc": drawn(D_IN, D_SAE),
        "w_dec": drawn(D_SAE, d_out),
        "b_enc": drawn(D_SAE),
        "b_dec": drawn(d_out),
    }
    s["threshold"] = drawn(D_SAE).abs()
    return s | ({"affine_skip_connection": drawn(D_IN, d_out)} if skip else {})


def jump(s: dict) -> torch.Tensor:
    pre = X @ s["w_enc"] + s["b_enc"]
    return relu(pre) * (pre > s["threshold"])


@pytest.mark.parametrize("capital", [False, True])
def test_gemma_scope(capital, tmp_path):
    folder = tmp_path / "layer_20" / "width_16k" / "average_l0_71"
    folder.mkdir(parents=True)
    s = gemma()
    named = {("W" + n[1:] if capital and n.startswith("w_") else n): v.numpy() for n, v in s.items()}
    np.savez(folder / "params.npz", **named)
    for path in (folder, folder / "params.npz"):
        found = load_any(path)
        check(found, jump(s), jump(s) @ s["w_dec"] + s["b_dec"])
    assert found.site == "blocks.20.hook_resid_post"


def test_gemma_scope_2(tmp_path):
    folder = tmp_path / "mlp_out" / "layer_9_width_16k_l0_medium"
    folder.mkdir(parents=True)
    s = gemma()
    save_file(s, folder / "params.safetensors")
    config = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.9.mlp.output"}
    config["hf_hook_point_out"] = config["hf_hook_point_in"]
    (folder / "config.json").write_text(json.dumps(config))
    found = load_any(folder)
    check(found, jump(s), jump(s) @ s["w_dec"] + s["b_dec"])
    assert found.site == "blocks.9.hook_mlp_out"


def test_gemma_scope_transcoders_add_x_times_the_skip(tmp_path):
    folder = tmp_path / "transcoder" / "layer_5_width_16k"
    folder.mkdir(parents=True)
    s = gemma(skip=True, d_out=7)
    save_file(s, folder / "params.safetensors")
    (found,) = load_transcoders(folder)
    check(found, jump(s), jump(s) @ s["w_dec"] + s["b_dec"] + X @ s["affine_skip_connection"])
    assert (found.features.site, found.targets) == ("blocks.5.ln2", ("blocks.5.hook_mlp_out",))


def test_sparsity_and_older_words_of_saelens(tmp_path):
    weights = {n: drawn(*s) for n, s in (("W_enc", (D_IN, D_SAE)), ("W_dec", (D_SAE, D_IN)))}
    weights |= {"b_enc": drawn(D_SAE), "b_dec": drawn(D_IN), "scaling_factor": torch.full((D_SAE,), 2.0)}
    save_file(weights, tmp_path / "sae_weights.safetensors")
    save_file({"sparsity": torch.full((D_SAE,), -1.0)}, tmp_path / "sparsity.safetensors")
    config = {
        "hook_point": "blocks.2.hook_resid_pre", "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 4},
        "normalize_activations": False, "finetuning_scaling_factor": True, "d_in": D_IN, "d_sae": D_SAE,
    }  # fmt: skip
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    found = load_sae(tmp_path)
    encoded = relu(top((X - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"], 4))
    check(found, encoded, (encoded * 2) @ weights["W_dec"] + weights["b_dec"])
    assert (found.site, found.about["l0_in_training"]) == ("blocks.2.hook_resid_pre", 3.0)
    (tmp_path / "cfg.json").write_text(json.dumps({**config, "finetuning_scaling_factor": False}))
    with pytest.raises(ExplanationError, match="finetuning_scaling_factor is not set"):
        load_sae(tmp_path)
    scaled = {**config, "normalize_activations": "expected_average_only_in", "norm_scaling_factor": 2.0}
    (tmp_path / "cfg.json").write_text(json.dumps(scaled))
    assert torch.allclose(load_sae(tmp_path).encode(X), found.encode(2 * X), atol=1e-4)


@pytest.mark.slow
def test_saelens_itself_says_the_same(tmp_path):
    """Set ASSAY_SAELENS to a Python that has sae-lens 6.54 and transformer-lens 3.9."""
    python = os.environ.get("ASSAY_SAELENS")
    if not python:
        pytest.skip("ASSAY_SAELENS names no Python with SAELens")
    script = Path(__file__).parent / "saelens_writes.py"
    subprocess.run([python, str(script), str(tmp_path)], check=True, capture_output=True, timeout=300)
    folders = sorted(tmp_path.iterdir())
    assert len(folders) >= 26
    for folder in folders:
        said = {n: torch.from_numpy(v) for n, v in np.load(folder / "said.npz").items()}
        found = load_any(folder)
        sae: SAE = found.features if isinstance(found, Transcoder) else found
        a = sae.encode(said["x"])
        assert torch.allclose(a, said["encoded"], atol=1e-5), folder.name
        transcodes = isinstance(found, Transcoder)
        back = found.write(a, said["x"])[found.targets[0]] if transcodes else sae.reconstruct(said["x"])
        assert torch.allclose(back, said["back"], atol=1e-5), folder.name
