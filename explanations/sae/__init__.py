"""Sparse autoencoders: one encoder for the whole family, as site dictionary and as mechanism, from files."""

from .folding import gated, nested, rescaled, sparser, unit_rows
from .formats.detect import load_any, load_sae, load_transcoders
from .formats.saelens import load_saelens, save_saelens
from .mechanism import SAECoefficients, SAEMechanism, weights_behind
from .meta import combination
from .pursuit import Pursuit
from .router import Router
from .site import SAESite
from .stored import save_sae
from .transcoders import Transcoder, TranscoderCoefficients, TranscoderMechanism
from .weights import SAE

__all__ = [
    "SAE",
    "Pursuit",
    "Router",
    "SAECoefficients",
    "SAEMechanism",
    "SAESite",
    "Transcoder",
    "TranscoderCoefficients",
    "TranscoderMechanism",
    "combination",
    "gated",
    "load_any",
    "load_sae",
    "load_saelens",
    "load_transcoders",
    "nested",
    "rescaled",
    "save_sae",
    "save_saelens",
    "sparser",
    "unit_rows",
    "weights_behind",
]
