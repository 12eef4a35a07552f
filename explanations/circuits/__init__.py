"""Circuits at every level: weights, units, and the edges of the residual-stream graph, by position or not."""

from .cutting import Cut, cut, size
from .donors import Donor, mean_writes
from .files import read_circuit, read_circuits
from .graph import Graph
from .nodes import NodeCircuit, attribute, prune_by_attribution
from .paths import GraphCircuit
from .told import CircuitFile
from .weights import EdgeCircuit, prune_by_magnitude

__all__ = [
    "CircuitFile",
    "Cut",
    "Donor",
    "EdgeCircuit",
    "Graph",
    "GraphCircuit",
    "NodeCircuit",
    "attribute",
    "cut",
    "mean_writes",
    "prune_by_attribution",
    "prune_by_magnitude",
    "read_circuit",
    "read_circuits",
    "size",
]
