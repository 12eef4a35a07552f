"""Rules: expressions of the inputs as explanations, parsed by a whitelist and sent as a prefix code.

>>> from assay.explanations.rules import encode, parse
>>> len(encode(parse("(a + b) % 100", inputs=2), inputs=2))
40
"""

from .code import decode, encode
from .evaluation import evaluate
from .exceptions import RuleLength, rule_length
from .explanation import Rule
from .expressions import Expression
from .parser import parse

__all__ = ["Expression", "Rule", "RuleLength", "decode", "encode", "evaluate", "parse", "rule_length"]
