"""Components as APD and SPD runs leave them: a folder of checkpoints, or one checkpoint.

Sources: Braun et al. 2025, arXiv 2501.14926 (APD); Bushnaq et al. 2025, arXiv 2506.20790 (SPD).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network
from assay.models.formats.run_folders import CONFIG, at_instance, checkpoint
from assay.models.state_dicts import read_settings, read_state_dict
from torch import Tensor, nn

from .decomposed import Components
from .gates import GateNetwork, Gates
from .importance import Always, Importance
from .layouts import Found, read_layout
from .masked import weight_of

ALIVE = 0.1
"""Importance above which a component is needed, where the run has no ``ci_alive_threshold`` of its own."""


def load_run(
    path: Path | str,
    network: Network,
    step: int | None = None,
    instance: int = 0,
) -> Components:
    """Components of a run, for the network that it decomposed; SPD comes with its gates, APD with all active.

    ``step`` is by default the last. Raises :class:`ExplanationError` for names and shapes that do not fit and
    for components of another network, ``UnreadableFile`` for what cannot be read.
    """
    path = Path(path)
    where = checkpoint(path, step)
    config = run_config(where)
    found = read_layout(read_state_dict(where), where)
    about = {"from": found.layout, "checkpoint": where.name}
    if found.layout == "APD":
        return _of_apd(found, network, instance, where, {**about, "instance": instance})
    if instance:
        raise ExplanationError(f"{where}: instance={instance}, but SPD runs hold a single instance")
    _same_network(found, network, where)
    network = _with_own(network, found.biases, where)
    factors = {f"{p}.weight": _oriented(network, p, V.T, U, where) for p, (V, U) in found.pairs.items()}
    return Components(network, factors, _gates(found, config), "SPD components", about)


def run_config(path: Path | str) -> dict[str, Any]:
    """The configuration beside a run's checkpoints; empty where there is none."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return read_settings(folder / CONFIG) if (folder / CONFIG).is_file() else {}


def _gates(found: Found, config: Mapping[str, Any]) -> Importance:
    if not found.gates:
        return Always()
    for path, gate in found.gates.items():
        C, networks = found.pairs[path][0].shape[1], GateNetwork.of(gate)
        if (got := networks.outputs) != C:
            raise ExplanationError(f"gates of {path} answer for {got} components, expected {C}")
    alive = config.get("ci_alive_threshold", ALIVE)
    sigmoid = str(config.get("sigmoid_type", "leaky_hard"))
    return Gates({f"{path}.weight": gate for path, gate in found.gates.items()}, float(alive), sigmoid)


def _of_apd(
    found: Found, network: Network, instance: int, where: Path, about: Mapping[str, object]
) -> Components:
    """Parts of APD go over all weights; each is told by its singular vectors, as many as it has rank."""
    tensors = {
        f"{p}.{end}": half for p, pair in found.pairs.items() for end, half in zip("AB", pair, strict=True)
    }
    instanced = next(iter(tensors.values())).ndim == 4
    tensors = at_instance({**tensors, **found.rest}, instanced, instance, where)
    network = _with_own(network, {_today(name): tensors[name] for name in found.rest}, where)
    factors, owners = {}, {}
    for path in found.pairs:
        reads, writes, owner = _by_rank(tensors[f"{path}.A"], tensors[f"{path}.B"])
        factors[f"{path}.weight"] = _oriented(network, path, reads, writes, where)
        owners[f"{path}.weight"] = owner
    return Components(network, factors, Always(), "APD components", about, owners)


def _by_rank(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A [C, d_in, m], B [C, m, d_out] to what rows read [K, d_in], write [K, d_out], and their parts [K]."""
    U, S, Vh = torch.linalg.svd(A.double() @ B.double(), full_matrices=False)
    smallest = 1e-6 * float(S.max())
    kept = S.gt(smallest)
    kept[:, 0] = True  # a part that is all zero is a part still
    owner, rank = kept.nonzero(as_tuple=True)
    size = S[owner, rank].sqrt()[:, None]
    return (U[owner, :, rank] * size).to(A), (Vh[owner, rank] * size).to(A), owner


def _today(name: str) -> str:
    """The network's name of what a run of APD does not decompose."""
    names = {"b_final": "linear2.bias", "bias1": "mlp_in.bias", "bias2": "mlp_out.bias"}
    stem, dot, end = name.rpartition(".")
    return f"{stem}{dot}{names.get(end, end)}"


def _with_own(network: Network, own: Mapping[str, Tensor], where: Path) -> Network:
    """The network with what the run kept beside its components: biases may have been trained, too."""
    known = network.parameters()
    for name, value in own.items():
        if name not in known or known[name].shape != value.shape:
            got = tuple(known[name].shape) if name in known else "none"
            raise ExplanationError(
                f"{where}: {name} of the run is {tuple(value.shape)}, {network.name!r} has {got}"
            )
    changed = {
        name: value for name, value in own.items() if not torch.equal(value.to(known[name]), known[name])
    }
    return network.with_weights(changed) if changed else network


def _oriented(
    network: Network, path: str, reads: Tensor, writes: Tensor, where: Path
) -> tuple[Tensor, Tensor]:
    """(L, R) for W as the network stores it: [out, in] for linear layers, [tokens, width] for tables."""
    module = dict(network.module.named_modules()).get(path)
    if module is None or weight_of(network, f"{path}.weight") is None:
        raise ExplanationError(
            f"{where}: components of {path}, but {network.name!r} has no weight {path}.weight"
        )
    return (reads, writes) if isinstance(module, nn.Embedding) else (writes, reads)


def _same_network(found: Found, network: Network, where: Path) -> None:
    """The copy of the network in the checkpoint is this network, as far as it is decomposed."""
    for path in found.pairs:
        theirs, ours = found.rest.get(f"{path}.weight"), weight_of(network, f"{path}.weight")
        if theirs is None or ours is None:
            continue
        if theirs.shape != ours.shape:
            raise ExplanationError(
                f"{where}: {path}.weight of the run is {tuple(theirs.shape)}, "
                f"that of {network.name!r} {tuple(ours.shape)}"
            )
        gap = float((theirs.to(ours) - ours).abs().max())
        if gap > 1e-3 * max(float(ours.abs().max()), 1e-12):
            raise ExplanationError(
                f"{where}: the run decomposed another network: {path}.weight differs from that of "
                f"{network.name!r} by up to {gap:.3g}"
            )
