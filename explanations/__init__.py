"""Explanations: what is sent about a network, as a message about a site or as a mechanism of parts.

`build` makes one from what a user writes (``sae:folder``, ``components,from=svd`` …); `gather` runs the model
once and `weigh` gives a report for each. Kinds are classes with a few small methods (see
`assay.mdl.SiteExplanation` and `assay.mdl.MechanismExplanation`); a plug-in brings its own.
"""

from .alternatives import Alternatives
from .circuits import EdgeCircuit, NodeCircuit, prune_by_attribution, prune_by_magnitude
from .codebook import Codebook
from .components import (
    Always,
    Components,
    Gates,
    Reads,
    load_components,
    load_run,
    planted_components,
    save_components,
    svd_components,
)
from .errors import ExplanationError
from .frontiers import frontiers
from .neurons import NeuronBasis, Neurons
from .pca import LinearBasis, pca, random_rotation
from .registry import KINDS, build
from .robustness import Variation, variations
from .sae import SAE, SAECoefficients, SAEMechanism, SAESite
from .sae.formats.saelens import load_saelens, save_saelens
from .sending import send
from .specs import Spec
from .student import Student
from .subject import Subject
from .tradeoff import Tradeoff, tradeoff
from .weighing import Evidence, Question, gather, weigh, weigh_one
from .whole import Answers, Lookup, WholeNetwork

__all__ = [
    "KINDS",
    "SAE",
    "Alternatives",
    "Always",
    "Answers",
    "Codebook",
    "Components",
    "EdgeCircuit",
    "Evidence",
    "ExplanationError",
    "Gates",
    "LinearBasis",
    "Lookup",
    "NeuronBasis",
    "Neurons",
    "NodeCircuit",
    "Question",
    "Reads",
    "SAECoefficients",
    "SAEMechanism",
    "SAESite",
    "Spec",
    "Student",
    "Subject",
    "Tradeoff",
    "Variation",
    "WholeNetwork",
    "build",
    "frontiers",
    "gather",
    "load_components",
    "load_run",
    "load_saelens",
    "pca",
    "planted_components",
    "prune_by_attribution",
    "prune_by_magnitude",
    "random_rotation",
    "save_components",
    "save_saelens",
    "send",
    "svd_components",
    "tradeoff",
    "variations",
    "weigh",
    "weigh_one",
]
