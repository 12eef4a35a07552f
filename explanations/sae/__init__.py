"""Sparse autoencoders: one encoder for the whole family, as site dictionary and as mechanism, from files."""

from .folding import gated, nested, rescaled, sparser, unit_rows
from .mechanism import SAECoefficients, SAEMechanism, weights_behind
from .pursuit import Pursuit
from .router import Router
from .site import SAESite
from .weights import SAE

__all__ = [
    "SAE",
    "Pursuit",
    "Router",
    "SAECoefficients",
    "SAEMechanism",
    "SAESite",
    "gated",
    "nested",
    "rescaled",
    "sparser",
    "unit_rows",
    "weights_behind",
]
