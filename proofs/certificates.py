"""Writing certificates, and having them checked by `check.py` in another process before anything is called
proved."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import IO, Any, NoReturn, cast

from torch import Tensor

from .claims import Claim
from .expressions import tree
from .obligations import Obligation
from .strides import strided

FORMAT = "assay.certificate/4"
CHECKER = Path(__file__).with_name("check.py")
_CODE = cast(CodeType, SourceFileLoader(CHECKER.stem, str(CHECKER)).get_code(CHECKER.stem))


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
    try:
        code, said = (_forked if sys.platform == "linux" else _started)(path, max(seconds, 1.0))
    except TimeoutError:
        return Judgement(False, f"the checker did not finish in {seconds:.0f} s")
    message = said.strip().removeprefix(f"{path}: ")
    failed = re.search(r"leaves not closed: \[([\d, ]*)\]", message)
    work = re.search(r"\((\d+) leaves, (\d+) multiplications\)", message)
    return Judgement(
        code == 0 and message.startswith("accepted"),
        message,
        tuple(map(int, failed[1].split(","))) if failed else (),
        int(work[1]) if work else 0,
        int(work[2]) if work else 0,
    )


def _started(path: Path, seconds: float) -> tuple[int, str]:
    """The checker's exit status and what it printed, from an interpreter of its own."""
    command = [sys.executable, "-I", str(CHECKER), str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return done.returncode, done.stdout or done.stderr[-300:]


def _forked(path: Path, seconds: float) -> tuple[int, str]:
    """The same from a forked process, which saves starting an interpreter: on small claims most of the
    time. It runs the file as a module of its own, and shares nothing with the search but the libraries."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child calls nothing that has threads
        child = os.fork()
    if not child:
        _check(path, write)
    os.close(write)
    try:
        with os.fdopen(read, "rb", buffering=0) as pipe:
            said = _all_of(pipe, time.monotonic() + seconds)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


def _check(path: Path, write: int) -> NoReturn:
    """What the forked process does: the checker prints into the pipe, and its exit status is kept."""
    status = 1
    try:
        gc.freeze()
        os.dup2(write, 1)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        checker = ModuleType(CHECKER.stem)
        exec(_CODE, checker.__dict__)
        status = checker.main([str(path)])
        sys.stdout.flush()
    finally:
        os._exit(status)


def _all_of(pipe: IO[bytes], end: float) -> bytes:
    """What is written into a pipe until it is closed; TimeoutError where that takes too long."""
    said = bytearray()
    while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
        if not (more := pipe.read(1 << 16)):
            return bytes(said)
        said += more
    raise TimeoutError
