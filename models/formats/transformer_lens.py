"""TransformerLens state dicts: sizes from the shapes, the rest from a small JSON or YAML file beside them.

What the shapes cannot tell is asked for under the names of ``HookedTransformerConfig``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from assay.models.network import Network
from assay.models.rotary import frequencies
from assay.models.state_dicts import read_settings, settings_beside
from assay.models.storage import UnreadableFile
from assay.models.transformer_config import TransformerConfig
from torch import Tensor

from .assembly import assemble
from .lens_settings import READ, SHAPED, fields_of

__all__ = ["is_transformer_lens", "read_transformer_lens"]

BUFFERS = ("attn.mask", "attn.IGNORE", "attn.rotary_sin", "attn.rotary_cos")


def is_transformer_lens(names: Collection[str]) -> bool:
    """Whether tensors of these names are a HookedTransformer's."""
    return {"embed.W_E", "unembed.W_U", "blocks.0.attn.W_Q"} <= set(names)


def read_transformer_lens(path: Path, tensors: Mapping[str, Tensor]) -> Network:
    """The network of a state dict, with the settings beside its file.

    Raises `UnreadableFile`: for settings that are missing, all at once by name; that contradict the shapes;
    that are not supported; and for tensors that do not fit.
    """
    beside = settings_beside(path)
    settings = read_settings(beside) if beside else {}
    weights = {name: value for name, value in tensors.items() if not name.endswith(BUFFERS)}
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    told = _from_shapes(path, shapes)
    given, problems = fields_of(settings)
    if told["attn_only"]:
        given.pop("act_fn", None)
    problems += _contradictions(told, settings)
    fields_ = {**told, **given}
    problems += _unasked(fields_, beside or path.with_suffix(".yaml"))
    if problems:
        raise UnreadableFile(beside or path, "; ".join(problems))
    try:
        config = TransformerConfig(**fields_)
    except (TypeError, ValueError) as error:
        raise UnreadableFile(beside or path, str(error)) from error
    _check_rotation(path, config, tensors)
    return assemble(path, path.stem, config, weights)


def _from_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Every field that names and shapes of the tensors tell."""
    first = "blocks.0."
    layers = {int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")}
    try:
        heads, width, head = shapes[f"{first}attn.W_Q"]
        told: dict[str, Any] = {
            "n_layers": max(layers) + 1,
            "d_model": width,
            "n_heads": heads,
            "d_head": head,
            "d_vocab": shapes["embed.W_E"][0],
            "d_vocab_out": shapes["unembed.W_U"][1],
            "n_key_value_heads": shapes.get(f"{first}attn._W_K", (0,))[0],
            "attn_only": f"{first}mlp.W_in" not in shapes,
            "d_mlp": shapes.get(f"{first}mlp.W_in", (0, 0))[1],
            "gated_mlp": f"{first}mlp.W_gate" in shapes,
            "biases": any(name.rsplit(".", 1)[-1].lstrip("_").startswith("b_") for name in shapes),
        }
    except (ValueError, IndexError) as error:
        raise UnreadableFile(path, f"its shapes are not a HookedTransformer's: {error}") from error
    return told | _normalised(shapes) | _placed(shapes)


def _normalised(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if "blocks.0.ln1.w" in shapes:
        told["normalization"] = "LN" if "blocks.0.ln1.b" in shapes else "RMS"
        told["final_rms"] = told["normalization"] == "LN" and "ln_final.b" not in shapes
    return told | {
        "norm_after": "blocks.0.ln1_post.w" in shapes,
        "qk_norm": "blocks.0.attn.q_norm.w" in shapes,
    }


def _placed(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    if "pos_embed.W_pos" in shapes:
        return {"n_ctx": shapes["pos_embed.W_pos"][0]}
    if "blocks.0.attn.rotary_sin" in shapes:
        return {"positions": "rotary", "rotary_dim": shapes["blocks.0.attn.rotary_sin"][-1]}
    return {}


def _contradictions(told: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Sizes that the settings state otherwise than the shapes."""
    skipped = {"d_mlp"} if told["attn_only"] else set()
    return [
        f"{name} is {settings[name]!r}, but the tensors say {told[name]!r}"
        for name in sorted(SHAPED - skipped)
        if settings.get(name) not in (None, -1) and name in told and settings[name] != told[name]
    ]


def _unasked(fields_: Mapping[str, Any], where: Path) -> list[str]:
    """One problem that lists every setting which is still needed."""
    needed = ["act_fn"] * (not fields_["attn_only"]) + ["causal", "normalization", "positions"]
    if "n_ctx" not in fields_:
        needed += ["n_ctx"]
    if fields_.get("positions") == "rotary":
        needed += ["rotary_dim"]
    names = {ours: theirs for theirs, (ours, _) in READ.items()}
    missing = [names[field] for field in needed if field not in fields_]
    return [f"the tensors do not say {', '.join(missing)}: write them into {where.name}"] if missing else []


def _check_rotation(path: Path, config: TransformerConfig, tensors: Mapping[str, Tensor]) -> None:
    """Compare the rotation with the buffers that state dicts of rotary models hold."""
    if config.positions != "rotary":
        return
    for layer in range(config.n_layers):
        sin = tensors.get(f"blocks.{layer}.attn.rotary_sin")
        if sin is None or len(sin) < 2:
            continue
        own = frequencies(config, layer).sin()
        own = own.repeat_interleave(2) if config.rotary_adjacent_pairs else own.repeat(2)
        if sin.shape[1:] != own.shape or not bool(((sin[1].float() - own).abs() < 5e-3).all()):
            raise UnreadableFile(
                path,
                f"blocks.{layer}.attn.rotary_sin does not fit the settings: check rotary_dim, rotary_base, "
                "rotary_base_local, rotary_adjacent_pairs, rotary_scaling_factor",
            )
