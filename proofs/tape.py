"""The operations of a network as they are recorded, and as certificates hold them.

Every number on the way through a network is a *cell*. Slicing, joining and turning only move cells about;
what is computed is recorded, and written down at the end for those cells that the output needs.

Ids of cells: those of the input come first, then what is computed; from `SECOND` on the same for the second
datum of a batch of two; from `WEIGHTS` on entries of the network's tensors; below 0 constants, -1 is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .faults import RefusalError
from .maps import compressed

Operation = list[Any]
Ids = np.ndarray[Any, np.dtype[np.int64]]
Array = np.ndarray[Any, np.dtype[np.float64]]

SECOND, WEIGHTS = 1 << 40, 1 << 44
MOST_CELLS = 1 << 19
MOST_ENTRIES = 1 << 27
"""Of the matrices that operations stand for."""
_EXACT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class TooLargeError(ValueError):
    """A network that would take too long to write out."""


@dataclass(frozen=True)
class Record:
    """What was computed: cells `first` and following.

    Attributes:
        kind: "sum" (Σ factor · cells + const), "matrix", "convolution", "scale" (cells times a tensor's
            entries), "weights" (a tensor's entries), "table", or a function of one or two cells each.
        sources: ids of the cells that are read, one array for each argument; in a sum -1 stands for nothing.
        factors: of a sum, as texts.
        how: name of the tensor, and what else the map needs.
        const: a number, or "@tensor".
    """

    kind: str
    first: int
    size: int
    sources: tuple[Ids, ...] = ()
    factors: tuple[str, ...] = ()
    how: tuple[Any, ...] = ()
    const: str = "0"


@dataclass
class Tape:
    """Records the computation on `size` inputs; `parameters` are the network's tensors."""

    size: int
    parameters: Mapping[str, Tensor]
    records: list[Record] = field(default_factory=list)
    constants: list[float] = field(default_factory=lambda: [0.0])
    numbers: dict[str, int] = field(default_factory=dict)
    made: dict[Any, Ids] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.end = self.size
        self.fixed = np.zeros(self.size, dtype=bool)  # which cells do not depend on the input
        self.names, self.starts, first = list(self.parameters), list[int](), WEIGHTS
        for tensor in self.parameters.values():
            self.starts.append(first)
            first += tensor.numel()
        self.total = first

    def entries(self, name: str) -> Ids:
        """The ids of a tensor's entries, in its shape."""
        start, tensor = self.starts[self.names.index(name)], self.parameters[name]
        return np.arange(start, start + tensor.numel()).reshape(tuple(tensor.shape))

    def tensor_of(self, ids: Ids) -> str | None:
        """The one tensor that all cells are entries of."""
        if ids.size == 0 or ids.min() < WEIGHTS:
            return None
        first, last = (int(np.searchsorted(self.starts, k, "right")) - 1 for k in (ids.min(), ids.max()))
        return self.names[first] if first == last else None

    def stored(self, name: str) -> Array:
        """A tensor's values; every stored number is exact in float64."""
        tensor = self.parameters[name]
        if tensor.dtype not in _EXACT_DTYPES:
            raise RefusalError(f"{name} is no floating-point tensor")
        values: Array = tensor.detach().to("cpu", torch.float64).numpy()
        if not np.isfinite(values).all():
            raise RefusalError(f"{name} holds values that are not finite")
        return values

    def constant(self, value: float) -> int:
        """The id of a constant."""
        value = float(value)
        if value == 0:
            return -1
        key = value.hex()
        if key not in self.numbers:
            self.constants.append(value)
            self.numbers[key] = -len(self.constants)
        return self.numbers[key]

    def constant_ids(self, values: Tensor) -> Ids:
        """The ids of given numbers, in their shape."""
        flat = values.detach().cpu().double().numpy()
        distinct, where = np.unique(flat, return_inverse=True)
        found = np.array([self.constant(v) for v in distinct], dtype=np.int64)
        return found[where].reshape(flat.shape) if flat.size else np.zeros(flat.shape, dtype=np.int64)

    def values(self, ids: Ids) -> Array:
        """The numbers that constants and entries of tensors stand for."""
        found: Array = np.array(self.constants)[np.minimum(-1 - ids, len(self.constants) - 1).clip(0)]
        for name, start in zip(self.names, self.starts, strict=True):
            inside = (ids >= start) & (ids < start + self.parameters[name].numel())
            if inside.any():
                found[inside] = (
                    self.parameters[name].detach().cpu().double().flatten().numpy()[ids[inside] - start]
                )
        return found

    def add(self, kind: str, size: int, fixed: Any, *sources: Ids, **more: Any) -> Ids:
        """Record a computation; gives the ids of its cells."""
        if self.end + size > MOST_CELLS:
            raise TooLargeError(f"more than {MOST_CELLS} numbers on the way")
        self.records.append(Record(kind, self.end, size, sources, **more))
        self.end += size
        if self.end > len(self.fixed):
            self.fixed = np.concatenate([self.fixed, np.zeros(self.end, dtype=bool)])
        self.fixed[self.end - size : self.end] = fixed
        return np.arange(self.end - size, self.end)

    def units(self, ids: Ids, nothing: bool = False) -> Ids:
        """Computed cells with the values of all these; `nothing` leaves zeros as they are."""
        ids, least = ids.copy(), -1 if nothing else 0
        for each in np.unique(ids[ids < least]):
            value = self.constants[-1 - int(each)]
            if not np.isfinite(value):
                raise RefusalError("numbers that are not finite")
            ids[ids == each] = self.once(("constant", value), partial(self._constant, value))
        for name, start in zip(self.names, self.starts, strict=True) if (ids >= WEIGHTS).any() else ():
            inside = (ids >= start) & (ids < start + self.parameters[name].numel())
            if inside.any():
                ids[inside] = self.once(("weights", name), partial(self._weights, name))[ids[inside] - start]
        return ids

    def _constant(self, value: float) -> Ids:
        return self.add("sum", 1, True, const=str(Fraction(value)))

    def _weights(self, name: str) -> Ids:
        return self.add("weights", self.stored(name).size, True, how=(name,))

    def once(self, key: Any, make: Callable[[], Ids]) -> Ids:
        """What was made under a key, made now if it is the first time."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def of(self, ids: Ids) -> tuple[Ids, Ids]:
        """The ids as those of the first datum, and the datum that each depends on: 1, 2, or 0 for none."""
        second = (ids >= SECOND) & (ids < WEIGHTS)
        first = np.where(second, ids - SECOND, ids)
        computed = (first >= 0) & (first < WEIGHTS)
        depends = computed & ~self.fixed[np.where(computed, first, 0)]
        return first, np.where(depends, 1 + second, 0)

    def together(self, arrays: Sequence[Ids], axis: int | None = None) -> tuple[list[Ids], Ids]:
        """Ids of the first datum of arrays that are read together, and the datum of each result."""
        pairs = [self.of(ids) for ids in arrays]
        data = np.stack([datum for _, datum in pairs])
        merged = data.max(0) if axis is None else data.max((0, axis + 1))
        spread = merged[None] if axis is None else np.expand_dims(merged, axis)[None]
        if ((data > 0) & (data != spread)).any():
            raise RefusalError("it mixes data of a batch")
        return [first for first, _ in pairs], merged

    def apply(self, kind: str, *arrays: Ids, **more: Any) -> Ids:
        """Record a function, or a sum, of equally many cells of each array, one by one."""
        firsts, datum = self.together(arrays)
        columns = np.stack([ids.ravel() for ids in firsts])
        distinct, where = np.unique(columns, axis=1, return_inverse=True)
        sources = [self.units(ids, kind == "sum") for ids in distinct]
        fixed = np.zeros(distinct.shape[1], dtype=bool)
        fixed[where.ravel()] = datum.ravel() == 0
        found = self.add(kind, distinct.shape[1], fixed, *sources, **more)
        return self.back(found[where.ravel()].reshape(datum.shape), datum)

    def back(self, cells: Ids, datum: Ids) -> Ids:
        """The ids of cells where they belong to the second datum."""
        return cells + np.where(datum == 2, SECOND, 0)


class Writer:
    """Writes operations for the cells `outputs` of a tape; what they do not need is left out."""

    def __init__(self, tape: Tape, outputs: Ids) -> None:
        self.tape = tape
        self.operations: list[Operation] = []
        self.sizes = [tape.size]
        self.value = np.full(tape.end, -1)
        self.index = np.full(tape.end, -1)
        self.value[: tape.size], self.index[: tape.size] = 0, np.arange(tape.size)
        self.picked: dict[bytes, int] = {}
        self.used: set[str] = set()
        self.entries = 0
        outputs = tape.units(outputs)
        self.value, self.index = (np.resize(a, tape.end) for a in (self.value, self.index))
        live = self.needed(outputs)
        for record in tape.records:
            kept = live[record.first : record.first + record.size]
            if kept.any():
                self.write(record, kept.nonzero()[0])
        last = self.at(outputs)
        if last != len(self.operations):
            self.append(["affine", [[last, "times", "1"]], "0"], self.sizes[last])

    def needed(self, outputs: Ids) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which cells the outputs depend on."""
        live = np.zeros(self.tape.end, dtype=bool)
        live[outputs] = True
        for record in reversed(self.tape.records):
            kept = live[record.first : record.first + record.size]
            if kept.any():
                for ids in record.sources:
                    read = ids if record.how else ids[kept]
                    live[read[read >= 0]] = True
        return live

    def append(self, operation: Operation, size: int) -> int:
        """Append an operation; gives the number of its value."""
        if operation[0] == "affine":
            self.entries += sum(self.entries_of(size, *term) for term in operation[1])
            if self.entries > MOST_ENTRIES:
                raise TooLargeError(f"maps with more than {MOST_ENTRIES} entries")
        self.operations.append(operation)
        self.sizes.append(size)
        return len(self.operations)

    def entries_of(self, size: int, source: int, kind: str, *how: Any) -> int:
        """What the matrix of a map holds: all its entries, or those that are not 0 and their places."""
        shape, filled = (size, self.sizes[source]), size
        if kind == "matrix":
            filled = self.tape.parameters[how[0]].numel()
        elif kind == "convolution":
            kernel, groups, swapped = self.tape.parameters[how[0]].shape, *how[-3:-1]
            filled = size * prod(kernel[2:]) * (kernel[0] // groups if swapped else kernel[1])
        return 2 * filled if compressed(shape, filled) else prod(shape)

    def write(self, record: Record, kept: Ids) -> None:
        """Write a record for the cells that are needed."""
        kind, const = record.kind, record.const
        if record.how:
            kept = np.arange(record.size)
            self.used.update({record.how[0], *([const[1:]] if const[0] == "@" else [])})
        sources = record.sources if record.how else tuple(ids[kept] for ids in record.sources)
        if kind == "sum":
            terms = [
                term for f, ids in zip(record.factors, sources, strict=True) for term in self.terms(f, ids)
            ]
            operation: Operation = ["affine", terms or [self.nothing(len(kept))], const]
        elif kind == "weights":
            operation = ["affine", [self.nothing(record.size)], f"@{record.how[0]}"]
        elif kind == "scale":
            terms = [[s, kind, *record.how, places] for s, places in self.picks(sources[0])]
            operation = ["affine", terms, const]
        elif kind in ("convolution", "matrix"):
            terms = [[s, kind, *record.how, places] for s, places in self.image(sources[0])]
            operation = ["affine", terms, const]
        else:
            operation = [kind, *[self.at(ids) for ids in sources], *record.how]
        number = self.append(operation, len(kept))
        self.value[record.first + kept], self.index[record.first + kept] = number, np.arange(len(kept))

    def nothing(self, size: int) -> list[Any]:
        """A term that is 0."""
        return [0, "pick", [-1] * size, "1"]

    def terms(self, factor: str, ids: Ids) -> list[list[Any]]:
        """Factor times the cells, -1 for 0, as terms of an affine operation."""
        if (number := self.whole(ids)) is not None:
            return [[number, "times", factor]]
        return [[s, "pick", places, factor] for s, places in self.picks(ids)]

    def whole(self, ids: Ids) -> int | None:
        """The value whose components these are, all of them in order."""
        if (ids < 0).any() or not len(ids):
            return None
        number = int(self.value[ids[0]])
        whole = len(ids) == self.sizes[number] and (self.value[ids] == number).all()
        return number if whole and (self.index[ids] == np.arange(len(ids))).all() else None

    def at(self, ids: Ids) -> int:
        """The value whose components are these cells; picked from others where there is none."""
        if (number := self.whole(ids)) is not None:
            return number
        key = ids.tobytes()
        if key not in self.picked:
            self.picked[key] = self.append(["affine", self.terms("1", ids), "0"], len(ids))
        return self.picked[key]

    def image(self, ids: Ids) -> list[tuple[int, list[int] | None]]:
        """The values that have some of the cells, each with where; no component is read at two places."""
        kept = ids[ids >= 0]
        if self.whole(ids) is not None or len(np.unique(kept)) < len(kept):
            return [(self.at(ids), None)]
        return [*self.picks(ids)]

    def picks(self, ids: Ids) -> list[tuple[int, list[int]]]:
        """For each value that has some of the cells, where it has each, -1 for elsewhere."""
        of = np.where(ids < 0, -1, self.value[ids])
        found = [(int(s), np.where(of == s, self.index[ids], -1).tolist()) for s in np.unique(of[of >= 0])]
        return found or [(0, [-1] * len(ids))]
