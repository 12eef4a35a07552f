"""Claims about networks, each with its condition, proved with certificates or refuted with witnesses.

`verify` judges claim files; `claim` makes a claim from text; verdicts are values. `check.py` is the
independent checker, a single file that runs alone.
"""

from .claim_files import ClaimFile, read
from .claims import Claim, Lemma, Variable, claim
from .faults import Fault, InputError
from .ladder import Asked, plan, verify, verify_all
from .lowering import Graph, UnsupportedError, lower
from .onnx_files import read_onnx
from .plans import Plan, Step
from .verdicts import Certificate, Lengths, Outcome, Proved, Refuted, Unknown, Verdict, Witness
from .vnnlib import read_property

__all__ = [
    "Asked",
    "Certificate",
    "Claim",
    "ClaimFile",
    "Fault",
    "Graph",
    "InputError",
    "Lemma",
    "Lengths",
    "Outcome",
    "Plan",
    "Proved",
    "Refuted",
    "Step",
    "Unknown",
    "UnsupportedError",
    "Variable",
    "Verdict",
    "Witness",
    "claim",
    "lower",
    "plan",
    "read",
    "read_onnx",
    "read_property",
    "verify",
    "verify_all",
]
