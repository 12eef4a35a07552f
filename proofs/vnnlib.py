"""VNN-LIB 1.0 and 2.0 properties as claims; numbers keep their exact decimal value.

A property describes the counterexamples; the claim is that there is none. Version 1.0 is the restricted
SMT-LIB of the VNN competitions up to 2025: constants X_i and Y_i, and assertions. Version 2.0 declares
networks with named tensors (https://www.vnnlib.org, `syntax/grammar.cf` of the standard).
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod
from pathlib import Path
from typing import Literal

from .claims import Claim, Semantics
from .expressions import Expr, ExpressionError
from .faults import Fault, InputError
from .formulas import MAX_ATOMS
from .parser import exact_value
from .queries import number, refutation
from .sexpressions import Document, Group, Node, Word
from .variables import MAX_VARIABLES

MAX_BYTES = 50_000_000
MAX_TOLD = 50
MAX_COMPARISONS = MAX_ATOMS + 2 * MAX_VARIABLES
"""Those of a claim, and bounds of its inputs."""
_XY = re.compile(r"([XY])_(\d{1,7})", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}", re.ASCII)
_TYPES = {"Real": "real", "real": "real", "float32": "float32", "float64": "float64"}
"""Of which arithmetic the entries of a tensor are."""
_COMPARE = {"<=": "<=", ">=": ">=", "<": "<", ">": ">", "=": "==", "==": "==", "!=": "!="}


def read_property(path: str | Path, semantics: Semantics | None = None) -> Claim:
    """Read a property, packed by gzip where the name ends in .gz.

    The claim's network is f, and its inputs are x0, x1, … (1.0), or go by tensor and place, X_0_1 (2.0). A
    property of several networks calls them as it names them; those that are equal to another one go by that.

    Args:
        path: the file.
        semantics: of which arithmetic it is claimed; by default float32, or what the tensors of 2.0 say. What
            float64 rounds is not known here, so tensors of it need to be told one of the two.

    Raises:
        InputError: with line and column of every fault.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: more than {MAX_BYTES} bytes")
    return parse_property(text, path.name, semantics)


def parse_property(text: str, name: str, semantics: Semantics | None = None) -> Claim:
    """Read the text of a property; see `read_property`."""
    document = Document(text, name)
    reader: _Reader | None = None
    for command in document.commands():
        head = _word(command.parts[:1])
        if reader is None:
            reader = _Reader(document, 2 if head == "vnnlib-version" else 1)
        try:
            reader.command(head, command)
        except ExpressionError as error:
            document.faults.append(document.fault(str(error), error.at))
        if len(document.faults) >= MAX_TOLD:
            break
    if reader is None:
        raise InputError([Fault("no command: expected declarations and assertions", 1, 1, name)])
    if document.faults:
        raise InputError(document.faults)
    return reader.claim(semantics)


@dataclass(frozen=True)
class _Tensor:
    """A declared tensor: an input, whose entries are variables, or the output of a network."""

    kind: Literal["input", "output"]
    network: str
    element: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass
class _Reader:
    """Takes the commands in order; `networks` maps each declared network to the one that it is equal to."""

    document: Document
    version: int
    tensors: dict[str, _Tensor] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    variables: dict[tuple[str, int], str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    assertions: list[Expr] = field(default_factory=list)
    calls: dict[str, Expr] = field(default_factory=dict)
    comparisons: int = 0
    declared: dict[str, int] = field(default_factory=lambda: {"X": 0, "Y": 0})

    def command(self, head: str, command: Group) -> None:
        if head == "assert" and len(command.parts) == 2:
            self.assertions.append(self.formula(command.parts[1]))
        elif self.version == 1 and head in ("declare-const", "declare-fun"):
            self.constant(command)
        elif self.version == 2 and head == "vnnlib-version":
            self.versions(command)
        elif self.version == 2 and head == "declare-network" and not self.assertions:
            self.network(command)
        else:
            known = "declare-const or assert" if self.version == 1 else "declare-network, then assert"
            raise ExpressionError(f"expected {known}, got {head[:40]!r}", command.at)

    def versions(self, command: Group) -> None:
        told = _word(command.parts[1:2])
        if not re.fullmatch(r"<2\.\d{1,3}>", told) or len(command.parts) != 2:
            raise ExpressionError(f"expected (vnnlib-version <2.0>), got {told[:40]!r}", command.at)

    def constant(self, command: Group) -> None:
        """(declare-const X_0 Real), or (declare-fun X_0 () Real), in order."""
        words = [part for part in command.parts[1:] if not (isinstance(part, Group) and not part.parts)]
        name, sort = _word(words[:1]), _word(words[1:2])
        found = _XY.fullmatch(name)
        if found is None or sort != "Real" or len(words) != 2 or int(found[2]) != self.declared[found[1]]:
            told = f"expected the next of X_i or Y_i, of sort Real, got {name[:40]!r} of {sort[:40]!r}"
            raise ExpressionError(told, command.at)
        self.declared[found[1]] += 1
        if found[1] == "X":
            self.variables["X", int(found[2])] = f"x{found[2]}"

    def network(self, command: Group) -> None:
        name = self.name_of(command.parts[1:2], command.at)
        same = name
        own: dict[str, list[_Tensor]] = {"input": [], "output": []}
        for part in command.parts[2:]:
            head = _word(part.parts[:1]) if isinstance(part, Group) else ""
            if not isinstance(part, Group) or head not in _DECLARATIONS:
                raise ExpressionError(f"expected one of {', '.join(_DECLARATIONS)}", part.at)
            if head in ("equal-to", "isomorphic-to"):
                same = self.other(part, name, head)
            elif head == "declare-hidden":
                self.hidden.add(self.name_of(part.parts[1:2], part.at))
            else:
                tensor = self.tensor(part, head.removeprefix("declare-"), name)
                own[tensor.kind].append(tensor)
        for kind, found in own.items():
            if len(found) != 1:
                raise ExpressionError(
                    f"{len(found)} {kind}s of {name}; networks of one are known", command.at
                )
        self.networks[name] = same
        self.alike(name, same, own, command.at)

    def name_of(self, parts: Sequence[Node], at: int) -> str:
        name = _word(parts)
        if not _NAME.fullmatch(name) or name in {*self.tensors, *self.networks, *self.hidden}:
            raise ExpressionError(f"expected a name that is new, got {name[:40]!r}", at)
        return name

    def other(self, part: Group, name: str, head: str) -> str:
        """The network that one is equal to; its own where it only has the same form."""
        other = _word(part.parts[1:2])
        if self.networks.get(other) != other:
            raise ExpressionError(f"{head} {other[:40]!r}: no network of that name before", part.at)
        return other if head == "equal-to" else name

    def alike(self, name: str, same: str, own: dict[str, list[_Tensor]], at: int) -> None:
        first = {str(t.kind): (t.element, t.shape) for t in self.tensors.values() if t.network == same}
        if any(first[kind] != (found[0].element, found[0].shape) for kind, found in own.items()):
            raise ExpressionError(f"{name} is equal to {same}, but its tensors are not alike", at)

    def tensor(self, part: Group, kind: str, network: str) -> _Tensor:
        """(declare-input X Real [1,3]): its entries become variables."""
        name = self.name_of(part.parts[1:2], part.at)
        element, shape = _word(part.parts[2:3]), _word(part.parts[3:4])
        if element not in _TYPES or len(part.parts) != 4 or not shape.startswith("["):
            told = f"expected a tensor such as (declare-{kind} {name} float32 [1,3]), of {', '.join(_TYPES)}"
            raise ExpressionError(told, part.at)
        sizes = _indices(shape, part.at)
        if prod(sizes) > MAX_VARIABLES or 0 in sizes:
            raise ExpressionError(
                f"a shape of {prod(sizes)} entries, from 1 to {MAX_VARIABLES} are read", part.at
            )
        made = _Tensor("input" if kind == "input" else "output", network, element, sizes)
        self.tensors[name] = made
        if kind == "input":
            for number_, place in enumerate(product(*map(range, sizes))):
                self.variables[name, number_] = self.new_variable("_".join(map(str, (name, *place))))
        return made

    def new_variable(self, name: str) -> str:
        taken = set(self.variables.values())
        while name in taken:
            name += "_"
        return name

    def formula(self, tree: Node) -> Expr:
        """A formula or a term."""
        if isinstance(tree, Word):
            return self.entry(tree, None)
        op, args = _word(tree.parts[:1]), self.arguments(tree.parts[1:])
        if op in ("and", "or") and args:
            return Expr(op, tuple(args), at=tree.at) if len(args) > 1 else args[0]
        if (op == "not" and len(args) == 1) or (op == "=>" and len(args) == 2):
            return Expr(op, tuple(args), at=tree.at)
        if op in _COMPARE and len(args) == 2:
            self.comparisons += 1
            if self.comparisons > MAX_COMPARISONS:
                told = f"more than {MAX_COMPARISONS} comparisons"
                raise InputError([self.document.fault(told, tree.at)])
            return Expr(_COMPARE[op], tuple(args), at=tree.at)
        if op in ("+", "*") and args:
            return Expr(op, tuple(args), at=tree.at) if len(args) > 1 else args[0]
        if op == "-" and args:
            less = [Expr("neg", (arg,), at=tree.at) for arg in (args if len(args) == 1 else args[1:])]
            return less[0] if len(args) == 1 else Expr("+", (args[0], *less), at=tree.at)
        raise ExpressionError(f"unknown operator {op[:40]!r} on {len(args)} arguments", tree.at)

    def arguments(self, parts: Sequence[Node]) -> list[Expr]:
        """Terms; indices belong to the word before them."""
        found, k = [], 0
        while k < len(parts):
            part, following = parts[k], parts[k + 1] if k + 1 < len(parts) else None
            indexed = isinstance(part, Word) and isinstance(following, Word) and following.text[0] == "["
            if isinstance(part, Word):
                found.append(self.entry(part, following if isinstance(following, Word) and indexed else None))
            else:
                found.append(self.formula(part))
            k += 2 if indexed else 1
        return found

    def entry(self, word: Word, indices: Word | None) -> Expr:
        """A number, or an entry of a tensor."""
        if indices is None and re.match(r"[-+.\d]", word.text):
            try:
                return number(exact_value(word.text))
            except ExpressionError as error:
                raise ExpressionError(str(error), word.at) from error
        if self.version == 1:
            found = _XY.fullmatch(word.text)
            if found is None or indices is not None or int(found[2]) >= self.declared[found[1]]:
                raise ExpressionError(f"unknown name {word.text[:40]!r}", word.at)
            return self.value(found[1], int(found[2]), "f")
        tensor = self.tensors.get(word.text)
        if word.text in self.hidden:
            raise ExpressionError(f"{word.text} is hidden: only inputs and outputs can be spoken of", word.at)
        if tensor is None:
            raise ExpressionError(f"unknown name {word.text[:40]!r}", word.at)
        place = _indices(indices.text, indices.at) if indices else ()
        if len(place) != len(tensor.shape) or any(i >= n for i, n in zip(place, tensor.shape, strict=True)):
            told = f"{word.text}{list(place)}: no such entry of a tensor of shape {list(tensor.shape)}"
            raise ExpressionError(told, word.at)
        flat = sum(i * prod(tensor.shape[k + 1 :]) for k, i in enumerate(place))
        if tensor.kind == "input":
            return Expr("name", name=self.variables[word.text, flat], at=word.at)
        return self.value("Y", flat, tensor.network)

    def value(self, letter: str, place: int, network: str) -> Expr:
        """An input of version 1.0, or an output of a network."""
        if letter == "X":
            return Expr("name", name=self.variables["X", place])
        return Expr("index", (self.call(network),), value=Fraction(place))

    def call(self, network: str) -> Expr:
        """A network on its inputs; f where there is one implementation only."""
        if network not in self.calls:
            single = len(set(self.networks.values())) <= 1
            called = "f" if single else self.networks[network]
            inputs = [
                Expr("name", name=variable)
                for (tensor, _), variable in self.variables.items()
                if self.version == 1 or self.tensors[tensor].network == network
            ]
            self.calls[network] = Expr("call", tuple(inputs), name=called)
        return self.calls[network]

    def claim(self, semantics: Semantics | None) -> Claim:
        """The claim that no input satisfies all assertions."""
        return refutation(
            self.document.name,
            list(self.variables.values()),
            self.assertions,
            semantics or self.by_default(),
        )

    def by_default(self) -> Semantics:
        """The arithmetic that the tensors name."""
        told = {_TYPES[t.element] for t in self.tensors.values()} or {"float32"}
        if told <= {"float32"}:
            return "float32"
        if told <= {"real"}:
            return "real"
        names = " and ".join(sorted(told))
        fault = f"tensors of {names}: say which arithmetic is meant, real (of the stored weights) or float32"
        raise InputError([Fault(fault, 1, 1, self.document.name)])


_DECLARATIONS = ("equal-to", "isomorphic-to", "declare-input", "declare-hidden", "declare-output")


def _word(parts: Sequence[Node]) -> str:
    """The text of the first part; empty where it is a list, or where there is none."""
    return parts[0].text if parts and isinstance(parts[0], Word) else ""


def _indices(text: str, at: int) -> tuple[int, ...]:
    """[1,3] as numbers; [] is the shape of a scalar."""
    words = [word.strip() for word in text[1:-1].split(",")] if text[1:-1].strip() else []
    if not all(re.fullmatch(r"\d{1,9}", word, re.ASCII) for word in words):
        raise ExpressionError(f"expected whole numbers in brackets, got {text[:40]!r}", at)
    return tuple(map(int, words))
