"""Finite automata by name: what state a word of symbols leads to.

``Z59`` are the numbers modulo 59 under addition; ``S4`` the permutations of four things in lexicographic
order, where the product a b is "first a, then b"; ``D3`` brackets, 0 opens and 1 closes, up to depth 3: the
state is the depth, or 4 once a bracket was closed that was not open or more than 3 were.
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

__all__ = ["Automaton", "automaton"]

LARGEST = 1024


@dataclass(frozen=True)
class Automaton:
    """Symbols, states, and where symbols lead; state 0 is where every word begins.

    >>> automaton("Z5").run(torch.tensor([[3, 4, 1]])).tolist()
    [3]
    >>> automaton("D2").run(torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])).tolist()
    [0, 3]
    """

    name: str

    @property
    def cyclic(self) -> bool:
        """Whether this is addition modulo a number."""
        return self.name[0] == "Z"

    @property
    def group(self) -> bool:
        """Whether symbols are the elements of a group, and states as well."""
        return self.name[0] != "D"

    @property
    def states(self) -> int:
        """How many states there are."""
        number = int(self.name[1:])
        return {"Z": number, "S": factorial(min(number, 9)), "D": number + 2}[self.name[0]]

    @property
    def symbols(self) -> int:
        """How many symbols there are."""
        return self.states if self.group else 2

    @cached_property
    def table(self) -> Tensor:
        """Where symbol x leads from state s, at [s, x]: int64 [states, symbols]."""
        number = int(self.name[1:])
        if self.cyclic:
            elements = torch.arange(number)
            return (elements[:, None] + elements) % number
        if not self.group:
            broken = number + 1
            opened = [*range(1, number + 1), broken, broken]
            closed = [broken, *range(number), broken]
            return torch.tensor([opened, closed]).T
        listed = list(permutations(range(number)))
        at = {element: i for i, element in enumerate(listed)}
        return torch.tensor([[at[tuple(b[i] for i in a)] for b in listed] for a in listed])

    @property
    def representatives(self) -> tuple[tuple[int, ...], ...]:
        """For each state a word that leads to it; one symbol where one will do."""
        if self.group:
            return tuple((element,) for element in range(self.states))
        return ((0, 1), *((0,) * depth for depth in range(1, self.states - 1)), (1,))

    def run(self, words: Tensor) -> Tensor:
        """The states that words [b, K] lead to: [b]."""
        table = self.table.to(words.device)
        reached = table[0, words[:, 0]]
        for symbol in words.unbind(1)[1:]:
            reached = table[reached, symbol]
        return reached


def automaton(name: str) -> Automaton:
    """Look an automaton up: Z2 … Z1024, S2 … S6, D1 … D64.  Raises `InputError`."""
    if not re.fullmatch(r"Z[1-9]\d{0,3}|S[1-6]|D([1-9]|[1-5]\d|6[0-4])", name) or not (
        2 <= Automaton(name).states <= LARGEST
    ):
        raise InputError(f"unknown automaton {name!r}, expected Z2 … Z{LARGEST}, S2 … S6 or D1 … D64")
    return Automaton(name)
