"""Compact proofs: how short a proof of a transformer's accuracy can be (Gross et al. 2024, arXiv 2406.11779).

A strategy bounds from below how many of all v^K sequences a max-of-K model is right on, and its operations
are counted. `apply` applies one, `sweep` and `search` many; `certify` writes a certificate that
`check_bound.py` checks with exact integers.
"""

from .bounding import Bound, Semantics, apply, best, frontier
from .catalogue import named, strategies
from .certificates import CHECKER, certify, has_certificate
from .costs import Meter
from .max_of_k import MaxOfK, Shape, read
from .numerator_strategy import Numerators
from .rules import RULES, UnsoundRule, proved, refuted
from .sealing import RejectedCertificate
from .search import quality, search, sweep
from .strategy import Strategy, Subject

__all__ = [
    "CHECKER",
    "RULES",
    "Bound",
    "MaxOfK",
    "Meter",
    "Numerators",
    "RejectedCertificate",
    "Semantics",
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
    "proved",
    "quality",
    "read",
    "refuted",
    "search",
    "strategies",
    "sweep",
]
