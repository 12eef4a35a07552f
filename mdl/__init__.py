"""Bits: codes, tallies, the ledger, the law of an explanation, reports and their comparison."""

from .compare import Comparison, Incomparable, comparison, longer_than
from .law import Law, Point, Rate
from .ledger import Ledger, Line
from .mechanism_score import MechanismProblem, score_mechanism
from .message import (
    Code,
    Dictionary,
    DoesNotDecode,
    MechanismExplanation,
    SiteExplanation,
    TellsCoefficients,
)
from .parts import PartError, Parts, PartTensor, one_part
from .report import Report, ReportError, json_schema, load_report, load_reports
from .score import Score, shortest_of, with_choice
from .site_score import SiteProblem, score_site
from .tally import Histogram, Usage, merge
from .target import CategoricalTarget, GridTarget, Target, kl_bits

__all__ = [
    "CategoricalTarget",
    "Code",
    "Comparison",
    "Dictionary",
    "DoesNotDecode",
    "GridTarget",
    "Histogram",
    "Incomparable",
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
    "Report",
    "ReportError",
    "Score",
    "SiteExplanation",
    "SiteProblem",
    "Target",
    "TellsCoefficients",
    "Usage",
    "comparison",
    "json_schema",
    "kl_bits",
    "load_report",
    "load_reports",
    "longer_than",
    "merge",
    "one_part",
    "score_mechanism",
    "score_site",
    "shortest_of",
    "with_choice",
]
