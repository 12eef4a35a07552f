"""Certificates of bounds on words: what `check_words.py` needs beside the weights, in less than 1 KB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.proofs.faults import InputError
from assay.proofs.strategies.bounding import Bound
from assay.proofs.strategies.sealing import kept, sealed

from .strategy import Explained, Subject

__all__ = ["CHECKER", "certify", "document", "has_certificate"]

FORMAT = "assay.words/1"
CHECKER = Path(__file__).parents[1] / "check_words.py"


def has_certificate(bound: Bound) -> bool:
    """Whether there are certificates of such bounds."""
    return isinstance(bound.strategy, Explained)


def certify(bound: Bound, subject: Subject, folder: Path) -> Path:
    """Write a certificate of a bound, and the weights beside it; only one that the checker accepts stays.

    Raises `InputError` for a strategy that has no certificates, `RejectedCertificate` if ours does not hold.
    """
    if not has_certificate(bound):
        raise InputError(f"strategy {bound.strategy.name}: its proofs have no certificates")
    return kept(document(bound, subject), bound, subject, folder, CHECKER)


def document(bound: Bound, subject: Subject) -> bytes:
    """A certificate, sealed, as JSON."""
    strategy: Any = bound.strategy
    body = {
        "format": FORMAT,
        "weights": subject.network.weights_digest,
        "automaton": subject.shape.automaton,
        "K": subject.shape.K,
        "semantics": subject.semantics,
        "form": strategy.form,
        "apart": list(strategy.set_apart(subject)),
        "told": list(strategy.told(subject)),
        "certified": str(bound.certified),
        "of": str(bound.sequences),
    }
    return sealed(body)
