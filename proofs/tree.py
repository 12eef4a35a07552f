"""The tree of case splits that a proof consists of, and its form in certificates."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


@dataclass
class Node:
    """A box of the free variables: open, closed by bounds, or cut in two."""

    cut: tuple[int, Fraction] | None = None
    children: tuple[int, int] = (0, 0)
    closed: bool = False
    careful: bool = False
    leaf: Any = 0  # what the checker needs to close it: slopes and multipliers


@dataclass
class Tree:
    """Nodes by number; 0 is the whole scope."""

    nodes: list[Node] = field(default_factory=lambda: [Node()])

    def split(self, node: int, variable: int, cut: Fraction) -> tuple[int, int]:
        """Cut a node at a value of a free variable."""
        first = len(self.nodes)
        careful = self.nodes[node].careful
        self.nodes += [Node(careful=careful), Node(careful=careful)]
        self.nodes[node].cut, self.nodes[node].children = (variable, cut), (first, first + 1)
        self.nodes[node].closed = False
        return first, first + 1

    def preorder(self) -> list[int]:
        """Node numbers, parents before children, left before right."""
        order, stack = [], [0]
        while stack:
            number = stack.pop()
            order.append(number)
            if self.nodes[number].cut is not None:
                stack += reversed(self.nodes[number].children)
        return order

    def evidence(self, positions: list[int]) -> list[Any]:
        """The tree as a certificate holds it; `positions` number the free variables among all components."""
        items: list[Any] = []
        for number in self.preorder():
            node = self.nodes[number]
            items.append(node.leaf if node.cut is None else ["cut", positions[node.cut[0]], str(node.cut[1])])
        return items
