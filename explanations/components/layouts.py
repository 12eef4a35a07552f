"""What the checkpoints of APD and SPD hold, whichever release wrote them.

APD: ``<path>.A`` [(n_instances,) C, d_in, m] and ``<path>.B`` [(n_instances,) C, m, d_out], beside what it
does not decompose. SPD: ``_components.<path>.{V, U}`` with ``_ci_fns``, older ``<path>.components.{V, U}``
with ``_gates``, and at the tag of the paper ``components.<path>.{A, B}`` with ``gates``: V (A) is [d_in, C]
and U (B) [C, d_out].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.explanations.errors import ExplanationError
from assay.models.formats.decompositions import target_tensors
from torch import Tensor

_APD = re.compile(r"(?:(?P<path>.+)\.)?(?P<end>[AB])")
_APD_REST = re.compile(r"b_final|W_E|W_U|layers\.\d+\.bias[12]")
_APD_OLD = {"": "linear1"}
_SPD = {
    "SPD": (r"_components\.(?P<path>[^.]+)\.(?P<end>V|U|bias)", r"_ci_fns\.(?P<path>[^.]+)\.(?P<end>.+)"),
    "SPD, older": (
        r"patched_model\.(?P<path>.+)\.components\.(?P<end>V|U|bias)",
        r"_gates\.(?P<path>[^.]+)\.(?P<end>.+)",
    ),
    "SPD, v1": (r"components\.(?P<path>[^.]+)\.(?P<end>A|B|bias)", r"gates\.(?P<path>[^.]+)\.(?P<end>.+)"),
}


@dataclass(frozen=True, eq=False)
class Found:
    """What a checkpoint says: by path, reading vectors and writing vectors, gates, and the network's tensors.

    SPD: V [d_in, C], U [C, d_out]. APD: A [(n_instances,) C, d_in, m], B [(n_instances,) C, m, d_out].
    ``rest`` are tensors that are not decomposed, by the names that the checkpoint gives them.
    """

    layout: str
    pairs: Mapping[str, tuple[Tensor, Tensor]]
    gates: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    biases: Mapping[str, Tensor] = field(default_factory=dict)
    rest: Mapping[str, Tensor] = field(default_factory=dict)


def read_layout(tensors: Mapping[str, Tensor], where: Path) -> Found:
    """Tell the layouts apart by their names.  Raises :class:`ExplanationError` with all that does not fit."""
    for layout, (components, gates) in _SPD.items():
        if any(re.fullmatch(components, name) for name in tensors):
            return _spd(layout, components, gates, tensors, where)
    if any(_APD.fullmatch(name) and tensor.ndim >= 3 for name, tensor in tensors.items()):
        return _apd(tensors, where)
    shown = ", ".join(sorted(tensors)[:6]) or "nothing"
    raise ExplanationError(
        f"{where}: no components of a known layout (APD: linear1.A and B; SPD: _components.*.V and U, "
        f"*.components.V and U, or components.*.A and B); it holds {shown}"
    )


def _spd(layout: str, components: str, gates: str, tensors: Mapping[str, Tensor], where: Path) -> Found:
    rest = target_tensors(tensors)
    paths = {name.removesuffix(".weight").replace(".", "-"): name.removesuffix(".weight") for name in rest}
    halves: dict[str, dict[str, Tensor]] = {}
    found_gates: dict[str, dict[str, Tensor]] = {}
    surplus = []
    for name, tensor in tensors.items():
        if match := re.fullmatch(components, name):
            halves.setdefault(paths.get(match["path"], match["path"]), {})[match["end"]] = tensor
        elif match := re.fullmatch(gates, name):
            found_gates.setdefault(paths.get(match["path"], match["path"]), {})[match["end"]] = tensor
        elif not target_tensors({name: tensor}):
            surplus.append(name)
    reads, writes = ("A", "B") if layout == "SPD, v1" else ("V", "U")
    faults = _unfit(halves, reads, writes) + [f"{name} is surplus" for name in surplus]
    faults += [
        f"the gates of {path} are missing" for path in halves if found_gates and path not in found_gates
    ]
    faults += [f"gates of {path}, which has no components" for path in found_gates if path not in halves]
    _raise(faults, where, layout)
    pairs = {path: (half[reads], half[writes]) for path, half in halves.items()}
    _raise(_misshapen(pairs), where, layout)
    biases = {f"{path}.bias": half["bias"] for path, half in halves.items() if "bias" in half}
    return Found(layout, pairs, found_gates, biases, rest)


def _apd(tensors: Mapping[str, Tensor], where: Path) -> Found:
    halves: dict[str, dict[str, Tensor]] = {}
    rest, surplus = {}, []
    for name, tensor in tensors.items():
        if match := _APD.fullmatch(name):
            halves.setdefault(_apd_path(match["path"] or ""), {})[match["end"]] = tensor
        elif _APD_REST.fullmatch(name):
            rest[name] = tensor
        else:
            surplus.append(name)
    _raise(_unfit(halves, "A", "B") + [f"{name} is surplus" for name in surplus], where, "APD")
    faults = []
    for path, half in halves.items():
        A, B = half["A"], half["B"]
        if (
            A.ndim not in (3, 4)
            or A.ndim != B.ndim
            or A.shape[:-2] != B.shape[:-2]
            or A.shape[-1] != B.shape[-2]
        ):
            faults.append(
                f"{path}: A {tuple(A.shape)} and B {tuple(B.shape)}, "
                "expected [(n_instances,) C, d_in, m] and [(n_instances,) C, m, d_out]"
            )
    if not faults and len(counts := {half["A"].shape[:-2] for half in halves.values()}) > 1:
        faults.append(f"weights have different numbers of components: {sorted(map(tuple, counts))}")
    _raise(faults, where, "APD")
    return Found("APD", {path: (half["A"], half["B"]) for path, half in halves.items()}, {}, {}, rest)


def _apd_path(path: str) -> str:
    """Today's name of a weight; the first files of APD had shorter ones."""
    old = re.fullmatch(r"(layers\.\d+)\.linear([12])", path)
    return f"{old[1]}.mlp_{'in' if old[2] == '1' else 'out'}" if old else _APD_OLD.get(path, path)


def _unfit(halves: Mapping[str, Mapping[str, Tensor]], reads: str, writes: str) -> list[str]:
    return [
        f"{path}: {end} is missing"
        for path, half in halves.items()
        for end in (reads, writes)
        if end not in half
    ]


def _misshapen(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> Iterable[str]:
    for path, (V, U) in pairs.items():
        if V.ndim != 2 or U.ndim != 2 or V.shape[1] != U.shape[0]:
            yield f"{path}: {tuple(V.shape)} and {tuple(U.shape)}, expected [d_in, C] and [C, d_out]"


def _raise(faults: Iterable[str], where: Path, layout: str) -> None:
    if faults := list(faults):
        more = f"; and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise ExplanationError(f"{where} ({layout}): {'; '.join(faults[:8])}{more}")
