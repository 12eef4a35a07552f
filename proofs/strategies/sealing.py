"""Certificates of bounds as files: sealed, beside the weights, kept only if their checker accepts them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.models.storage import write_safetensors, write_whole
from assay.proofs.faults import InputError

from .bounding import AnySubject, Bound

__all__ = ["RejectedCertificate", "kept", "sealed"]


class RejectedCertificate(RuntimeError):
    """The checker did not accept a certificate of ours."""


def sealed(body: Mapping[str, Any], indent: int | None = None) -> bytes:
    """A certificate as JSON, with the digest of all else that it says."""
    seal = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return (json.dumps({**body, "seal": seal}, indent=indent) + "\n").encode()


def kept(document: bytes, bound: Bound, subject: AnySubject, folder: Path, checker: Path) -> Path:
    """Write a certificate and its weights into a folder, and have the checker judge it in another process.

    Raises `InputError` if the folder is a file, `RejectedCertificate` (and leaves no certificate) if ours
    does not hold.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a folder for certificates")
    folder.mkdir(parents=True, exist_ok=True)
    digest = subject.network.weights_digest
    weights = folder / f"{digest}.safetensors"
    if not weights.exists():
        write_safetensors(subject.network.module.state_dict(), {}, weights)
    ending = checker.stem.removeprefix("check_")
    path = folder / f"{digest[:12]}-{subject.semantics}-{bound.strategy.name}.{ending}.json"
    write_whole(path, document)
    done = subprocess.run([sys.executable, "-I", str(checker), str(path)], capture_output=True, text=True)
    if done.returncode:
        path.unlink()
        raise RejectedCertificate((done.stdout + done.stderr).strip())
    return path
