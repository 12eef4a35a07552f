"""Verdicts are values: proved with a certificate, refuted with a witness, or unknown with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

RECHECK = "certificate at hand"
"""The stage of a verdict whose certificate lay there before."""

Cause = Literal[
    "timeout",
    "memory",
    "float32 slack",
    "unsupported operator",
    "scope too large",
    "lemma open",
    "checker rejected",
    "other",
]

_CAUSES: dict[Cause, str] = {
    "lemma open": r"^lemma",
    "memory": r"memory",
    "timeout": r"time|gave up: canceled",
    "float32 slack": r"float32 slack|float32|floating point allows",
    "unsupported operator": r"^unsupported",
    "scope too large": r"too large|unstable ReLUs|too many",
    "checker rejected": r"checker rejected",
}
"""The first pattern that a reason fits tells its cause."""


@dataclass(frozen=True)
class Certificate:
    """Evidence that a stranger can check.

    Attributes:
        digest: SHA-256 of its content, the `seal` in the file.
        bits: size of the file beyond the weights.
        leaves: number of cases that the checker closed by bounds; 1 for a refutation.
        operations: integer multiplications that the checker made, about.
        path: where it was written; None where no folder was given.
    """

    digest: str
    bits: int
    leaves: int
    operations: int = 0
    path: Path | None = None


@dataclass(frozen=True)
class Witness:
    """An input inside the scope on which the claim fails.

    Attributes:
        inputs: exact value of each declared component.
        outputs: what torch answered there, per network call, in float32 (or the network's own type).
        exact: what exact arithmetic answers, where the network has an exact form.
    """

    inputs: Mapping[str, Fraction]
    outputs: Mapping[str, tuple[float, ...]]
    exact: Mapping[str, tuple[Fraction, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Proved:
    """True on the whole scope. `trusted` names what the proof rests on beside the checker: empty at best.

    `witness` is given where the claim was that something exists.
    """

    certificate: Certificate | None
    trusted: tuple[str, ...] = ()
    witness: Witness | None = None


@dataclass(frozen=True)
class Refuted:
    """False at `witness`. `trusted` is as for `Proved`."""

    witness: Witness
    certificate: Certificate | None = None
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unknown:
    """Neither shown nor refuted.

    Attributes:
        stage: the stage that went furthest.
        reason: what stopped it.
        best_bound: by how much the claim may still fail (its margin, in its own units), where that is known.
        open_fraction: share of the volume of the scope that is left open.
        proved_scope: the largest box that was proved, as text per free variable.
        needed: what it would take.
    """

    stage: str
    reason: str
    best_bound: float | None = None
    open_fraction: float | None = None
    proved_scope: Mapping[str, str] | None = None
    needed: str | None = None

    @property
    def cause(self) -> Cause:
        """What kind of reason it is."""
        return next((cause for cause, pattern in _CAUSES.items() if re.search(pattern, self.reason)), "other")


Verdict = Proved | Refuted | Unknown


@dataclass(frozen=True)
class Lengths:
    """How long the proof is, beside the list of all inputs.

    Attributes:
        certificate_bits: the certificate file.
        operations: multiply-adds to check it, about.
        list_inputs: number of inputs in the scope under its equalities; None where some are real.
        box_inputs: number of inputs in the declared ranges, whatever the condition.
        list_operations: multiply-adds to run the networks on every input of the list.
        lemma_bits, lemma_operations: the same of the proof by the claim's lemmas, where it has some.
    """

    certificate_bits: int | None
    operations: int | None
    list_inputs: int | None
    box_inputs: int | None
    list_operations: int | None
    lemma_bits: int | None = None
    lemma_operations: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of one claim.

    `mass` is the share of the dataset's inputs that lie in the scope; `counted`, for an accuracy, how many
    inputs are `in_scope`, and on how many the claim is `right`; `digests` and `outputs` are those of the
    networks it calls (`outputs` where they have an exact form), `epsilon` is the distance that a claim of
    the kind `within` names.
    """

    name: str
    text: str
    verdict: Verdict
    seconds: float
    stage: str
    lengths: Lengths
    mass: float | None = None
    log: tuple[str, ...] = ()
    counted: Mapping[str, int] | None = None
    kind: str = "show"
    epsilon: Fraction | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)

    @property
    def rechecked(self) -> bool:
        """Whether a certificate at hand was checked again, and nothing was searched for."""
        return self.stage == RECHECK

    @property
    def status(self) -> str:
        """ "proved", "refuted" or "unknown"."""
        return type(self.verdict).__name__.lower()

    def to_dict(self) -> dict[str, Any]:
        """As JSON data; exact numbers as text."""
        return {
            "name": self.name,
            "text": self.text,
            "kind": self.kind,
            "status": self.status,
            "verdict": _plain(self.verdict),
            "seconds": self.seconds,
            "stage": self.stage,
            "rechecked": self.rechecked,
            "networks": dict(self.digests),
            "lengths": _plain(self.lengths),
            "mass": self.mass,
            "log": list(self.log),
            "counted": _plain(self.counted),
        }


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        fields = {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return {**fields, "cause": value.cause} if isinstance(value, Unknown) else fields
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Fraction | Path) else value
