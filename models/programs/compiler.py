"""From a RASP program to the weights of a transformer, by tracr's construction (Lindner et al. 2023,
arXiv 2301.05062): a residual stream of named subspaces, selectors as heads, element-wise maps as neurons.

All entries of one tensor have one magnitude, so that two bits per number can hold them: the width of a
selector, which attention gives as x = 1 / (1 + width), is read from copies of x by neurons
A_w = ReLU((w + 2) x − 1), and T_w = A_w − A_(w−1) is x if width <= w, else 0.  Width w is thus what T_w has
and T_(w−1) has not.  Such a value is not 1 but 1 / (1 + w) where it holds ("faint").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.models.errors import InputError

from .rasp import (
    Aggregate,
    Exceeds,
    Indices,
    Map,
    Numerical,
    Rectified,
    Select,
    SelectorWidth,
    SequenceMap,
    SOp,
    Tokens,
)

__all__ = ["CannotCompile", "Weights", "compile_program"]

SHARPNESS = 32.0  # of queries, of keys, and of logits: powers of two stay exact on any grid

Reader = Mapping[int, float]
"""A linear function of the residual stream: coefficients by dimension."""


class CannotCompile(InputError):
    """The construction has no place for this program."""


@dataclass(frozen=True)
class Variable:
    """Where the stream holds an s-op: a reader for each category, or one reader, under None, of a number.

    ``at`` is the number of sub-layers after which it stands there; a reader of a category gives 1 where it
    holds (or, where ``faint``, something between 0 and 1), else 0.
    """

    readers: Mapping[Any, Reader]
    at: int
    faint: bool = False


@dataclass
class Weights:
    """What the construction put where: entries by tensor and index, under the transformer's names.

    Heads and neurons are numbered through within their layer.
    """

    entries: dict[str, dict[tuple[int, ...], float]] = field(default_factory=lambda: defaultdict(dict))
    dimensions: list[str] = field(default_factory=list)
    heads: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    neurons: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    head_width: int = 1

    def dimension(self, label: str) -> int:
        """A new named dimension of the stream."""
        self.dimensions.append(label)
        return len(self.dimensions) - 1

    def put(self, tensor: str, index: tuple[int, ...], value: float) -> None:
        """Add to an entry; what cancels is no entry."""
        own = self.entries[tensor]
        own[index] = own.get(index, 0.0) + value
        if own[index] == 0.0:
            del own[index]

    def head(self, layer: int) -> int:
        """A new head."""
        self.heads[layer] += 1
        return self.heads[layer] - 1

    def neuron(self, layer: int, reads: Reader, bias: float, writes: Reader) -> None:
        """A new neuron."""
        mlp, i = f"blocks.{layer}.mlp", self.neurons[layer]
        self.neurons[layer] += 1
        for d, value in reads.items():
            self.put(f"{mlp}.W_in", (d, i), value)
        if bias:
            self.put(f"{mlp}.b_in", (i,), bias)
        for d, value in writes.items():
            self.put(f"{mlp}.W_out", (i, d), value)


def compile_program(program: SOp, vocabulary: tuple[Any, ...]) -> Weights:
    """Compile for token ids 0 (begin), 1 (padding), 2 … (the vocabulary); index i stands at position i + 1.

    Raises `CannotCompile` for what the construction cannot do.
    """
    compiler = _Compiler(vocabulary)
    compiler.unembed(program)
    _leave_out_unread(compiler.weights.entries)
    return compiler.weights


def _leave_out_unread(entries: Mapping[str, dict[tuple[int, ...], float]]) -> None:
    """Drop what is written to dimensions that nothing reads, such as tokens that a program never asks for."""
    axis = {"W_Q": 1, "W_K": 1, "W_V": 1, "W_in": 0, "W_U": 0}
    read = {
        index[axis[kind]]
        for name, own in entries.items()
        if (kind := name.rsplit(".", 1)[-1]) in axis
        for index in own
    }
    for name, own in entries.items():
        if name.endswith(("W_E", "W_pos", "W_O", "W_out")):
            for index in [index for index in own if index[-1] not in read]:
                del own[index]


class _Compiler:
    """Gives every s-op its place once, deepest first."""

    def __init__(self, vocabulary: tuple[Any, ...]) -> None:
        self.vocabulary, self.weights = vocabulary, Weights()
        self._done: dict[int, Variable] = {}
        self._marks: dict[str, int] = {}
        self._ways: dict[type[SOp], Callable[[Any], Variable]] = {
            Tokens: self._tokens,
            Indices: self._indices,
            Map: self._map,
            SequenceMap: self._sequence_map,
            Numerical: self._numerical,
            Rectified: self._rectified,
            Exceeds: self._exceeds,
            SelectorWidth: self._width,
            Aggregate: self._aggregate,
        }

    def variable(self, program: SOp) -> Variable:
        """Where a program's values stand."""
        if id(program) not in self._done:
            if type(program) not in self._ways:
                raise CannotCompile(f"no construction for a {type(program).__name__}")
            self._done[id(program)] = self._ways[type(program)](program)
        return self._done[id(program)]

    def unembed(self, program: SOp) -> None:
        """Logits that are `SHARPNESS` for the category that holds, or the number itself."""
        readers = self.variable(program).readers
        for i, (value, reader) in enumerate(readers.items()):
            scale = 1.0 if value is None else SHARPNESS
            for d, sign in reader.items():
                self.weights.put("unembed.W_U", (d, i), sign * scale)
            if value is False:
                self.weights.put("unembed.b_U", (i,), SHARPNESS)

    def _tokens(self, program: Tokens) -> Variable:
        if program.vocabulary != self.vocabulary:
            raise CannotCompile(f"tokens {program.vocabulary}, but the vocabulary is {self.vocabulary}")
        dims = self._space("token", self.vocabulary)
        for i, d in enumerate(dims.values()):
            self.weights.put("embed.W_E", (i + 2, d), 1.0)
        return Variable(_plain(dims), 0)

    def _indices(self, program: Indices) -> Variable:
        dims = self._space("index", program.values)
        for i, d in enumerate(dims.values()):
            self.weights.put("pos_embed.W_pos", (i + 1, d), 1.0)
        return Variable(_plain(dims), 0)

    def _map(self, program: Map) -> Variable:
        source = self._categories(program.source)
        layer, at = _mlp_after(source.at)
        dims = self._space("map", program.values)
        for value, reader in source.readers.items():
            if (result := program.function(value)) is not None:
                self.weights.neuron(layer, reader, 0.0, {dims[result]: 1.0})
        return Variable(_plain(dims), at, source.faint)

    def _sequence_map(self, program: SequenceMap) -> Variable:
        """ReLU(a + b − 1) is b where a holds fully, so at most one of the two may be faint."""
        first, second = self._categories(program.first), self._categories(program.second)
        if first.faint and second.faint:
            raise CannotCompile("a map of two selector widths: neither is 1 where it holds")
        layer, at = _mlp_after(max(first.at, second.at))
        dims = self._space("map", program.values)
        for u, reads_u in first.readers.items():
            for v, reads_v in second.readers.items():
                if (result := program.function(u, v)) is not None:
                    self.weights.neuron(layer, _sum(reads_u, reads_v), -1.0, {dims[result]: 1.0})
        return Variable(_plain(dims), at, first.faint or second.faint)

    def _numerical(self, program: Numerical) -> Variable:
        """A linear reading of what already stands there."""
        source = self._categories(program.source)
        if source.faint:
            raise CannotCompile("numbers for a selector width: it is not 1 where it holds")
        reader: dict[int, float] = {}
        for value, number in program.numbers.items():
            reader = _sum(reader, {d: number * s for d, s in source.readers[value].items()})
        return Variable({None: {d: v for d, v in reader.items() if v}}, source.at)

    def _rectified(self, program: Rectified) -> Variable:
        source = self._number(program.source)
        layer, at = _mlp_after(source.at)
        out = self.weights.dimension("rectified")
        reads = {d: program.sign * value for d, value in source.readers[None].items()}
        self.weights.neuron(layer, reads, 0.0, {out: 1.0})
        return Variable({None: {out: 1.0}}, at)

    def _exceeds(self, program: Exceeds) -> Variable:
        """Read off linearly: "no" holds to 1 − K s, where K s is 2 as soon as the sum s is large enough."""
        sources = [self._number(source) for source in program.sources]
        K = 1.0
        while program.least * K < 2:
            K *= 2
        reads: dict[int, float] = {}
        for source in sources:
            reads = _sum(reads, {d: -K * value for d, value in source.readers[None].items()})
        return Variable({False: reads, True: {}}, max(source.at for source in sources))

    def _width(self, program: SelectorWidth) -> Variable:
        head, layer, at = self._head(program.select)
        begin, real = self._mark("begin"), self._mark("real")
        attention, last = f"blocks.{layer}.attn", len(program.select.keys.values or ())
        self.weights.head_width = max(self.weights.head_width, last + 1)
        self.weights.put(f"{attention}.W_Q", (head, real, last), SHARPNESS)
        self.weights.put(f"{attention}.W_K", (head, begin, last), SHARPNESS)
        self.weights.put(f"{attention}.W_V", (head, begin, 0), 1.0)
        copies = [self.weights.dimension(f"1 / (1 + width), copy {i}") for i in range(program.most + 2)]
        for d in copies:
            self.weights.put(f"{attention}.W_O", (head, 0, d), 1.0)
        return Variable(self._thermometer(program, layer, copies), at + 1, faint=True)

    def _thermometer(self, program: SelectorWidth, layer: int, copies: list[int]) -> dict[Any, Reader]:
        T = self._space("width at most", program.values)
        readers: dict[Any, Reader] = {}
        for w, d in T.items():
            writes = {d: 1.0} if w == program.most else {d: 1.0, T[w + 1]: -1.0}
            self.weights.neuron(layer, dict.fromkeys(copies[: w + 2], 1.0), -1.0, writes)
            readers[w] = {d: 1.0} if w == program.least else {d: 1.0, T[w - 1]: -1.0}
        return readers

    def _aggregate(self, program: Aggregate) -> Variable:
        source = self.variable(program.source)
        head, layer, at = self._head(program.select, source.at)
        attention, readers = f"blocks.{layer}.attn", {}
        for j, (value, reader) in enumerate(source.readers.items()):
            out = self.weights.dimension(f"aggregate {value}")
            for d, s in reader.items():
                self.weights.put(f"{attention}.W_V", (head, d, j), s)
            self.weights.put(f"{attention}.W_O", (head, j, out), 1.0)
            readers[value] = {out: 1.0}
        self.weights.head_width = max(self.weights.head_width, len(readers))
        return Variable(readers, at, source.faint)

    def _head(self, select: Select, after: int = 0) -> tuple[int, int, int]:
        """A head that looks where the selector says: its number, its layer, and when it has written."""
        keys, queries = self._categories(select.keys), self._categories(select.queries)
        layer, at = _attention_after(max(keys.at, queries.at, after))
        head, attention = self.weights.head(layer), f"blocks.{layer}.attn"
        self.weights.head_width = max(self.weights.head_width, len(keys.readers))
        for j, (key, reads_key) in enumerate(keys.readers.items()):
            looking = [reads for query, reads in queries.readers.items() if select.predicate(key, query)]
            for tensor, readers in (("W_K", [reads_key] if looking else []), ("W_Q", looking)):
                for d, s in (entry for reads in readers for entry in reads.items()):
                    self.weights.put(f"{attention}.{tensor}", (head, d, j), s * SHARPNESS)
        return head, layer, at

    def _categories(self, program: SOp) -> Variable:
        variable = self.variable(program)
        if None in variable.readers or isinstance(program, Exceeds):
            raise CannotCompile(f"a {type(program).__name__} stands where categories are read")
        return variable

    def _number(self, program: SOp) -> Variable:
        variable = self.variable(program)
        if None not in variable.readers:
            raise CannotCompile(f"a {type(program).__name__} stands where a number is read")
        return variable

    def _mark(self, what: str) -> int:
        """The dimension that marks the begin token, or every token of the vocabulary."""
        if what not in self._marks:
            self._marks[what] = self.weights.dimension(what)
            marked = [0] if what == "begin" else [i + 2 for i in range(len(self.vocabulary))]
            for token in marked:
                self.weights.put("embed.W_E", (token, self._marks[what]), 1.0)
        return self._marks[what]

    def _space(self, label: str, values: tuple[Any, ...]) -> dict[Any, int]:
        return {value: self.weights.dimension(f"{label} {value}") for value in values}


def _plain(dims: Mapping[Any, int]) -> dict[Any, Reader]:
    return {value: {d: 1.0} for value, d in dims.items()}


def _sum(a: Reader, b: Reader) -> dict[int, float]:
    return {d: a.get(d, 0.0) + b.get(d, 0.0) for d in {**a, **b}}


def _attention_after(at: int) -> tuple[int, int]:
    """The first attention that sees what stands there after ``at`` sub-layers, and when it has written."""
    layer = (at + 1) // 2
    return layer, 2 * layer + 1


def _mlp_after(at: int) -> tuple[int, int]:
    """The first MLP that sees what stands there after ``at`` sub-layers, and when it has written."""
    layer = at // 2
    return layer, 2 * layer + 2
