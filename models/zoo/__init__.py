"""Small networks that were really trained, with the recipes that made them.

>>> from assay.models import zoo
>>> "max-of-4" in zoo.names()
True
"""

from .catalogue import UnknownNetwork, card, data, entry, export, load, names, train
from .entry import Entry
from .training import AdamW, Progress, minimise

__all__ = [
    "AdamW",
    "Entry",
    "Progress",
    "UnknownNetwork",
    "card",
    "data",
    "entry",
    "export",
    "load",
    "minimise",
    "names",
    "train",
]
