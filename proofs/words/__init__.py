"""Compact proofs about networks that multiply group elements: sums modulo n, words of permutations.

On all n^K words at once, where listing them is impossible: `apply` applies a strategy, `sweep` all, `certify`
writes a certificate that `check_words.py` checks with exact integers.
"""

from assay.proofs.strategies import RejectedCertificate, UnsoundRule, apply, best, frontier

from .catalogue import named, quality, search, sweep
from .certificates import CHECKER, certify, has_certificate
from .reading import Shape, read
from .rules import RULES
from .strategy import BruteForce, Explained, Strategy, Subject, outcomes

__all__ = [
    "CHECKER",
    "RULES",
    "BruteForce",
    "Explained",
    "RejectedCertificate",
    "Shape",
    "Strategy",
    "Subject",
    "UnsoundRule",
    "apply",
    "best",
    "certify",
    "frontier",
    "has_certificate",
    "named",
    "outcomes",
    "quality",
    "read",
    "search",
    "sweep",
]
