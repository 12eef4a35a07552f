"""Networks whose true mechanism is known because it was written down: compiled programs and bigram memories.

>>> from assay.models import programs
>>> compiled = programs.load("sort")
>>> sum(int(mask.sum()) for mask in compiled.truth.values()) < compiled.edges
True
"""

from .bigrams import BigramMemory, bigram_memory
from .compiler import CannotCompile
from .embedding import Compiled, embed
from .library import PROGRAMS, Program, load
from .rasp import (
    Aggregate,
    Exceeds,
    Indices,
    Map,
    Numerical,
    Rectified,
    Select,
    SelectorWidth,
    SelectsNothing,
    SequenceMap,
    Tokens,
    evaluate,
)

__all__ = [
    "PROGRAMS",
    "Aggregate",
    "BigramMemory",
    "CannotCompile",
    "Compiled",
    "Exceeds",
    "Indices",
    "Map",
    "Numerical",
    "Program",
    "Rectified",
    "Select",
    "SelectorWidth",
    "SelectsNothing",
    "SequenceMap",
    "Tokens",
    "bigram_memory",
    "embed",
    "evaluate",
    "load",
]
