"""Bits: codes, tallies, the ledger, the law of an explanation, reports and their comparison."""

from .answers import AnswerTarget
from .compare import Comparison, Incomparable, comparison, longer_than
from .edges import EdgeSpace
from .frontier import Frontier, OperatingPoint
from .heldout import HeldOut, held_out
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
from .pareto import Place, pareto
from .part_tensors import Combination, PartError, Parts, PartTensor, one_part
from .report import Report, ReportError, json_schema, load_report, load_reports
from .rows import Rows
from .score import Score, shortest_of, with_choice
from .site_score import SiteProblem, score_site
from .student import score_student
from .tally import Histogram, Usage, merge
from .target import CategoricalTarget, GridTarget, Target, kl_bits

__all__ = [
    "AnswerTarget",
    "CategoricalTarget",
    "Code",
    "Combination",
    "Comparison",
    "Dictionary",
    "DoesNotDecode",
    "EdgeSpace",
    "Frontier",
    "GridTarget",
    "HeldOut",
    "Histogram",
    "Incomparable",
    "Law",
    "Ledger",
    "Line",
    "MechanismExplanation",
    "MechanismProblem",
    "OperatingPoint",
    "PartError",
    "PartTensor",
    "Parts",
    "Place",
    "Point",
    "Rate",
    "Report",
    "ReportError",
    "Rows",
    "Score",
    "SiteExplanation",
    "SiteProblem",
    "Target",
    "TellsCoefficients",
    "Usage",
    "comparison",
    "held_out",
    "json_schema",
    "kl_bits",
    "load_report",
    "load_reports",
    "longer_than",
    "merge",
    "one_part",
    "pareto",
    "score_mechanism",
    "score_site",
    "score_student",
    "shortest_of",
    "with_choice",
]
