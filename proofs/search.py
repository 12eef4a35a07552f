"""What all stages share: the obligation as tensors, a deadline, and candidates turned into witnesses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor

from . import singles
from .batch import BatchProgram
from .claims import Claim
from .formulas import Atom, Both, Formula, atoms
from .obligations import Obligation
from .replay import Answer, replay
from .verdicts import Witness

_PLAINLY = 1e30


@dataclass
class Deadline:
    """Wall time that may still be spent."""

    seconds: float
    start: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.seconds - (time.monotonic() - self.start))

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0


@dataclass
class Search:
    """One claim under search.

    Attributes:
        exact: answers of the networks in exact arithmetic.
        torch_run: answers of the networks in torch.
    """

    obligation: Obligation
    exact: Answer
    torch_run: Answer
    deadline: Deadline
    memory: int
    seed: int = 0
    device: str = "cpu"
    report: Callable[[str], None] = lambda message: None

    def __post_init__(self) -> None:
        self.batch = BatchProgram(
            self.obligation.program, self.device, self.obligation.whole, self.obligation.twins
        )
        self.lo = torch.tensor(
            [_below(v) for v in self.obligation.lo], dtype=torch.float64, device=self.device
        )
        self.hi = torch.tensor(
            [-_below(-v) for v in self.obligation.hi], dtype=torch.float64, device=self.device
        )
        self.whole = torch.tensor(self.obligation.whole, dtype=torch.bool, device=self.device)

    @property
    def claim(self) -> Claim:
        """The claim."""
        return self.obligation.claim

    def score(self, points: Tensor, settled: bool = False) -> Tensor:
        """How far [points] each point of the free variables is a counterexample: ≥ 0 where it is one.

        Where they are all whole, whole multiples of free variables may count as `settled`: plainly true or
        false.
        """
        return fuzzy(self.obligation.counterexample, self.values(points, settled))

    def values(self, points: Tensor, settled: bool = False) -> Tensor:
        """What the forms of the atoms [points, atoms] are at points; see `score`."""
        values, worth = self.batch.forward(points), []
        for atom in atoms(self.obligation.counterexample):
            total = points.new_full((len(points),), float(atom.form.const))
            for (step, i), coefficient in atom.form.terms:
                total = total + float(coefficient) * values[step][:, i]
            if settled and all(step == 0 and c.denominator == 1 for (step, _), c in atom.form.terms):
                true = (total > 0) if atom.strict else (total >= 0)
                total = torch.where(true, torch.full_like(total, _PLAINLY), -_PLAINLY)
            worth.append(total)
        return torch.stack(worth, -1) if worth else points.new_empty(len(points), 0)

    def witness(self, points: Tensor) -> Witness | None:
        """The first of `points` [points, free] that is a counterexample beyond doubt, in scope and
        replayed."""
        for point in points.tolist():
            inputs = self.obligation.declared(self.inward(point))
            found = confirmed(self.claim, inputs, self.exact, self.torch_run)
            if found is not None:
                return found
        return None

    def exact_witness(self, point: list[Fraction]) -> Witness | None:
        """A witness at an exact point of the free variables, or at float32 numbers next to it."""
        found = confirmed(self.claim, self.obligation.declared(point), self.exact, self.torch_run)
        return found or self.witness(torch.tensor([[float(v) for v in point]], dtype=torch.float64))

    def inward(self, point: list[float]) -> list[Fraction]:
        """A point of float32 numbers (or whole ones) near `point`, inside the box of the free variables; of
        others where it holds none."""
        rounded = []
        for x, lo, hi, whole in zip(
            point, self.obligation.lo, self.obligation.hi, self.obligation.whole, strict=True
        ):
            value = Fraction(round(x)) if whole else singles.within(x, lo, hi)
            rounded.append(min(max(Fraction(x) if value is None else value, lo), hi))
        return rounded


def near(score: Tensor) -> Tensor:
    """Which points may be counterexamples, as far as float64 tells."""
    return score >= -1e-6 * (1 + score.abs())


def best(parts: Tensor) -> Tensor:
    """What a disjunction is worth by default."""
    return parts.amax(-1)


def fuzzy(formula: Formula, values: Tensor, either: Callable[[Tensor], Tensor] = best) -> Tensor:
    """Fuzzy truth [points] from the values of the atoms [points, atoms], in order.

    A conjunction is worth its least part, a disjunction what `either` makes of its parts.
    """
    leaves = iter(values.unbind(-1))

    def worth(part: Formula) -> Tensor:
        if isinstance(part, Atom):
            return next(leaves)
        parts = [worth(inner) for inner in part.parts]
        both = isinstance(part, Both)
        if not parts:
            return values.new_full((len(values),), torch.inf if both else -torch.inf)
        return torch.stack(parts, -1).amin(-1) if both else either(torch.stack(parts, -1))

    return worth(formula)


def confirmed(
    claim: Claim, inputs: Mapping[str, Fraction], exact: Answer, torch_run: Answer
) -> Witness | None:
    """A witness if the claim's semantics says so: exact arithmetic under "real", torch itself under
    "float32"."""
    if claim.semantics == "float32" and not all(map(singles.holds, inputs.values())):
        return None
    ran = replay(claim, inputs, torch_run)
    if claim.semantics == "float32" and not ran.refutes:
        return None
    exactly = replay(claim, inputs, exact)
    if claim.semantics == "real" and not exactly.refutes:
        return None
    outputs = {key: tuple(float(v) for v in values) for key, values in ran.outputs.items()}
    return Witness(dict(inputs), outputs, exactly.outputs)


def _below(value: Fraction) -> float:
    """The largest float64 that is not above `value`."""
    nearest = float(value)
    return (
        nearest
        if nearest <= value
        else float(
            torch.nextafter(
                torch.tensor(nearest, dtype=torch.float64), torch.tensor(-torch.inf, dtype=torch.float64)
            )
        )
    )
