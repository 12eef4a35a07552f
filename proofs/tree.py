"""The tree of case splits that a proof consists of, and its form in certificates."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .program import Program, Relu

Split = tuple[int, Fraction] | tuple[int, int]
"""A cut (free variable, value), or the phases of a ReLU (step, unit)."""


@dataclass
class Node:
    """A region: open, closed by bounds, or split in two.

    `leaf` are the items that the checker needs to close it; `careful` says that the checker once refused.
    """

    cut: tuple[int, Fraction] | None = None
    phase: tuple[int, int] | None = None
    children: tuple[int, int] = (0, 0)
    closed: bool = False
    careful: bool = False
    leaf: list[Any] = field(default_factory=lambda: [0])

    @property
    def inner(self) -> bool:
        """Whether it was split."""
        return self.cut is not None or self.phase is not None


@dataclass
class Tree:
    """Nodes by number; 0 is the whole scope."""

    nodes: list[Node] = field(default_factory=lambda: [Node()])

    def split(
        self, number: int, *, cut: tuple[int, Fraction] | None = None, phase: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """Cut a node at a value of a free variable, or by the phase of a ReLU (off first, then on)."""
        first, node = len(self.nodes), self.nodes[number]
        self.nodes += [Node(careful=node.careful), Node(careful=node.careful)]
        node.cut, node.phase, node.children, node.closed = cut, phase, (first, first + 1), False
        return first, first + 1

    def preorder(self) -> list[int]:
        """Node numbers, parents before children, first before second."""
        order, stack = [], [0]
        while stack:
            number = stack.pop()
            order.append(number)
            if self.nodes[number].inner:
                stack += reversed(self.nodes[number].children)
        return order

    def evidence(self, program: Program, positions: list[int]) -> tuple[list[Any], list[int]]:
        """Items as a certificate holds them, and the node that each belongs to.

        `positions` number the free variables among all components.
        """
        items: list[Any] = []
        owners: list[int] = []
        for number in self.preorder():
            node = self.nodes[number]
            new: list[Any]
            if node.cut is not None:
                new = [["cut", 1 + positions[node.cut[0]], str(node.cut[1])]]
            elif node.phase is not None:
                relu = program.steps[node.phase[0]]
                assert isinstance(relu, Relu)
                new = [["cut", program.unit(relu.source, node.phase[1]), "0"]]
            elif node.leaf == ["points"]:
                new = [{"points": [1 + place for place in positions]}]
            else:
                new = node.leaf
            items += new
            owners += [number] * len(new)
        return items, owners
