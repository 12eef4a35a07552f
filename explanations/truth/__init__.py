"""Networks whose mechanism is known, as explanations: true circuits, their near misses, and facts as parts.

With these, a measure of explanations can be tried: the truth has to come out shorter than everything else.
"""

from .circuits import edges, flipped, random_circuit, true_circuit, true_edges
from .facts import fact_components

__all__ = ["edges", "fact_components", "flipped", "random_circuit", "true_circuit", "true_edges"]
