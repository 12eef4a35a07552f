"""Bits: codes, tallies, the ledger, the law of an explanation, reports and their comparison."""

from .law import Law, Point, Rate
from .ledger import Ledger, Line
from .message import Code, Dictionary, DoesNotDecode, MechanismExplanation, SiteExplanation
from .parts import PartError, Parts, PartTensor, one_part
from .score import MechanismProblem, Score, SiteProblem, score_mechanism, score_site
from .tally import Histogram, Usage, merge
from .target import CategoricalTarget, GridTarget, kl_bits

__all__ = [
    "CategoricalTarget",
    "Code",
    "Dictionary",
    "DoesNotDecode",
    "GridTarget",
    "Histogram",
    "Law",
    "Ledger",
    "Line",
    "MechanismExplanation",
    "MechanismProblem",
    "PartError",
    "PartTensor",
    "Parts",
    "Point",
    "Rate",
    "Score",
    "SiteExplanation",
    "SiteProblem",
    "Usage",
    "kl_bits",
    "merge",
    "one_part",
    "score_mechanism",
    "score_site",
]
