"""Certificates of accuracy bounds: what `check_bound.py` needs beside the weights, in less than 1 KB."""

from __future__ import annotations

from pathlib import Path

from assay.proofs.faults import InputError

from .bounding import Bound
from .numerator_strategy import Numerators
from .paths import direction
from .sealing import kept, sealed
from .strategy import Subject

__all__ = ["CHECKER", "certify", "document", "has_certificate"]

FORMAT = "assay.bound/2"
CHECKER = Path(__file__).parents[1] / "check_bound.py"


def has_certificate(bound: Bound) -> bool:
    """Whether there are certificates of such bounds."""
    return isinstance(bound.strategy, Numerators)


def certify(bound: Bound, subject: Subject, folder: Path) -> Path:
    """Write a certificate of a bound, and the weights beside it; only one that the checker accepts stays.

    Raises `InputError` for a strategy that has no certificates, `RejectedCertificate` if ours does not hold.
    """
    if not has_certificate(bound):
        raise InputError(f"strategy {bound.strategy.name}: its proofs have no certificates")
    return kept(document(bound, subject), bound, subject, folder, CHECKER)


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
    return sealed(body, indent=1)
