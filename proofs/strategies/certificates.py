"""Certificates of accuracy bounds: what `check_bound.py` needs beside the weights, in less than 1 KB."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from assay.models.storage import write_safetensors, write_whole
from assay.proofs.faults import InputError

from .numerator_strategy import Numerators
from .paths import direction
from .strategy import Bound, Subject

__all__ = ["CHECKER", "RejectedCertificate", "certify", "document", "has_certificate"]

FORMAT = "assay.bound/2"
CHECKER = Path(__file__).parents[1] / "check_bound.py"


class RejectedCertificate(RuntimeError):
    """The checker did not accept a certificate of ours."""


def has_certificate(bound: Bound) -> bool:
    """Whether there are certificates of such bounds."""
    return isinstance(bound.strategy, Numerators)


def certify(bound: Bound, subject: Subject, folder: Path) -> Path:
    """Write a certificate of a bound, and the weights beside it; only one that the checker accepts stays.

    Raises `InputError` for a strategy that has no certificates, `RejectedCertificate` if ours does not hold.
    """
    if not has_certificate(bound):
        raise InputError(f"strategy {bound.strategy.name}: its proofs have no certificates")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder for certificates")
    folder.mkdir(parents=True, exist_ok=True)
    digest = subject.network.weights_digest
    weights = folder / f"{digest}.safetensors"
    if not weights.exists():
        write_safetensors(subject.network.module.state_dict(), {}, weights)
    path = folder / f"{digest[:12]}-{subject.semantics}-{bound.strategy.name}.bound.json"
    write_whole(path, document(bound, subject))
    try:
        _check(path)
    except RejectedCertificate:
        path.unlink()
        raise
    return path


def document(bound: Bound, subject: Subject) -> bytes:
    """A certificate, sealed, as JSON."""
    form = vars(bound.strategy)
    body = {
        "format": FORMAT,
        "weights": subject.network.weights_digest,
        "K": subject.shape.K,
        "semantics": subject.semantics,
        "strategy": form,
        "direction": direction(subject.model) if form["QK"] == "low-rank" else [],
        "certified": str(bound.certified),
        "of": str(bound.sequences),
    }
    seal = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return (json.dumps({**body, "seal": seal}, indent=1) + "\n").encode()


def _check(path: Path) -> None:
    """Have a certificate checked in another process."""
    done = subprocess.run([sys.executable, "-I", str(CHECKER), str(path)], capture_output=True, text=True)
    if done.returncode:
        raise RejectedCertificate((done.stdout + done.stderr).strip())
