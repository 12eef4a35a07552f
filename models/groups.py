"""Finite groups by name, and what a word of their elements multiplies to.

``Z59`` are the numbers modulo 59 under addition; ``S4`` the permutations of four things in lexicographic
order, where the product a b is "first a, then b".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from math import factorial

import torch
from torch import Tensor

from .errors import InputError

__all__ = ["Group", "group"]

LARGEST = 1024


@dataclass(frozen=True)
class Group:
    """A group of some order; element 0 is the identity.

    >>> group("Z5").product(torch.tensor([[3, 4, 1]])).tolist()
    [3]
    """

    name: str

    @property
    def cyclic(self) -> bool:
        """Whether this is addition modulo a number."""
        return self.name[0] == "Z"

    @property
    def order(self) -> int:
        """How many elements there are."""
        number = int(self.name[1:])
        return number if self.cyclic else factorial(number)

    @cached_property
    def table(self) -> Tensor:
        """The product of elements a and b, at [a, b]: int64 [order, order]."""
        if self.cyclic:
            elements = torch.arange(self.order)
            return (elements[:, None] + elements) % self.order
        listed = list(permutations(range(int(self.name[1:]))))
        number = {element: i for i, element in enumerate(listed)}
        return torch.tensor([[number[tuple(b[i] for i in a)] for b in listed] for a in listed])

    def product(self, words: Tensor) -> Tensor:
        """Multiply words [b, K] of elements from left to right: [b]."""
        table, reached = self.table.to(words.device), words[:, 0]
        for symbol in words.unbind(1)[1:]:
            reached = table[reached, symbol]
        return reached


def group(name: str) -> Group:
    """Look a group up: Z2 … Z1024, S2 … S6.  Raises `InputError`."""
    if not re.fullmatch(r"Z[1-9]\d{0,3}|S[1-9]", name) or not 2 <= Group(name).order <= LARGEST:
        raise InputError(f"unknown group {name!r}, expected Z2 … Z{LARGEST} or S2 … S6")
    return Group(name)
