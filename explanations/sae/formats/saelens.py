"""SAELens folders: ``cfg.json`` and ``sae_weights.safetensors``, read without SAELens.

All architectures of SAELens 6.54 but temporal SAEs, whose code of a row is not sparse; and the names of older
releases. ``expected_average_only_in`` is a constant that SAELens folds into the weights when training ends. A
folder that still names it is read as SAELens reads it, with factor 1, unless its configuration holds
``norm_scaling_factor``. Nothing in the folder is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.sae.folding import gated, rescaled, unit_rows
from assay.explanations.sae.normalising import Normalisation
from assay.explanations.sae.pursuit import Pursuit
from assay.explanations.sae.transcoders import Transcoder
from assay.explanations.sae.weights import SAE, TENSORS
from assay.models.state_dicts import read_by_name, read_settings
from torch import Tensor

from .reading import Shape, State, sizes_of, text_of

LAYOUT = "6.54.0"  # the release whose folders are written here
ENCODER: dict[str, Shape] = {"W_enc": ("d_in", "d_sae"), "W_dec": ("d_sae", "d_in"), "b_enc": ("d_sae",)}
PLAIN: dict[str, Shape] = {**ENCODER, "b_dec": ("d_in",)}
ACROSS: dict[str, Shape] = {**ENCODER, "W_dec": ("d_sae", "d_out"), "b_dec": ("d_out",)}
THRESHOLD: dict[str, Shape] = {"threshold": ("d_sae",)}
SKIP: dict[str, Shape] = {"W_skip": ("d_out", "d_in")}
GATED: dict[str, Shape] = dict.fromkeys(("b_gate", "b_mag", "r_mag"), ("d_sae",))
KEYS: dict[str, dict[str, Shape]] = {
    "standard": PLAIN,
    "topk": PLAIN,
    "abstopk": PLAIN,
    "jumprelu": {**PLAIN, **THRESHOLD},
    "gated": {n: shape for n, shape in {**PLAIN, **GATED}.items() if n != "b_enc"},
    "batchtopk": {**PLAIN, "topk_threshold": ()},
    "matryoshka_batchtopk": {**PLAIN, "topk_threshold": ()},
    "matching_pursuit": {"W_dec": ("d_sae", "d_in"), "b_dec": ("d_in",)},
    "transcoder": ACROSS,
    "skip_transcoder": {**ACROSS, **SKIP},
    "jumprelu_transcoder": {**ACROSS, **THRESHOLD},
    "jumprelu_skip_transcoder": {**ACROSS, **THRESHOLD, **SKIP},
}
NORMALISATIONS: dict[str, Normalisation] = {
    "none": "none",
    "expected_average_only_in": "none",
    "constant_norm_rescale": "constant_norm",
    "layer_norm": "layer_norm",
}
OURS = {"abstopk": "signed_topk", "matching_pursuit": "matching_pursuit", "topk": "topk"}
THEIRS = {"signed_topk": "abstopk"}
RENAMED = {"hook_point": "hook_name", "activation_fn_str": "activation_fn"}


def load_saelens(folder: Path | str) -> SAE:
    """Read an SAE from a SAELens folder.

    Raises :class:`ExplanationError` naming the file and all missing, surplus or misshapen keys at once, and
    where the folder holds a transcoder.
    """
    found = read_saelens(Path(folder))
    if isinstance(found, Transcoder):
        raise ExplanationError(f"{folder}: it holds a transcoder: use transcoder:… for it")
    return found


def read_saelens(folder: Path) -> SAE | Transcoder:
    """Read an SAE or a transcoder from a SAELens folder."""
    config = modern(read_settings(folder / "cfg.json"))
    path = folder / "sae_weights.safetensors"
    sizes = sizes_of(config, d_in="d_in", d_sae="d_sae", d_out="d_out")
    state = State(path, read_by_name(path), config, sizes)
    architecture = state.choose("architecture", tuple(KEYS), "standard")
    normalise = state.choose("normalize_activations", tuple(NORMALISATIONS), "none")
    state.choose("reshape_activations", ("none", "hook_z"), "none")
    if not isinstance(config["metadata"], dict):
        state.wrong.append(f"metadata {config['metadata']!r} found, expected an object")
        state.check()
    scaling, average = _finetuned(state), state.number("norm_scaling_factor", 1.0)
    weights = state.take(KEYS[architecture])
    about: dict[str, object] = {"folder": folder.name, "written_by": "saelens"}
    made = _made(state, architecture, weights, NORMALISATIONS[normalise], about | _sparsity(folder, state))
    if scaling is not None:
        made = replace(made, W_dec=made.W_dec * scaling[:, None])
    if normalise == "expected_average_only_in" and "norm_scaling_factor" in config:
        made = rescaled(made, average)
    if "transcoder" not in architecture:
        return made
    skip = weights.get("W_skip")
    target = text_of(config["metadata"], "hook_name_out")
    return Transcoder(made, (target,), None if skip is None else skip.T)


def modern(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in the words of SAELens 6, whichever release wrote it."""
    new = {RENAMED.get(key, key): value for key, value in config.items()}
    metadata = new.setdefault("metadata", None) or {}
    if isinstance(metadata, dict):
        metadata = {**{key: value for key, value in new.items() if key.startswith("hook_name")}, **metadata}
    new["metadata"] = metadata
    kwargs = new.get("activation_fn_kwargs") or {}
    if new.get("activation_fn") == "topk" and isinstance(kwargs, dict) and kwargs.get("k") is not None:
        new |= {"architecture": "topk", "k": kwargs["k"]}
    if new.get("normalize_activations") in (None, False, True):
        new["normalize_activations"] = (
            "expected_average_only_in" if new.get("normalize_activations") else "none"
        )
    return new


def _finetuned(state: State) -> Tensor | None:
    """Factors of decoder rows that finetuning left beside the weights, where they say anything."""
    for name in ("scaling_factor", "finetuning_scaling_factor"):
        factor = state.found.pop(name, None)
        if not isinstance(factor, Tensor) or torch.equal(factor, torch.ones_like(factor)):
            continue
        if not state.config.get("finetuning_scaling_factor"):
            state.wrong.append(f"{name} is there, but finetuning_scaling_factor is not set")
        return factor.float()
    return None


def _sparsity(folder: Path, state: State) -> dict[str, object]:
    """What sparsity.safetensors says (log10 of how often each feature fired in training): the mean L0."""
    path = folder / "sparsity.safetensors"
    if not path.is_file():
        return {}
    told = State(path, read_by_name(path), sizes={"d_sae": state.sizes["d_sae"]})
    fired = told.take({"sparsity": ("d_sae",)})["sparsity"]
    return {"l0_in_training": round(float((10.0 ** fired.double()).sum()), 3)}


def _made(
    state: State,
    architecture: str,
    weights: dict[str, Tensor],
    normalise: Normalisation,
    about: dict[str, object],
) -> SAE:
    """The SAE that these weights are, or the reading half of a transcoder."""
    config = state.config
    across, level = "transcoder" in architecture, weights.pop("topk_threshold", None)
    subtract = state.flag("apply_b_dec_to_input", True) and not across
    given = {name: value for name, value in weights.items() if name in TENSORS}
    kind, k, pursuit = OURS.get(architecture, "jumprelu" if "threshold" in given else "standard"), None, None
    if architecture == "gated":
        given |= gated(weights["W_enc"], weights["r_mag"], weights["b_gate"], weights["b_mag"])
        kind, about = "jumprelu", {"trained_as": "gated", **about}
    if kind in ("topk", "signed_topk"):
        k = state.count("k", config.get("k", 100))
    if kind == "matching_pursuit":
        pursuit = _pursuit(state)
        given |= {"W_enc": weights["W_dec"].T, "b_enc": torch.zeros(len(weights["W_dec"]))}
        given["b_dec"] = weights["b_dec"] * subtract  # the decoder leaves it out where the encoder does
    rescaled_by_rows, widths = state.flag("rescale_acts_by_decoder_norm", False), _widths(state)
    state.check()
    made = SAE(
        **given,  # type: ignore[arg-type]
        architecture=kind,  # type: ignore[arg-type]
        k=k,
        subtract_b_dec=subtract,
        site=text_of(config["metadata"], "hook_name"),
        about=about,
        normalise=normalise,
        pursuit=pursuit,
    )
    if rescaled_by_rows:
        made = unit_rows(made)
    return made if level is None else _thresholded(made, architecture, level, widths)


def _pursuit(state: State) -> Pursuit:
    config = state.config
    steps = config.get("max_iterations")
    return Pursuit(
        state.number("residual_threshold", 1e-2),
        None if steps is None else state.count("max_iterations", steps),
        state.flag("stop_on_duplicate_support", True),
    )


def _widths(state: State) -> list[int]:
    """The nested widths of a Matryoshka SAE."""
    told = state.config.get("matryoshka_widths") or []
    if not isinstance(told, list):
        state.wrong.append(f"matryoshka_widths is {told!r}, expected a list of whole numbers")
        return []
    return [n for i, w in enumerate(told) if (n := state.count(f"matryoshka_widths[{i}]", w)) is not None]


def _thresholded(sae: SAE, architecture: str, level: Tensor, widths: list[int]) -> SAE:
    """A BatchTopK checkpoint as it is used: the threshold that its batches came to (after any rescaling)."""
    prefixes = tuple(sorted({*widths, sae.width})) if architecture.startswith("matryoshka") else ()
    about = {"trained_as": architecture, **sae.about}
    threshold = torch.full_like(sae.b_enc, float(level))
    return replace(sae, architecture="jumprelu", threshold=threshold, prefixes=prefixes, about=about)


def save_saelens(sae: SAE, folder: Path | str) -> None:
    """Write the folder that :func:`load_saelens`, and SAELens, reads.

    Raises :class:`ExplanationError` for a router, groups, nested widths: SAELens has no words for them.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    if sae.router is not None or sae.architecture == "groupmax":
        raise ExplanationError(f"{folder}: SAELens has no layout for {sae.recipe()}")
    folder.mkdir(parents=True, exist_ok=True)
    kept = ("W_dec", "b_dec") if sae.pursuit else tuple(sae.tensors())
    tensors = {name: value.contiguous() for name, value in sae.tensors().items() if name in kept}
    save_file(tensors, folder / "sae_weights.safetensors")
    named = {ours: theirs for theirs, ours in NORMALISATIONS.items() if theirs != "expected_average_only_in"}
    config: dict[str, object] = {
        "architecture": THEIRS.get(sae.architecture, sae.architecture),
        "d_in": sae.d_in,
        "d_sae": sae.width,
        "k": sae.k,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.subtract_b_dec,
        "normalize_activations": named[sae.normalise],
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": LAYOUT, "hook_name": sae.site, **sae.about},
    }
    if sae.pursuit is not None:
        config |= {
            "residual_threshold": sae.pursuit.residual,
            "max_iterations": sae.pursuit.steps,
            "stop_on_duplicate_support": sae.pursuit.stop_on_same_set,
        }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n")
