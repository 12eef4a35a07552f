"""The programs: reverse, sort, histogram, fraction of previous tokens, and Dyck-1 balance.

All read sequences of up to ``longest`` tokens behind a begin token, padded to full length; what they answer
at the begin token and at padding is of no meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.errors import InputError
from torch import Tensor

from .compiler import compile_program
from .embedding import DISTRACTORS, Compiled, embed
from .rasp import (
    Aggregate,
    Exceeds,
    Indices,
    Numerical,
    Rectified,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    Tokens,
    evaluate,
)

__all__ = ["PROGRAMS", "Program", "load"]

BEGIN, PADDING, FIRST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Program:
    """A program, the sequences it is meant for, and its token ids."""

    name: str
    output: SOp
    vocabulary: tuple[Any, ...]
    longest: int
    shortest: int = 1
    distinct: bool = False

    def encode(self, sequences: Sequence[Sequence[Any]]) -> Tensor:
        """Token ids [n, longest + 1]: begin, the tokens, padding."""
        ids = torch.full((len(sequences), self.longest + 1), PADDING)
        ids[:, 0] = BEGIN
        for row, sequence in zip(ids, sequences, strict=True):
            if not self.shortest <= len(sequence) <= self.longest or set(sequence) - set(self.vocabulary):
                raise InputError(
                    f"program {self.name}: got {list(sequence)!r}, "
                    f"expected {self.shortest} to {self.longest} of {self.vocabulary}"
                )
            for i, token in enumerate(sequence):
                row[i + 1] = FIRST + self.vocabulary.index(token)
        return ids

    def answers(self, sequence: Sequence[Any]) -> list[Any]:
        """What the program says at every token of one sequence."""
        return evaluate(self.output, sequence)

    def decode(self, outputs: Tensor, length: int) -> list[Any]:
        """The answers that a network's outputs [longest + 1, width] give at the tokens of one sequence."""
        rows = outputs[1 : length + 1]
        if self.output.values is None:
            return [float(value) for value in rows[:, 0]]
        return [self.output.values[int(i)] for i in rows.argmax(-1)]

    def draw(self, n: int, seed: int) -> list[list[Any]]:
        """Random sequences: uniform lengths, uniform tokens (each once where the program wants that)."""
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(self.shortest, self.longest + 1, (n,), generator=generator).tolist()
        return [[self.vocabulary[i] for i in self._tokens(length, generator)] for length in lengths]

    def _tokens(self, length: int, generator: torch.Generator) -> list[int]:
        if self.distinct:
            drawn = torch.randperm(len(self.vocabulary), generator=generator)[:length]
        else:
            drawn = torch.randint(len(self.vocabulary), (length,), generator=generator)
        return [int(i) for i in drawn]

    def data(self, n: int, seed: int) -> Dataset:
        """Token ids of n random sequences."""
        kind = "distinct tokens" if self.distinct else "tokens"
        scope = Scope(
            condition=f"{self.shortest} to {self.longest} {kind} of {self.vocabulary}",
            distribution="uniform length, uniform tokens",
        )
        return Dataset(f"program-{self.name}", self.encode(self.draw(n, seed)), None, "sequence", scope)

    def compile(self, distractors: float = DISTRACTORS, seed: int = 0) -> Compiled:
        """The network, and its true circuit."""
        values = self.output.values
        return embed(
            f"program-{self.name}",
            compile_program(self.output, self.vocabulary),
            self.longest,
            len(self.vocabulary),
            1 if values is None else len(values),
            "regression" if values is None else "categorical",
            distractors,
            seed,
        )


def _equal(key: Any, query: Any) -> bool:
    return bool(key == query)


def _before(key: Any, query: Any) -> bool:
    return bool(key < query)


def _up_to(key: Any, query: Any) -> bool:
    return bool(key <= query)


def _everywhere(_key: Any, _query: Any) -> bool:
    return True


def _mirrored(length: int, index: int) -> int | None:
    return length - 1 - index if index < length else None


def reverse(vocabulary: tuple[Any, ...] = ("a", "b", "c", "d"), longest: int = 5) -> Program:
    """The tokens in reverse order: the length is counted, and position i reads position length − 1 − i."""
    tokens, indices = Tokens(vocabulary), Indices(longest)
    length = SelectorWidth(Select(tokens, tokens, _everywhere), 2, longest)
    mirrored = SequenceMap(length, indices, _mirrored)
    output = Aggregate(Select(indices, mirrored, _equal), tokens)
    return Program("reverse", output, vocabulary, longest, shortest=2)


def sort(vocabulary: tuple[Any, ...] = (1, 2, 3, 4, 5, 6), longest: int = 5) -> Program:
    """Distinct tokens in ascending order: each token's rank is how many are smaller."""
    tokens, indices = Tokens(vocabulary), Indices(longest)
    rank = SelectorWidth(Select(tokens, tokens, _before), 0, longest - 1)
    output = Aggregate(Select(rank, indices, _equal), tokens)
    return Program("sort", output, vocabulary, longest, distinct=True)


def histogram(vocabulary: tuple[Any, ...] = ("a", "b", "c"), longest: int = 5) -> Program:
    """How often each token occurs in the sequence."""
    tokens = Tokens(vocabulary)
    output = SelectorWidth(Select(tokens, tokens, _equal), 1, longest)
    return Program("histogram", output, vocabulary, longest)


def fraction_previous(vocabulary: tuple[Any, ...] = ("a", "b", "x"), longest: int = 6) -> Program:
    """Which fraction of the tokens so far is the last of the vocabulary."""
    tokens, indices = Tokens(vocabulary), Indices(longest)
    output = Aggregate(Select(indices, indices, _up_to), Numerical(tokens, {vocabulary[-1]: 1.0}))
    return Program("fraction-previous", output, vocabulary, longest)


def dyck(longest: int = 8) -> Program:
    """Whether the brackets so far fail to balance: more open than close, or some prefix closes more.

    A prefix that closes more for the first time has an odd number of brackets, so these alone are looked at;
    behind an odd number of brackets, it is enough to look at the place itself.
    """
    tokens, indices = Tokens(("(", ")")), Indices(longest)
    so_far = Select(indices, indices, _up_to)
    excess = Aggregate(so_far, Numerical(tokens, {"(": 1.0, ")": -1.0}))
    below = Aggregate(Select(indices, indices, _odd_prefixes), Rectified(excess, -1))
    wrong = Exceeds((Rectified(excess, 1), below), 1 / longest**2)
    return Program("dyck", wrong, ("(", ")"), longest)


def _odd_prefixes(key: int, query: int) -> bool:
    return key == query if query % 2 == 0 else key % 2 == 0 and key < query


PROGRAMS: dict[str, Callable[[], Program]] = {
    "reverse": reverse,
    "sort": sort,
    "histogram": histogram,
    "fraction-previous": fraction_previous,
    "dyck": dyck,
}


def load(name: str, distractors: float = DISTRACTORS, seed: int = 0) -> Compiled:
    """Compile one of `PROGRAMS`."""
    if name not in PROGRAMS:
        raise InputError(f"no program {name!r}; there are {', '.join(PROGRAMS)}")
    return PROGRAMS[name]().compile(distractors, seed)
