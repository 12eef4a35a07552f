"""Verdicts with their places: what JUnit, SARIF and GitHub are told of claims."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .failures import Failure

if TYPE_CHECKING:
    from assay.models import Network
    from assay.proofs import Claim, ClaimFile, Outcome
    from assay.proofs.claims import Semantics

Place = tuple[int, int]
"""Line and column, from 1."""

_NAMED = re.compile(r"[A-Za-z]\w*=")


@dataclass(frozen=True)
class Judged:
    """What came of one claim, and where the claim stands.

    Attributes:
        outcome: the verdict and what stands behind it.
        file: the claim's file, relative to the root of the checkout where it lies inside.
        line: line of the claim, from 1.
        column: column in that line, from 1.
    """

    outcome: Outcome
    file: Path
    line: int
    column: int

    @property
    def status(self) -> str:
        """ "proved", "refuted" or "unknown"."""
        return self.outcome.status

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        from .outcomes import headline

        return headline(self.outcome)

    @property
    def details(self) -> list[str]:
        """The claim and its evidence, in lines."""
        from .outcomes import details

        return details(self.outcome)


@dataclass(frozen=True)
class Source:
    """Claims that are verified together: a claim file, or a property of a network.

    ``places`` has an entry for each claim; ``networks`` are those that need no loading.
    """

    path: Path
    claims: ClaimFile | Sequence[Claim]
    places: list[Place]
    networks: dict[str, Network] | None = None

    def judged(self, outcomes: Sequence[Outcome]) -> list[Judged]:
        """The outcomes of these claims, each with its place."""
        file = from_root(self.path)
        return [Judged(outcome, file, *place) for outcome, place in zip(outcomes, self.places, strict=True)]


def claim_source(path: str | Path) -> Source:
    """Read a claim file; raises `proofs.InputError`."""
    from assay import proofs

    file = proofs.read(path)
    return Source(file.path, file, claim_places(file.path.read_text(encoding="utf-8"), len(file.claims)))


def property_sources(
    networks: Sequence[str], properties: Sequence[Path], semantics: Semantics | None
) -> list[Source]:
    """Read ONNX networks and VNN-LIB properties of them; raises `proofs.InputError`, `Failure`.

    A network is a path, or `NAME=PATH` where a property speaks of several.
    """
    from assay import proofs

    named: dict[str, Path] = {}
    for text in networks:
        name, _, file = text.partition("=") if _NAMED.match(text) else ("f", "", text)
        if name in named:
            raise Failure(f"--onnx {text}: {name} is {named[name]} already; name networks as NAME=PATH")
        named[name] = Path(file)
    read = {name: _onnx(path) for name, path in named.items()}
    found = []
    for path in properties:
        claim = proofs.read_property(path, semantics)
        if missing := sorted(set(claim.networks) - set(read)):
            raise Failure(f"{path} speaks of {', '.join(missing)}: name each with --onnx NAME=PATH")
        found.append(Source(path, [claim], [(1, 1)], {name: read[name] for name in claim.networks}))
    return found


def _onnx(path: Path) -> Network:
    from assay import proofs

    try:
        return proofs.read_onnx(path)
    except ModuleNotFoundError as error:
        raise Failure(f"{path}: reading ONNX needs the package {error.name}: install assay[onnx]") from error


def claim_places(text: str, claims: int) -> list[Place]:
    """Where each claim of a claim file stands.

    >>> claim_places('model = "m"\\n[[claim]]\\n  [[claim]]', 2)
    [(2, 1), (3, 3)]
    """
    from assay.proofs.places import Places

    places = Places(text)
    return [places.value(("claim", k)) for k in range(claims)]


def from_root(path: Path) -> Path:
    """A path relative to the checkout (GITHUB_WORKSPACE, or the working folder) if it lies inside."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    whole = path.resolve()
    return whole.relative_to(root) if whole.is_relative_to(root) else whole
