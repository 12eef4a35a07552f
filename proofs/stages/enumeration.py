"""Every input of a small finite scope, in batches through torch; the yardstick of proof length.

For networks without an exact form this is the only way. The verdict then rests on torch's arithmetic, which
it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from assay.proofs.claims import Claim
from assay.proofs.expressions import COMPARISONS, fold
from assay.proofs.search import Deadline
from assay.proofs.verdicts import Unknown
from torch import Tensor

NAME = "enumeration"


@dataclass
class Batches:
    """Algebra over a batch of inputs: numbers [b], vectors [b, n], truths [b]."""

    variables: Mapping[str, Tensor]
    networks: Mapping[str, Callable[[Tensor], Tensor]]
    shapes: Mapping[str, tuple[int, ...]]
    size: int

    def number(self, value: Fraction) -> Tensor:
        """Give a constant [b]."""
        return torch.full((self.size,), float(value), dtype=torch.float64)

    def variable(self, name: str) -> Tensor:
        """Give the values of a variable."""
        return self.variables[name]

    def index(self, base: Tensor, i: int) -> Tensor:
        """Give one component [b]."""
        return base[:, i]

    def power(self, base: Tensor, exponent: int) -> Tensor:
        """Give powers."""
        return base**exponent

    def network(self, name: str, args: list[Tensor]) -> Tensor:
        """Run the network on the batch; outputs [b, n] in float64."""
        inputs = torch.cat([a[:, None] if a.ndim == 1 else a for a in args], dim=1)
        with torch.no_grad():
            out = self.networks[name](inputs.reshape(self.size, *self.shapes[name]))
        return out.double().reshape(self.size, -1).cpu()

    def apply(self, op: str, args: list[Tensor]) -> Tensor:
        """Arithmetic, comparisons, connectives and functions."""
        if op in COMPARISONS:
            return self.compare(op, args[0], args[1])
        if op in ("and", "or", "not", "=>"):
            return _connect(op, args)
        if op in ("min", "max", "second_max", "sum", "argmax"):
            return _reduce(op, torch.cat([a[:, None] if a.ndim == 1 else a for a in args], dim=1))
        if op in ("abs", "neg"):
            return args[0].abs() if op == "abs" else -args[0]
        result = args[0]
        for other in args[1:]:
            a, b = _aligned(result, other)
            result = a + b if op == "+" else a * b if op == "*" else a / b
        return result

    def compare(self, op: str, left: Tensor, right: Tensor) -> Tensor:
        """Truths [b]; vectors are compared component by component."""
        if left.dtype == torch.bool:
            return (left == right) if op == "==" else (left != right)
        a, b = _aligned(left, right)
        if op == "!=":
            return ~self.compare("==", left, right)
        truth = {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b}[op]
        return truth if truth.ndim == 1 else truth.all(-1)


def _aligned(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim == b.ndim:
        return a, b
    return (a[:, None], b) if a.ndim < b.ndim else (a, b[:, None])


def _connect(op: str, parts: list[Tensor]) -> Tensor:
    if op == "not":
        return ~parts[0]
    if op == "=>":
        return ~parts[0] | parts[1]
    stacked = torch.stack(parts)
    return stacked.all(0) if op == "and" else stacked.any(0)


def _reduce(op: str, values: Tensor) -> Tensor:
    if op == "argmax":
        return values.argmax(-1).double()
    if op == "sum":
        return values.sum(-1)
    if op == "second_max":
        return values.topk(2, -1).values[..., 1]
    return values.amin(-1) if op == "min" else values.amax(-1)


def size_of(claim: Claim) -> int | None:
    """Number of inputs in the declared ranges; None where some are real."""
    total = 1
    for variable in claim.variables:
        if not variable.whole:
            return None
        total *= (int(variable.hi - variable.lo) + 1) ** (variable.size or 1)
    return total


def batches(claim: Claim, size: int) -> Iterator[Tensor]:
    """All points [b, components] in lexicographic order."""
    ranges = [v for v in claim.variables for _ in v.components]
    counts = [int(v.hi - v.lo) + 1 for v in ranges]
    lows = torch.tensor([int(v.lo) for v in ranges])
    total = size_of(claim)
    assert total is not None
    for start in range(0, total, size):
        index = torch.arange(start, min(start + size, total))
        digits = []
        for count in reversed(counts):
            digits.append(index % count)
            index = index // count
        yield torch.stack(digits[::-1], dim=1) + lows


@dataclass(frozen=True)
class Counted:
    """How many inputs were run, and how many of them were in scope."""

    inputs: int
    in_scope: int


def enumerate_scope(
    claim: Claim,
    networks: Mapping[str, Callable[[Tensor], Tensor]],
    shapes: Mapping[str, tuple[int, ...]],
    deadline: Deadline,
    report: Callable[[str], None],
    size: int = 1 << 15,
) -> Counted | dict[str, Fraction] | Unknown:
    """Run every input: the number of them, or the first on which the claim fails, or why it stopped."""
    total, seen, inside = size_of(claim), 0, 0
    for points in batches(claim, size):
        truth, scope = evaluate(claim, points, networks, shapes)
        inside += int(scope.sum())
        failing = (scope & ~truth).nonzero().flatten()
        if len(failing):
            values = points[failing[0]].tolist()
            names = [c for v in claim.variables for c in v.components]
            return dict(zip(names, map(Fraction, values), strict=True))
        seen += len(points)
        if deadline.over and seen < (total or 0):
            share = 1 - seen / (total or 1)
            return Unknown(
                NAME, f"out of time after {seen} of {total} inputs", None, share, None, "a larger budget"
            )
        report(f"{seen} of {total} inputs")
    return Counted(seen, inside)


def evaluate(
    claim: Claim,
    points: Tensor,
    networks: Mapping[str, Callable[[Tensor], Tensor]],
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[Tensor, Tensor]:
    """Truth of `show`, and being in scope, at points [b, components]."""
    variables, first = {}, 0
    for v in claim.variables:
        width = v.size or 1
        part = points[:, first : first + width].double()
        variables[v.name] = part if v.size is not None else part[:, 0]
        first += width
    algebra = Batches(variables, networks, shapes, len(points))
    scope = torch.ones(len(points), dtype=torch.bool) if claim.given is None else fold(claim.given, algebra)
    return fold(claim.show, algebra), scope
