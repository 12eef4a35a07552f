"""The network that a decomposition run is about, read from the run's folder.

Layouts: APD (weights [(n_instances,) d_in, d_out], ``b_final``), SPD (torch's own linear layers), and the
copy of the network inside the checkpoints of SPD: ``target_model.*``, ``patched_model.*.original.*``,
``model.*``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from assay.models.errors import InputError
from assay.models.network import Network
from assay.models.state_dicts import read_settings, read_state_dict
from assay.models.storage import UnreadableFile
from assay.models.target_models import LayeredTMS, LayeredTMSConfig, ResidualStack, ResidualStackConfig
from torch import Tensor, nn

from .run_folders import at_instance, checkpoint, run_folder

__all__ = ["is_run", "read_run", "run_and_instance", "target_tensors"]

_TARGETS = ("tms", "resid_mlp")
_MODEL_KEYS = ("tms_model_config", "resid_mlp_model_config", "resid_mlp_config")
_WRAPPED = re.compile(r"(?:target_model|patched_model|model)\.(?P<path>.+)")
_APD_NAMES = {"W": "linear1.weight", "b_final": "linear2.bias"}
_APD_ENDS = {
    "bias1": "mlp_in.bias",
    "bias2": "mlp_out.bias",
    "linear1": "mlp_in.weight",
    "linear2": "mlp_out.weight",
}


def is_run(spec: str | Path) -> bool:
    """Whether a path (perhaps with @INSTANCE) names a run's folder or a file in one."""
    return run_folder(run_and_instance(spec)[0]) is not None


def read_run(spec: str | Path) -> Network:
    """The network of a run; ``FOLDER@2`` is its instance 2.  Raises `UnreadableFile` and `InputError`."""
    path, instance = run_and_instance(spec)
    folder = run_folder(path)
    if folder is None:
        raise UnreadableFile(path, "no folder of a decomposition run (final_config.yaml)")
    kind, where, tensors, config = _stored(folder, path)
    tensors = _unified(tensors, config, instance, where)
    module = _residual(tensors, config, where) if kind == "resid_mlp" else _tms(tensors, config, where)
    _fill(module, tensors, where)
    features = module.config.n_features
    return Network(folder.name, module, "regression", "real", (features,))


def target_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The copy of the network inside a checkpoint of SPD, by the network's own names; empty for APD."""
    found = {}
    for name, tensor in tensors.items():
        match = _WRAPPED.fullmatch(name)
        if match and ".components." not in name and ".identity_components." not in name:
            found[match["path"].replace(".original.", ".")] = tensor
    return found


def run_and_instance(spec: str | Path) -> tuple[Path, int]:
    """The path of a run and the instance: ``FOLDER@2`` is instance 2, unless a file has that very name."""
    text = str(spec)
    match = re.fullmatch(r"(.+)@(\d+)", text)
    return (Path(match[1]), int(match[2])) if match and not Path(text).exists() else (Path(text), 0)


def _stored(folder: Path, path: Path) -> tuple[str, Path, dict[str, Tensor], dict[str, Any]]:
    """Kind, file, tensors and configuration of the network: its own file, or the copy in a checkpoint."""
    for kind in _TARGETS:
        if (where := folder / f"{kind}.pth").is_file():
            return kind, where, read_state_dict(where), _model_config(folder, kind)
    where = checkpoint(path)
    tensors = target_tensors(read_state_dict(where))
    if not tensors:
        files = " or ".join(f"{kind}.pth" for kind in _TARGETS)
        raise UnreadableFile(folder, f"the network is missing: expected {files} beside {where.name}")
    kind = "resid_mlp" if "W_E" in tensors else "tms"
    return kind, where, tensors, _model_config(folder, kind)


def _model_config(folder: Path, kind: str) -> dict[str, Any]:
    """What the training configuration says of the network; an older one has it a level deeper."""
    path = folder / f"{kind}_train_config.yaml"
    if not path.is_file():
        return {}
    content = read_settings(path)
    found = next((content[key] for key in _MODEL_KEYS if key in content), content)
    if not isinstance(found, dict):
        raise UnreadableFile(path, f"the network's configuration is {found!r}, expected names and values")
    return found


def _unified(
    tensors: dict[str, Tensor], config: Mapping[str, Any], instance: int, where: Path
) -> dict[str, Tensor]:
    """Tensors of one instance by the names, and in the orientation, of torch's linear layers."""
    first = tensors.get("linear1.weight", tensors.get("W", tensors.get("W_E")))
    instanced = first is not None and first.ndim == 3
    tensors = at_instance(tensors, instanced, instance, where)
    if not (instanced or "b_final" in tensors or "apply_output_act_fn" in config):
        return tensors
    unified = {}
    for name, tensor in tensors.items():
        stem, dot, end = name.rpartition(".")
        in_layer = dot and stem.startswith("layers.")
        known = f"{stem}.{_APD_ENDS[end]}" if in_layer and end in _APD_ENDS else _APD_NAMES.get(name, name)
        unified[known] = tensor.T if known.endswith(".weight") else tensor
    return unified


def _tms(tensors: Mapping[str, Tensor], config: Mapping[str, Any], where: Path) -> LayeredTMS:
    W = _matrix(tensors, "linear1.weight", where)
    other = tensors.get("linear2.weight")
    same = other is None or (other.shape == W.T.shape and torch.equal(other, W.T))
    tied = bool(config.get("tied_weights", same))
    if tied and not same:
        raise UnreadableFile(
            where, "tied_weights is true, but linear2.weight is not linear1.weight transposed"
        )
    layers = {name.split(".")[1] for name in tensors if name.startswith("hidden_layers.")}
    hidden, features = W.shape
    sizes = {"n_features": features, "n_hidden": hidden, "n_hidden_layers": len(layers)}
    return LayeredTMS(LayeredTMSConfig(**_sizes(sizes, config), tied=tied))


def _residual(tensors: Mapping[str, Tensor], config: Mapping[str, Any], where: Path) -> ResidualStack:
    if "act_fn_name" not in config:
        raise UnreadableFile(
            where, "act_fn_name is missing: expected it in resid_mlp_train_config.yaml beside it"
        )
    features, embed = _matrix(tensors, "W_E", where).shape
    layers = {name.split(".")[1] for name in tensors if name.startswith("layers.")}
    mlp = len(_matrix(tensors, "layers.0.mlp_in.weight", where))
    sizes = {"n_features": features, "d_embed": embed, "d_mlp": mlp, "n_layers": len(layers)}
    return ResidualStack(
        ResidualStackConfig(
            **_sizes(sizes, config),
            act_fn=str(config["act_fn_name"]),
            in_bias=bool(config.get("in_bias", "layers.0.mlp_in.bias" in tensors)),
            out_bias=bool(config.get("out_bias", "layers.0.mlp_out.bias" in tensors)),
            act_on_output=bool(config.get("apply_output_act_fn", False)),
        )
    )


def _sizes(seen: dict[str, int], config: Mapping[str, Any]) -> dict[str, int]:
    """Sizes as configured, else as the tensors have them."""
    return {name: int(config.get(name, size)) for name, size in seen.items()}


def _matrix(tensors: Mapping[str, Tensor], name: str, where: Path) -> Tensor:
    if name not in tensors or tensors[name].ndim != 2:
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        raise UnreadableFile(
            where, f"{name}: got {got}, expected a matrix; it holds {', '.join(sorted(tensors))}"
        )
    return tensors[name]


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Put the tensors into the module, or name every one that is missing, surplus or misshapen."""
    want = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    got = {name: tuple(t.shape) for name, t in tensors.items()}
    if isinstance(module, LayeredTMS) and module.config.tied:
        got.pop("linear2.weight", None)
    wrong = [f"{n} {got.get(n, 'missing')} for {want.get(n, 'nothing')}" for n in sorted(want | got)]
    wrong = [line for line, n in zip(wrong, sorted(want | got), strict=True) if got.get(n) != want.get(n)]
    if wrong:
        raise UnreadableFile(where, "tensors (got for expected): " + "; ".join(wrong[:8]))
    try:
        module.load_state_dict({name: tensors[name].float() for name in want})
    except RuntimeError as error:
        raise InputError(f"{where}: {error}") from error
