"""SAELens folders: ``cfg.json`` and ``sae_weights.safetensors``, read without SAELens.

The keys are those of SAELens 6: W_enc [d_in, d_sae], W_dec [d_sae, d_in], b_enc, b_dec, and ``threshold`` for
JumpReLU. Nothing in the folder is executed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.sae.weights import SAE
from assay.models.storage import read_safetensors
from torch import Tensor

LAYOUT = "6.54.0"  # the release whose folders these are; older layouts keep hook_name elsewhere
ARCHITECTURES = {"standard": "standard", "topk": "topk", "jumprelu": "jumprelu"}


def load_saelens(folder: Path | str) -> SAE:
    """Read an SAE from a SAELens folder.

    Raises :class:`ExplanationError` naming the file and the missing, surplus or misshapen keys.
    """
    folder = Path(folder)
    config, weights = _config(folder / "cfg.json"), _weights(folder / "sae_weights.safetensors")
    architecture = config.get("architecture", "standard")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise ExplanationError(
            f"{folder}: architecture {architecture!r} is not among {', '.join(ARCHITECTURES)}"
        )
    for option in ("normalize_activations", "reshape_activations", "rescale_acts_by_decoder_norm"):
        if config.get(option, "none") not in ("none", False, None):
            raise ExplanationError(f"{folder}: {option} = {config[option]!r} is not read yet")
    _check_keys(folder, weights, {"W_enc", "W_dec", "b_enc", "b_dec"}, {"threshold"})
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise ExplanationError(f"{folder}: metadata {metadata!r} found, expected an object")
    site = metadata.get("hook_name") or config.get("hook_name", "")
    return SAE(
        **weights,  # type: ignore[arg-type]
        architecture=ARCHITECTURES[architecture],  # type: ignore[arg-type]
        k=config.get("k"),
        subtract_b_dec=bool(config.get("apply_b_dec_to_input", True)),
        site=site,
        about={"folder": folder.name},
    )


def save_saelens(sae: SAE, folder: Path | str) -> None:
    """Write the folder that :func:`load_saelens`, and SAELens, reads."""
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    tensors = {n: value.contiguous() for n in names if (value := getattr(sae, n)) is not None}
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {
        "architecture": sae.architecture,
        "d_in": sae.W_enc.shape[0],
        "d_sae": sae.width,
        "k": sae.k,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.subtract_b_dec,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": LAYOUT, "hook_name": sae.site, **sae.about},
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n")


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ExplanationError(f"{path}: no such file; a SAELens folder holds cfg.json")
    try:
        config = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ExplanationError(f"{path}: not JSON ({error})") from error
    if not isinstance(config, dict):
        raise ExplanationError(f"{path}: expected an object, got {type(config).__name__}")
    return config


def _weights(path: Path) -> dict[str, Tensor]:
    return {name: value.float() for name, value in read_safetensors(path)[0].items()}


def _check_keys(folder: Path, weights: dict[str, Tensor], needed: set[str], allowed: set[str]) -> None:
    missing, surplus = needed - weights.keys(), weights.keys() - needed - allowed
    if missing or surplus:
        raise ExplanationError(
            f"{folder}/sae_weights.safetensors: missing {sorted(missing) or 'none'}, "
            f"surplus {sorted(surplus) or 'none'}; expected {sorted(needed)}"
        )
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise ExplanationError(f"{folder}/sae_weights.safetensors: {name} holds NaN or infinite numbers")
