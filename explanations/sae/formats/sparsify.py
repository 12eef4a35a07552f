"""EleutherAI sparsify: ``<hookpoint>/sae.safetensors`` and ``cfg.json``.

encoder.weight is [d_sae, d_in], W_dec [d_sae, d_in], W_skip [d_out, d_in]. A transcoder does not subtract
b_dec. The folder is named by a module: its output is told, and its input is what a transcoder reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.explanations.sae.transcoders import Transcoder
from assay.explanations.sae.weights import SAE
from assay.models.state_dicts import read_by_name, read_settings

from .reading import Shape, State, sizes_of

KEYS: dict[str, Shape] = {
    "encoder.weight": ("d_sae", "d_in"), "encoder.bias": ("d_sae",),
    "W_dec": ("d_sae", "d_in"), "b_dec": ("d_in",),
}  # fmt: skip


def read_sparsify(folder: Path) -> SAE | Transcoder:
    """Read an SAE or a transcoder from the folder of its hook point."""
    config = read_settings(folder / "cfg.json")
    path = folder / "sae.safetensors"
    state = State(path, read_by_name(path), config, sizes_of(config, d_in="d_in"))
    state.sizes |= _latents(config)
    activation = state.choose("activation", ("topk", "groupmax"), "topk")
    k = state.count("k", config.get("k"))
    transcode, signed = state.flag("transcode", False), state.flag("signed", False)
    skip: dict[str, Shape] = {"W_skip": ("d_in", "d_in")} if "W_skip" in state.found else {}
    weights = state.take({**KEYS, **skip})
    site, target = sites(folder.name)
    made = SAE(
        W_enc=weights["encoder.weight"].T,
        W_dec=weights["W_dec"],
        b_enc=weights["encoder.bias"],
        b_dec=weights["b_dec"],
        architecture="signed_topk" if signed else activation,
        k=k,
        subtract_b_dec=not transcode,
        site=site if transcode else target,
        about={"folder": folder.name, "written_by": "sparsify"},
    )
    if transcode:
        return Transcoder(made, (target,), weights["W_skip"].T if skip else None)
    if skip:
        state.wrong.append("W_skip is there, but transcode is not set")
        state.check()
    return made


def _latents(config: Mapping[str, Any]) -> dict[str, int]:
    """The number of features that a configuration states, where it does."""
    d_in, factor, stated = (config.get(key) for key in ("d_in", "expansion_factor", "num_latents"))
    if isinstance(stated, int) and stated > 0:
        return {"d_sae": stated}
    return {"d_sae": d_in * factor} if isinstance(d_in, int) and isinstance(factor, int) else {}


def sites(hookpoint: str) -> tuple[str, str]:
    """What a module reads and where its output is, in hook points: of ``layers.3.mlp``, ``h.3`` …"""
    match = re.search(r"(?:layers|h|blocks)[._](\d+)(?:\.(\w+))?$", hookpoint)
    if match is None:
        return "", "hook_embed" if "embed" in hookpoint else ""
    block, part = f"blocks.{match[1]}", match[2] or ""
    if "mlp" in part:
        return f"{block}.ln2", f"{block}.hook_mlp_out"
    if "attn" in part or "attention" in part:
        return f"{block}.ln1", f"{block}.hook_attn_out"
    return f"{block}.hook_resid_pre", f"{block}.hook_resid_post"
