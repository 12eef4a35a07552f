"""Cross-layer transcoders: one encoder for each layer, and decoders for it and all later ones.

Two layouts: circuit-tracer's ``W_enc_<l>.safetensors`` and ``W_dec_<l>.safetensors`` beside ``config.yaml``
(W_enc_l [d_sae, d_in], W_dec_l [d_sae, layers − l, d]), and Gemma Scope 2's ``params_layer_<l>.safetensors``
(w_enc [d_in, d_sae], w_dec [d_sae, layers, d], affine_skip_connection [d_in, d]).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.sae.transcoders import Transcoder
from assay.explanations.sae.weights import SAE
from assay.models.state_dicts import read_by_name, read_settings
from torch import Tensor

from .reading import Shape, State, text_of

SKIP = "affine_skip_connection"
ENCODERS, LAYERS = r"W_enc_(\d+)\.safetensors", r"params_layer_(\d+)\.safetensors"


def layers_in(folder: Path) -> list[int]:
    """The layers that a folder has an encoder for, in either layout."""
    names = [path.name for path in folder.glob("*.safetensors")]
    for layout in (ENCODERS, LAYERS):
        if found := sorted(int(m[1]) for name in names if (m := re.fullmatch(layout, name))):
            return found
    return []


def read_cross_layer(folder: Path) -> tuple[Transcoder, ...]:
    """All layers of a cross-layer transcoder; they have to be 0, 1, … without a gap."""
    layers = layers_in(folder)
    if layers != list(range(len(layers))):
        raise ExplanationError(
            f"{folder}: layers {layers} found, expected 0 to {len(layers) - 1} without a gap"
        )
    beside = folder / "config.yaml"
    config = read_settings(beside) if beside.is_file() else {}
    one = _circuit_tracer if (folder / "W_enc_0.safetensors").is_file() else _gemma_scope
    return tuple(one(folder, layer, len(layers), config) for layer in layers)


def _circuit_tracer(folder: Path, layer: int, layers: int, config: dict[str, Any]) -> Transcoder:
    reading = folder / f"W_enc_{layer}.safetensors"
    state = State(reading, read_by_name(reading), sizes={"later": layers - layer})
    keys: dict[str, Shape] = {"W_enc": ("d_sae", "d_in"), "b_enc": ("d_sae",), "b_dec": ("d_out",)}
    if f"threshold_{layer}" in state.found:
        keys["threshold"] = ("d_sae",)
    read = state.take({f"{name}_{layer}": shape for name, shape in keys.items()})
    writing = State(folder / f"W_dec_{layer}.safetensors", {}, sizes=state.sizes)
    writing.found = read_by_name(writing.path)
    W_dec = writing.take({f"W_dec_{layer}": ("d_sae", "later", "d_out")})[f"W_dec_{layer}"]
    site = text_of(config, "feature_input_hook") or "hook_resid_mid"
    target = text_of(config, "feature_output_hook") or "hook_mlp_out"
    biases = _only_own(read[f"b_dec_{layer}"], layers - layer)
    features = _features(
        read[f"W_enc_{layer}"].T, read[f"b_enc_{layer}"], read.get(f"threshold_{layer}"), W_dec, biases
    )
    return _transcoder(features, layer, layers, (site, target), None, folder)


def _gemma_scope(folder: Path, layer: int, layers: int, config: dict[str, Any]) -> Transcoder:
    path = folder / f"params_layer_{layer}.safetensors"
    state = State(path, read_by_name(path), sizes={"layers": layers})
    keys: dict[str, Shape] = {
        "w_enc": ("d_in", "d_sae"), "w_dec": ("d_sae", "layers", "d_out"), "b_enc": ("d_sae",),
        "b_dec": ("d_out",), "threshold": ("d_sae",),
    }  # fmt: skip
    if SKIP in state.found:
        keys[SKIP] = ("d_in", "d_out")
    read = state.take(keys)
    W_dec, biases = read["w_dec"][:, layer:], _only_own(read["b_dec"], layers - layer)
    features = _features(read["w_enc"], read["b_enc"], read["threshold"], W_dec, biases)
    return _transcoder(features, layer, layers, ("ln2", "hook_mlp_out"), read.get(SKIP), folder)


def _only_own(b_dec: Tensor, targets: int) -> Tensor:
    """The bias of a layer is added once, by its own transcoder: zeros for the later layers."""
    return torch.cat([b_dec, b_dec.new_zeros((targets - 1) * len(b_dec))])


def _features(W_enc: Tensor, b_enc: Tensor, threshold: Tensor | None, W_dec: Tensor, b_dec: Tensor) -> SAE:
    return SAE(
        W_enc=W_enc,
        W_dec=W_dec.flatten(1),
        b_enc=b_enc,
        b_dec=b_dec,
        architecture="standard" if threshold is None else "jumprelu",
        threshold=threshold,
        subtract_b_dec=False,
    )


def _transcoder(
    features: SAE, layer: int, layers: int, hooks: tuple[str, str], skip: Tensor | None, folder: Path
) -> Transcoder:
    targets = tuple(f"blocks.{later}.{hooks[1]}" for later in range(layer, layers))
    about: dict[str, object] = {"folder": folder.name, "layer": layer}
    return Transcoder(replace(features, site=f"blocks.{layer}.{hooks[0]}", about=about), targets, skip)
