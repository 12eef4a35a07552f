"""Circuits at every level: weights, units, and the edges of the residual-stream graph, by position or not."""

from .nodes import NodeCircuit, attribute, prune_by_attribution
from .weights import EdgeCircuit, prune_by_magnitude

__all__ = ["EdgeCircuit", "NodeCircuit", "attribute", "prune_by_attribution", "prune_by_magnitude"]
