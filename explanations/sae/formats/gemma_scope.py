"""Gemma Scope: ``params.npz`` (the first) or ``params.safetensors`` beside ``config.json`` (the second).

JumpReLU; b_dec is not subtracted. The second one's transcoders add x · affine_skip_connection [d_in, d_out]
(not its transpose), and their files and folders say where they read and write.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from assay.explanations.sae.transcoders import Transcoder
from assay.explanations.sae.weights import SAE
from assay.models.state_dicts import read_by_name, read_settings
from torch import Tensor

from .reading import Shape, State, sizes_of

SKIP = "affine_skip_connection"
KEYS: dict[str, Shape] = {
    "w_enc": ("d_in", "d_sae"), "w_dec": ("d_sae", "d_out"), "b_enc": ("d_sae",), "b_dec": ("d_out",),
    "threshold": ("d_sae",),
}  # fmt: skip


def read_gemma_scope(path: Path) -> SAE | Transcoder:
    """Read ``params.npz`` or ``params.safetensors`` (the file, or the folder that holds it)."""
    if path.is_dir():
        path = path / ("params.npz" if (path / "params.npz").is_file() else "params.safetensors")
    beside = path.parent / "config.json"
    config = read_settings(beside) if beside.is_file() else {}
    found = {_named(name): value for name, value in read_by_name(path).items()}
    factor = found.pop("scaling_factor", None)
    state = State(path, found, config, sizes_of(config, d_in="d_in", d_sae="d_sae"))
    state.choose("architecture", ("jump_relu", "jumprelu"), "jump_relu")
    if factor is not None and not bool((factor == 1).all()):
        state.wrong.append("scaling_factor is not 1, and nothing says what it scales")
    across = _across(path, config)
    if not across:
        state.sizes.setdefault("d_out", state.sizes.get("d_in", _rows(found)))
    skip: dict[str, Shape] = {SKIP: ("d_in", "d_out")} if SKIP in found else {}
    weights = state.take({**KEYS, **skip})
    site, target = _sites(path, config)
    made = SAE(
        W_enc=weights["w_enc"] / (math.sqrt(len(weights["w_enc"])) if site == "hook_embed" else 1.0),
        W_dec=weights["w_dec"] * (math.sqrt(len(weights["w_enc"])) if site == "hook_embed" else 1.0),
        b_enc=weights["b_enc"],
        b_dec=weights["b_dec"],
        threshold=weights["threshold"],
        architecture="jumprelu",
        subtract_b_dec=False,
        site=site,
        about={"folder": path.parent.name, "written_by": "gemma_scope"},
    )
    if across or skip:
        return Transcoder(made, (target,), weights.get(SKIP))
    return made


def _named(name: str) -> str:
    """Keys as most files spell them: some write W_enc."""
    return "w_" + name[2:] if name.startswith("W_") else name


def _rows(found: dict[str, Any]) -> int:
    encoder = found.get("w_enc")
    return len(encoder) if isinstance(encoder, Tensor) and encoder.ndim else 0


def _across(path: Path, config: dict[str, Any]) -> bool:
    """Whether it writes elsewhere than it reads."""
    reads, writes = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    return "transcoder" in str(path.absolute()) or (writes is not None and reads != writes)


def _sites(path: Path, config: dict[str, Any]) -> tuple[str, str]:
    """The hook points that the path speaks of: layer_20/width_16k…, resid_post/layer_9…, and so on."""
    where = "/".join((*path.absolute().parts, str(config.get("hf_hook_point_in", ""))))
    layers = re.findall(r"layers?[._](\d+)", where)
    if "embedding" in path.absolute().parts[:-1]:
        return "hook_embed", "hook_embed"
    if not layers:
        return "", ""
    block = f"blocks.{layers[-1]}"
    if "transcoder" in where or "clt" in where.split("/"):
        return f"{block}.ln2", f"{block}.hook_mlp_out"
    for word, hook in (("att", "attn.hook_z"), ("mlp", "hook_mlp_out")):
        if re.search(rf"[-/_]{word}(n_out|_out)?([-/_]|$)|{word}n?_out", where):
            return f"{block}.{hook}", f"{block}.{hook}"
    return f"{block}.hook_resid_post", f"{block}.hook_resid_post"
