"""Writing certificates, and having them checked by `check.py` in another process before anything is called
proved."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from .claims import Claim
from .expressions import tree
from .obligations import Obligation
from .strides import strided

FORMAT = "assay.certificate/4"
CHECKER = Path(__file__).with_name("check.py")


@dataclass(frozen=True)
class Judgement:
    """What the checker said; `rejected` are the places in the tree that bounds did not close."""

    accepted: bool
    message: str
    rejected: tuple[int, ...] = ()
    leaves: int = 0
    operations: int = 0


def document(
    obligation: Obligation, digests: Mapping[str, str], verdict: str, evidence: Any
) -> dict[str, Any]:
    """A certificate as JSON data: `evidence` is a proof tree in preorder, or the witness' components."""
    claim = obligation.claim
    body = {
        "format": FORMAT,
        "claim": {
            "for": [[v.name, v.kind, str(v.lo), str(v.hi), v.size or 1] for v in claim.variables],
            "given": list(map(tree, obligation.given)),
            "show": tree(obligation.show),
            "semantics": claim.semantics,
            "stated": claim.text,
        },
        "networks": {
            name: {
                "digest": digests[name],
                "inputs": obligation.graphs[name].size,
                "operations": strided(obligation.graphs[name]),
            }
            for name in claim.networks
        },
        "lemmas": _lemmas(obligation, verdict),
        "verdict": verdict,
        "evidence": evidence,
    }
    return sealed(body)


def sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    """A certificate with the seal that belongs to the rest of it."""
    text = json.dumps({**body, "seal": ""}, sort_keys=True, separators=(",", ":"))
    return {**body, "seal": hashlib.sha256(text.encode()).hexdigest()}


def _lemmas(obligation: Obligation, verdict: str) -> dict[str, Any]:
    """What shortens the proof; a witness needs nothing of it."""
    kept = obligation if verdict == "proved" else None
    units = {name: unit for unit, name in enumerate(obligation.inputs, 1)}
    return {
        "definitions": [[name, tree(form)] for name, form in kept.definitions] if kept else [],
        "substitution": [[units[name], k] for name, k in kept.substitution] if kept else [],
        "twins": [[v, u, str(c)] for v, u, c in kept.twins] if kept else [],
    }


def witness_evidence(claim: Claim, inputs: Mapping[str, Fraction]) -> list[str]:
    """A witness as a certificate holds it: its components in the order of declaration."""
    return [str(inputs[name]) for v in claim.variables for name in v.components]


def witness_inputs(claim: Claim, evidence: Any) -> dict[str, Fraction]:
    """The witness that a certificate holds."""
    names = [name for v in claim.variables for name in v.components]
    return {name: Fraction(value) for name, value in zip(names, evidence, strict=True)}


def file_name(claim: Claim, seal: str) -> str:
    """Name of a certificate's file: the claim's name and the head of its seal."""
    slug = re.sub(r"[^a-z0-9]+", "-", claim.name.lower()).strip("-")[:60] or "claim"
    return f"{slug}-{seal[:12]}.json"


def write(data: Mapping[str, Any], path: Path) -> int:
    """Write a certificate whole or not at all; gives its size in bits."""
    text = json.dumps(data, separators=(",", ":"), sort_keys=True) + "\n"
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return 8 * len(text.encode())


def write_weights(digest: str, tensors: Mapping[str, Tensor], folder: Path) -> Path:
    """Write the weights under their digest, where the checker looks for them."""
    from safetensors.torch import save_file

    path = folder / f"{digest}.safetensors"
    if not path.exists():
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, unfinished)
        unfinished.replace(path)
    return path


def judge(path: Path, seconds: float) -> Judgement:
    """Have the stand-alone checker read a certificate, in a process of its own."""
    command = [sys.executable, "-I", str(CHECKER), str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(seconds, 1.0), check=False)
    except subprocess.TimeoutExpired:
        return Judgement(False, f"the checker did not finish in {seconds:.0f} s")
    message = done.stdout.strip().removeprefix(f"{path}: ")
    failed = re.search(r"leaves not closed: \[([\d, ]*)\]", message)
    work = re.search(r"\((\d+) leaves, (\d+) multiplications\)", message)
    return Judgement(
        done.returncode == 0 and message.startswith("accepted"),
        message or done.stderr.strip()[-300:],
        tuple(map(int, failed[1].split(","))) if failed else (),
        int(work[1]) if work else 0,
        int(work[2]) if work else 0,
    )
