"""Parameter components: weights as sums of parts, few of them needed on a datum.

:class:`Components` is the explanation; a rule (:class:`Importance`) says who is needed: the gates of an SPD
run, the attributions of an APD run, what a component reads, everything, or an oracle. Components come from
their files (:func:`load_run`, :func:`load_components`) or from the network's weights.
"""

from .attributions import Attributions
from .baselines import planted_components, svd_components
from .decomposed import Components
from .gates import Gates
from .importance import Always, ByWeight, Importance, Reads
from .oracle import Oracle
from .runs import load_run
from .stored import load_components, save_components

__all__ = [
    "Always",
    "Attributions",
    "ByWeight",
    "Components",
    "Gates",
    "Importance",
    "Oracle",
    "Reads",
    "load_components",
    "load_run",
    "planted_components",
    "save_components",
    "svd_components",
]
