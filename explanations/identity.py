"""Digests that say what was weighed: data, explanation, and the question with all that it is about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assay.mdl import Combination
from torch import Tensor

from .student import Student

if TYPE_CHECKING:
    from .weighing import Evidence


def fingerprint(evidence: Evidence) -> str:
    """SHA-256 of the data: of the dataset, or of cached activations."""
    if evidence.dataset is not None:
        return evidence.dataset.fingerprint
    assert evidence.activations is not None
    return hashlib.sha256(evidence.activations.values.contiguous().numpy().tobytes()).hexdigest()


def model_digest(evidence: Evidence) -> str:
    """Of the network; of the one that cached activations came from, where their file says."""
    if evidence.network is not None:
        return evidence.network.digest
    return evidence.activations.network if evidence.activations else ""


def digest(explanation: Any) -> str:
    """SHA-256 over an explanation's recipe and the bytes of the tensors it would send."""
    sha = hashlib.sha256(json.dumps(explanation.recipe(), sort_keys=True, default=str).encode())
    for name, tensor in sorted(_tensors(explanation).items()):
        sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def _tensors(explanation: Any) -> Mapping[str, Tensor]:
    if isinstance(explanation, Student):
        return {}
    if hasattr(explanation, "dictionary"):
        dictionary = explanation.dictionary()
        rows = {} if dictionary.rows is None else {"rows": dictionary.rows}
        return {"bias": dictionary.bias, **rows, **_through("rows", dictionary.through)}
    first = slice(1) if explanation.open_ended else slice(None)
    tensors = explanation.parts().tensors
    told = {tensor.name: tensor.values[first] for tensor in tensors}
    return told | {n: t for tensor in tensors for n, t in _through(tensor.name, tensor.through).items()}


def _through(name: str, through: Combination | None) -> dict[str, Tensor]:
    """The second dictionary that a tensor is told through, and its codes."""
    return {} if through is None else {f"{name} codes": through.codes, f"{name} through": through.rows}


def about(evidence: Evidence, specs: Sequence[str]) -> dict[str, Any]:
    """What tallies depend on, but for the explanations themselves; as JSON holds it."""
    question = evidence.question
    return {
        "setting": question.setting,
        "target": question.target,
        "site": question.site,
        "delta": question.delta,
        "precision": question.precision,
        "seed": question.seed,
        "model": model_digest(evidence),
        "data": fingerprint(evidence),
        "explanations": list(specs),
    }
